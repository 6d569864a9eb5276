"""What libcurl says of a finished transfer, in the project's own terms."""

import errno
import ssl
from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pycurl

from agent.core.few import NOTHING, Few
from agent.runtime.resolver import starved

# libcurl's result codes by slug: https://curl.se/libcurl/c/libcurl-errors.html. Whatever is in none of these is
# "protocol": the server did something that HTTP does not allow.
_SLUGS = {
    **dict.fromkeys((pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY), "dns"),
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    **dict.fromkeys((pycurl.E_SSL_CONNECT_ERROR, pycurl.E_SSL_CIPHER, pycurl.E_USE_SSL_FAILED), "tls"),
    **dict.fromkeys(
        (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_ISSUER_ERROR, pycurl.E_SSL_INVALIDCERTSTATUS), "certificate"
    ),
    **dict.fromkeys((pycurl.E_GOT_NOTHING, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR, pycurl.E_PARTIAL_FILE), "reset"),
    **dict.fromkeys(
        (
            -1,  # the engine itself gave up
            pycurl.E_FAILED_INIT,
            pycurl.E_NOT_BUILT_IN,
            pycurl.E_URL_MALFORMAT,
            pycurl.E_OUT_OF_MEMORY,
            pycurl.E_BAD_FUNCTION_ARGUMENT,
            pycurl.E_INTERFACE_FAILED,
            pycurl.E_SSL_ENGINE_NOTFOUND,
            pycurl.E_SSL_ENGINE_SETFAILED,
            pycurl.E_SSL_ENGINE_INITFAILED,
            pycurl.E_SSL_CERTPROBLEM,
            pycurl.E_SSL_CACERT_BADFILE,
            pycurl.E_SSL_CRL_BADFILE,
        ),
        "local",
    ),
}

# What a failed connect means, by the system's error number. Permission is our own firewall or sandbox.
_ERRNOS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    **dict.fromkeys(
        (
            errno.EADDRNOTAVAIL,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOBUFS,
            errno.ENOMEM,
            errno.EACCES,
            errno.EPERM,
            errno.EAFNOSUPPORT,
        ),
        "local",
    ),
}

# X509_V_ERR_* of OpenSSL's x509_vfy.h, as SSL_VERIFYRESULT gives them.
_VERIFY = {
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    19: "self-signed",
    2: "untrusted",
    20: "untrusted",
    21: "untrusted",
    23: "revoked",
    62: "name",
}


def slug(curl: pycurl.Curl, code: int, message: str) -> str:
    """The bounded name of an error that libcurl ended a transfer with."""
    if code == pycurl.E_COULDNT_CONNECT:
        return _ERRNOS.get(curl.getinfo(pycurl.OS_ERRNO)) or ("local" if starved() else "unreachable")
    if code == pycurl.E_UNSUPPORTED_PROTOCOL:
        return "scheme" if message.startswith("Protocol ") else "protocol"  # HTTP/0.9, or a status that is none
    if code == pycurl.E_RECV_ERROR and "header" in message:
        return "protocol"  # more header than anybody needs
    if code == pycurl.E_SSL_CONNECT_ERROR and curl.getinfo(pycurl.OS_ERRNO) in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    return _SLUGS.get(code, "protocol")


def phases(curl: pycurl.Curl, looked_up: float, *, https: bool) -> Mapping[str, float]:
    """Seconds spent in each phase that the transfer got through; a phase that did not end is left out."""
    get = curl.getinfo
    named, connected, secured = get(pycurl.NAMELOOKUP_TIME), get(pycurl.CONNECT_TIME), get(pycurl.APPCONNECT_TIME)
    if not connected:
        return Few(_LOOKED_UP, array("d", (looked_up + named,))) if named else NOTHING
    # After a handshake that ran out of time libcurl says all the same that a transfer began.
    first = get(pycurl.STARTTRANSFER_TIME) if secured or not https else 0.0
    seconds = [looked_up + named, connected - named]
    if secured:
        seconds.append(secured - connected)
    if first:
        seconds += (first - (secured or connected), get(pycurl.TOTAL_TIME) - first)
    return Few(_PHASES[bool(secured), bool(first)], array("d", seconds))


_LOOKED_UP = ("dns",)
_PHASES = {  # by whether there was a handshake, and an answer
    (False, False): ("dns", "connect"),
    (True, False): ("dns", "connect", "tls"),
    (False, True): ("dns", "connect", "first_byte", "transfer"),
    (True, True): ("dns", "connect", "tls", "first_byte", "transfer"),
}


class Headers(Mapping[str, str]):
    """Response headers, read from their bytes only when somebody looks. Only the last block counts: interim answers
    (1xx) come before it."""

    __slots__ = ("_parsed", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parsed: dict[str, str] | None = None

    def _fields(self) -> dict[str, str]:
        if self._parsed is None:
            self._parsed = parse_headers(self._raw)
            self._raw = b""
        return self._parsed

    def __getitem__(self, name: str) -> str:
        return self._fields()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def __repr__(self) -> str:
        return f"Headers({self._fields()!r})"


def parse_headers(raw: bytes) -> dict[str, str]:
    """Fields of the last header block, names in lower case, repeated ones joined with ", ". Latin-1, as HTTP has it."""
    fields: dict[str, str] = {}
    for line in raw.decode("latin-1").split("\r\n"):
        if line.startswith("HTTP/"):
            fields.clear()
            continue
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def certificate(curl: pycurl.Curl) -> tuple[datetime | None, dict[str, str]]:
    """When the server's own certificate runs out, and what it says of itself; `problem` is why it did not verify."""
    chain = curl.getinfo(pycurl.INFO_CERTINFO)
    if not chain:
        return None, {}
    first: dict[str, str] = {str(entry[0]): str(entry[1]) for entry in chain[0] if len(entry) == 2}
    told = {
        "subject": first.get("Subject", ""),
        "issuer": first.get("Issuer", ""),
        "names": first.get("X509v3 Subject Alternative Name", ""),
        "from": first.get("Start date", ""),
        "until": first.get("Expire date", ""),
    }
    return _time(first.get("Expire date", "")), told


def verify_problem(curl: pycurl.Curl, message: str) -> str:
    """Why a certificate did not verify: expired, not yet valid, self-signed, untrusted, revoked, name or other."""
    if "does not match" in message or "no alternative certificate subject name" in message:
        return "name"
    code: Any = curl.getinfo(pycurl.SSL_VERIFYRESULT)
    return _VERIFY.get(code, "other")


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
    except ValueError:
        return None
