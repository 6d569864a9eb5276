"""The webhook channel: every notice as a signed JSON request to a URL. Body and signature: `alerts.webhook_body`."""

import asyncio
import logging
import os
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from annotated_types import Gt
from pydantic import Field, SecretStr, field_validator

from agent.core.model import Notice
from agent.durations import Duration
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from alerts.rendering import as_seen_here
from alerts.retry_after import seconds_to_wait
from alerts.threads import Busy, OwnThreads
from alerts.webhook_body import body, headers

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = frozenset({"content-type", "content-length", "host", "idempotency-key", "x-codeblue-signature", "user-agent"})
_LATER = frozenset({408, 425, 429})
_HANGING = 8  # requests that may be left behind, hanging, before new ones are put off
_REASONS = {401: "auth", 403: "auth", 404: "not_found", 410: "not_found", 429: "rate_limited", 408: "timeout"}


class WebhookOptions(Options):
    """`url` is kept secret as a whole, because many services put their key in its path or query; only its host is ever
    shown. `secret` signs the requests. A proxy is taken from the environment (HTTPS_PROXY, NO_PROXY), and private
    certificate authorities from REQUESTS_CA_BUNDLE."""

    url: SecretStr
    secret: SecretStr | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    timeout: Annotated[Duration, Gt(timedelta(0))] = timedelta(seconds=10)
    method: Literal["POST", "PUT"] = "POST"

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: SecretStr) -> SecretStr:
        _split(url.get_secret_value())
        return url

    @field_validator("secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value():
            raise ValueError("the secret is empty: leave it out to send unsigned requests")
        return secret

    @field_validator("headers")
    @classmethod
    def _sendable(cls, given: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, value in given.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _OURS:
                raise ValueError(f"{name} is set by codeblue itself")
            if not _VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of {name} has characters that a header can't hold")
        return given


class WebhookChannel:
    """Delivered is what was answered with 2xx. Redirects are not followed: they are errors, because they would take
    the page, and its signature, to an address that nobody configured."""

    def __init__(
        self, name: str, options: WebhookOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._options = options
        self._url = options.url.get_secret_value()
        self._host = _split(self._url).hostname or ""
        self._timeout = options.timeout.total_seconds()
        self._threads = OwnThreads(f"channel-{name}", at_most=_HANGING)
        self._now = now
        # urllib3 writes paths and queries, where a URL keeps its secret, at DEBUG and at WARNING
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        notice = as_seen_here(notice, opening)
        payload = body(notice)
        secret = self._options.secret.get_secret_value() if self._options.secret else ""
        sent = {name: value.get_secret_value() for name, value in self._options.headers.items()}
        sent |= headers(notice, payload, secret, self._now())
        try:
            status, retry_after = await self._threads.run(lambda: self._request(payload, sent), self._timeout)
        except TimeoutError:
            raise self._error("timeout", f"took more than {self._timeout:g} s", retryable=True) from None
        except Busy as busy:
            raise self._error("timeout", f"hangs: {busy}", retryable=True) from None
        if error := self._judge(status, retry_after):
            raise error
        return Receipt(data={"status": str(status)})

    async def verify(self) -> None:
        """Resolve the host and connect to it, with TLS where the URL says so; no request is made, so that nobody is
        paged. Through a proxy this proves only that the proxy is there."""
        parts = urlsplit(_proxy_for(self._url) or self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            context = await asyncio.to_thread(_tls_context) if parts.scheme == "https" else None
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            writer.transport.abort()
        except TimeoutError:
            raise self._error("timeout", f"can't be connected to within {self._timeout:g} s", retryable=True) from None
        except ssl.SSLError as error:
            raise self._error("network", f"has no TLS that can be trusted: {error.reason}", retryable=True) from None
        except (OSError, UnicodeError) as error:
            raise self._error("network", f"can't be connected to: {_cause(error)}", retryable=True) from None

    async def close(self) -> None:
        """Nothing is kept open between requests."""

    def _request(self, payload: bytes, sent: Mapping[str, str]) -> tuple[int, str | None]:
        """One request, on a connection of its own; returns the status and Retry-After. Blocks."""
        import requests  # heavy: only for those who configure a webhook

        try:
            with requests.Session() as session:
                settings: Any = session.merge_environment_settings(self._url, {}, True, None, None)
                session.trust_env = False  # or else .netrc may add somebody's password to the request
                with session.request(
                    self._options.method,
                    self._url,
                    data=payload,
                    headers=dict(sent),
                    timeout=self._timeout,
                    allow_redirects=False,
                    **settings,
                ) as answer:
                    return answer.status_code, answer.headers.get("Retry-After")
        except Exception as error:  # noqa: BLE001 - texts of exceptions name the URL: none of them may get out
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> DeliveryError:
        from requests import exceptions

        if isinstance(error, exceptions.Timeout):
            return self._error("timeout", f"did not answer within {self._timeout:g} s", retryable=True)
        if isinstance(error, exceptions.SSLError):
            return self._error("network", "has no TLS that can be trusted", retryable=True)
        if isinstance(error, ValueError):  # InvalidURL, InvalidSchema, InvalidHeader and the like
            return self._error("invalid", f"can't be asked ({type(error).__name__})", retryable=False)
        return self._error("network", f"can't be reached ({type(error).__name__})", retryable=True)

    def _judge(self, status: int, retry_after: str | None) -> DeliveryError | None:
        if 200 <= status < 300:
            return None
        wait = seconds_to_wait(retry_after, self._now())
        if status in _LATER or status >= 500:
            reason = _REASONS.get(status, "server")
            return self._error(reason, f"answered {status}", retryable=True, retry_after=wait)
        if 300 <= status < 400:
            return self._error("redirect", f"answered {status}: redirects are not followed", retryable=False)
        return self._error(_REASONS.get(status, "invalid"), f"answered {status}", retryable=False)

    def _error(self, reason: str, what: str, *, retryable: bool, retry_after: float | None = None) -> DeliveryError:
        return DeliveryError(reason, f"{self._host} {what}", retryable=retryable, retry_after=retry_after)


def _split(url: str) -> SplitResult:
    """The parts of a web address. Raises ValueError without showing it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("expected an address such as https://hooks.internal/x") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("expected an address such as https://hooks.internal/x")
    return parts


def _proxy_for(url: str) -> str | None:
    import requests

    return requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))


def _tls_context() -> ssl.SSLContext:
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


WEBHOOK = ChannelType(
    name="webhook",
    options=WebhookOptions,
    build=WebhookChannel,
    about="Sends notices as signed JSON requests to a URL.",
    per_second=25.0,
)
