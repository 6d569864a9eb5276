"""One HTTP request to somebody else's server: no redirects, no .netrc, and no text that shows the address.

Blocks: run it in a thread of its own (`agent.threads`), which also bounds the time in all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr

LIMIT = 65_536  # bytes of an answer that are read
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = frozenset({"content-type", "content-length", "host", "idempotency-key", "x-codeblue-signature", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(Exception):
    """No answer came. `reason` is a bounded slug: "timeout", "tls", "invalid" (it can't be asked at all), "network".
    The text goes on from the name of the host, and holds no part of the URL."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout: float,
    body: bytes | None = None,
    ca_file: str | None = None,
    limit: int = LIMIT,
) -> Answer:
    """Send one request on a connection of its own, and read the answer up to `limit` bytes. `timeout` (seconds) is for
    connecting and for each read. Proxies are taken from the environment, and so are private certificate authorities
    unless there is a `ca_file`. Raises NotSent."""
    import logging

    import requests  # heavy: only for those who configure something that needs it

    # urllib3 writes paths and queries, where a URL keeps its secret, at DEBUG and at WARNING
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    try:
        with requests.Session() as session:
            settings: Any = session.merge_environment_settings(url, {}, True, ca_file, None)
            session.trust_env = False  # or else .netrc may add somebody's password to the request
            with session.request(
                method, url, data=body, headers=dict(headers), timeout=timeout, allow_redirects=False, **settings
            ) as answer:
                kept = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(status=answer.status_code, headers=kept, body=_beginning(answer, limit))
    except Exception as error:  # noqa: BLE001 - texts of exceptions name the URL: none of them may get out
        raise _failure(error, timeout) from None


def _beginning(answer: Any, limit: int) -> bytes:
    kept = bytearray()
    for block in answer.iter_content(65_536):
        kept += block
        if len(kept) >= limit:
            break
    return bytes(kept[:limit])


def _failure(error: Exception, timeout: float) -> NotSent:
    from requests import exceptions

    if isinstance(error, exceptions.Timeout):
        return NotSent("timeout", f"did not answer within {timeout:g} s")
    if isinstance(error, exceptions.SSLError):
        return NotSent("tls", "has no TLS that can be trusted")
    if isinstance(error, ValueError):  # InvalidURL, InvalidSchema, InvalidHeader and the like
        return NotSent("invalid", f"can't be asked ({type(error).__name__})")
    return NotSent("network", f"can't be reached ({type(error).__name__})")


def web_address(url: str) -> SplitResult:
    """The parts of a web address. Raises ValueError without showing it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("expected an address such as https://hooks.internal/x") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("expected an address such as https://hooks.internal/x")
    return parts


def _secret_address(url: SecretStr) -> SecretStr:
    web_address(url.get_secret_value())
    return url


def _not_empty(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("the secret is empty: leave it out to send unsigned requests")
    return secret


def _sendable(given: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    for name, value in given.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _OURS:
            raise ValueError(f"{name} is set by codeblue itself")
        if not _VALUE.fullmatch(value.get_secret_value()):
            raise ValueError(f"the value of {name} has characters that a header can't hold")
    return given


SecretUrl = Annotated[SecretStr, AfterValidator(_secret_address)]
"""The field type of addresses that are secrets as a whole, since many services put their key in path or query."""
SigningSecret = Annotated[SecretStr, AfterValidator(_not_empty)]
SecretHeaders = Annotated[Mapping[str, SecretStr], AfterValidator(_sendable)]
"""The field type of headers that are added to ours."""
