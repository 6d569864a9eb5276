"""Easy handles, and what a request sets on them.

Most probes are plain: a GET where only the URL, the time and perhaps the headers differ. Their handles keep every
other option from one request to the next; a handle that was used for anything else is reset (2 µs) when it returns.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from urllib.parse import SplitResult, urlsplit

import pycurl

from agent import __version__
from agent.ports import HttpRequest

USER_AGENT = f"codeblue/{__version__}"

# Debian, Red Hat, SUSE, Alpine: the wheel's own libcurl knows none of them.
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
_CA_CACHE_TIMEOUT = 321  # CURLOPT_CA_CACHE_TIMEOUT, in seconds; pycurl has no name for it
_WEB = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_FAMILIES = {0: pycurl.IPRESOLVE_WHATEVER, 4: pycurl.IPRESOLVE_V4, 6: pycurl.IPRESOLVE_V6}
_NO_BODY = {"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"}


def system_ca_file() -> str | None:
    """The host's bundle of trusted certificates, or the one of Python's own packages; None when there is neither."""
    default = ssl.get_default_verify_paths().openssl_cafile
    for name in (*_CA_FILES, default):
        if Path(name).is_file():
            return name
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()


class Handle:
    """An easy handle with its buffers: `lines` of all response headers as they came, and `chunks` of the body up to
    the limit of bytes; beyond it the transfer is broken off and `truncated` set."""

    __slots__ = ("_ca_file", "_headers", "_left", "_timeout", "chunks", "curl", "lines", "truncated")

    def __init__(self, ca_file: str | None) -> None:
        self.curl = pycurl.Curl()
        self.lines: list[bytes] = []
        self.chunks: list[bytes] = []
        self.truncated = False
        self._ca_file = ca_file
        self._timeout = self._left = 0
        self._headers: tuple[str, ...] = ()
        self._set_constants()

    def prepare(self, url: str, headers: Sequence[str], timeout: float, limit: int) -> None:
        """Set what a plain request needs."""
        curl = self.curl
        curl.setopt(pycurl.URL, url if url.isascii() else url.encode())
        milliseconds = max(1, round(timeout * 1000))
        if milliseconds != self._timeout:
            curl.setopt(pycurl.TIMEOUT_MS, milliseconds)
            curl.setopt(pycurl.CONNECTTIMEOUT_MS, milliseconds)
            self._timeout = milliseconds
        if headers != self._headers:
            curl.setopt(pycurl.HTTPHEADER, [h if h.isascii() else h.encode() for h in headers])
            self._headers = tuple(headers)
        self._left = limit

    def clear(self) -> None:
        """Make a handle that did a plain request ready for the next one."""
        self.lines.clear()
        self.chunks.clear()
        self.truncated = False

    def reset(self) -> None:
        """Make any handle ready for the next request, whatever was set on it."""
        self.clear()
        self.curl.reset()
        self._set_constants()

    def _set_constants(self) -> None:
        set_option = self.curl.setopt
        set_option(pycurl.NOSIGNAL, 1)
        set_option(pycurl.FRESH_CONNECT, 1)
        set_option(pycurl.FORBID_REUSE, 1)
        set_option(pycurl.SSL_SESSIONID_CACHE, 0)  # a resumed session shows no certificate
        set_option(pycurl.PROTOCOLS, _WEB)
        set_option(pycurl.PROXY, "")
        set_option(pycurl.NOPROXY, "*")
        set_option(pycurl.DNS_CACHE_TIMEOUT, 0)  # no cache: libcurl walks through all of it on every transfer
        set_option(pycurl.USERAGENT, USER_AGENT)
        set_option(_CA_CACHE_TIMEOUT, 300)
        if self._ca_file:
            set_option(pycurl.CAINFO, self._ca_file)
        set_option(pycurl.HEADERFUNCTION, self.lines.append)
        set_option(pycurl.WRITEFUNCTION, self._take)
        self._timeout, self._headers = 0, ()

    def _take(self, chunk: bytes) -> int | None:
        self._left -= len(chunk)
        if self._left >= 0:
            self.chunks.append(chunk)
            return None
        self.chunks.append(chunk[: self._left])
        self.truncated = True
        return -1


def is_plain(request: HttpRequest) -> bool:
    """Whether the URL, headers, time and body limit are all that this request sets."""
    return (
        request.method == "GET"
        and request.body is None
        and request.verify
        and not (
            request.family
            or request.want_certificate
            or request.ca_file
            or request.client_cert
            or request.userpwd
            or request.server_name
            or request.resolve_to
            or request.connection
            or request.connect_only
            or request.http_version
        )
    )


def apply(curl: pycurl.Curl, request: HttpRequest, *, https: bool) -> None:
    """Set what is not plain in a request. Raises pycurl.error, ValueError or TypeError for what curl can't take."""
    _apply_method(curl, request)
    curl.setopt(pycurl.IPRESOLVE, _FAMILIES[request.family])
    if request.userpwd:
        curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)
        curl.setopt(pycurl.USERPWD, request.userpwd.encode())
    if request.connect_only:
        curl.setopt(pycurl.CONNECT_ONLY, 1)
    if request.connection is not None:
        _apply_connection(curl, request.connection)
    if request.http_version == "1.1":
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    elif request.http_version == "2":
        # In the clear there is no upgrade that servers still speak: HTTP/2 from the first byte.
        known = pycurl.CURL_HTTP_VERSION_2_0 if https else pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
        curl.setopt(pycurl.HTTP_VERSION, known)
    if https:
        _apply_tls(curl, request)


def _apply_connection(curl: pycurl.Curl, connection: socket) -> None:
    """Go over a connection that is there; pycurl takes a descriptor of its own for it."""
    curl.setopt(pycurl.OPENSOCKETFUNCTION, lambda *_: connection)
    curl.setopt(pycurl.SOCKOPTFUNCTION, lambda *_: pycurl.SOCKOPT_ALREADY_CONNECTED)


def _apply_method(curl: pycurl.Curl, request: HttpRequest) -> None:
    if request.body is not None:
        curl.setopt(pycurl.POSTFIELDS, request.body)
    elif request.method not in _NO_BODY:
        curl.setopt(pycurl.POSTFIELDS, b"")  # servers want a length of 0 rather than none
    if request.method == "HEAD":
        curl.setopt(pycurl.NOBODY, 1)
    elif request.method != "GET" or request.body is not None:
        curl.setopt(pycurl.CUSTOMREQUEST, request.method)


def _apply_tls(curl: pycurl.Curl, request: HttpRequest) -> None:
    if request.want_certificate:
        curl.setopt(pycurl.OPT_CERTINFO, 1)
    if not request.verify:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    if request.ca_file:
        curl.setopt(pycurl.CAINFO, request.ca_file)
    if request.client_cert:
        curl.setopt(pycurl.SSLCERT, request.client_cert)
        curl.setopt(pycurl.SSLKEY, request.client_key or request.client_cert)


def apply_addresses(curl: pycurl.Curl, target: "Target", addresses: Sequence[str]) -> None:
    """Connect to one of these addresses whatever DNS says. The entry outlives the transfer by a second at most."""
    entry = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
    curl.setopt(pycurl.DNS_CACHE_TIMEOUT, 1)  # 0 would forget them before they are used
    curl.setopt(pycurl.RESOLVE, [f"+{target.name}:{target.port}:{entry}"])


def apply_route(curl: pycurl.Curl, target: "Target", name: str, address: str) -> str:
    """Talk to `address` in the name of `name` (in TLS and in the Host header). Returns the URL that says so."""
    address = f"[{address}]" if ":" in address else address
    curl.setopt(pycurl.CONNECT_TO, [f"{name}:{target.port}:{address}:{target.port}"])
    return target.parts._replace(netloc=f"{name}:{target.port}").geturl()


class Target:
    """Where a URL points: `name` is what is looked up, `host` the same as libcurl writes it. Raises ValueError."""

    __slots__ = ("host", "https", "name", "parts", "port")

    def __init__(self, url: str) -> None:
        self.parts: SplitResult = urlsplit(url)
        self.https = self.parts.scheme == "https"
        host = self.parts.hostname
        if not host:
            raise ValueError("the URL names no host")
        self.name = host if host.isascii() else host.encode("idna").decode()
        self.host = self.name.rstrip(".")
        self.port = self.parts.port or (443 if self.https else 80)
