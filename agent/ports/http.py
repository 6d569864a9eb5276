"""The probe engine of HTTP, and names to addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from socket import socket
from typing import Protocol

from agent.core.few import no_figures, no_text


@dataclass(slots=True, kw_only=True)
class HttpRequest:
    """One request on a connection of its own. `headers` are complete "Name: value" lines.

    `family` is 4, 6 or 0 for either. `max_redirects` 0 means that a redirect is an answer like any other; only
    http and https are ever followed. `connect_only` stops after the TLS handshake. `body_limit` is in bytes:
    more than that is cut off and marked. `resolve_to` sends the request to this address whatever DNS says; with
    `connection` it goes over this one, which is open already and stays the caller's to close.
    """

    url: str
    method: str = "GET"
    headers: Sequence[str] = ()
    body: bytes | None = None
    timeout: float = 3.0
    family: int = 0
    max_redirects: int = 0
    body_limit: int = 1_048_576
    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    userpwd: str | None = None
    server_name: str | None = None
    resolve_to: str | None = None
    connection: socket | None = None
    connect_only: bool = False
    want_certificate: bool = False
    http_version: str = ""  # "", "1.1", "2"


@dataclass(slots=True, kw_only=True)
class HttpAnswer:
    """What came back. `error` is a bounded slug, empty when a whole answer was read: "refused", "timeout", "dns",
    "tls", "certificate" (it did not verify), "unreachable", "reset", "redirects", "scheme", "protocol", "local" (our
    own lack of something: never the target's fault). A certificate is reported also when its verification failed."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=no_text)  # names in lower case, repeated ones joined with ", "
    body: bytes = b""
    truncated: bool = False
    error: str = ""
    message: str = ""
    phases: Mapping[str, float] = field(
        default_factory=no_figures
    )  # seconds spent in dns, connect, tls, first_byte, transfer
    total: float = 0.0
    address: str = ""
    url: str = ""  # the last one, after redirects
    redirects: int = 0
    http_version: str = ""
    certificate_expires: datetime | None = None
    certificate: Mapping[str, str] = field(default_factory=no_text)  # subject, issuer, names, as text


class ResolveError(Exception):
    """A name has no address now. `reason` is "dns" (the resolver said so), "timeout" (it said nothing in time) or
    "local" (our own lack of something: never the target's fault)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Resolver(Protocol):
    """Names to addresses, without a cache: a check looks anew each time. One name that hangs delays no other."""

    async def resolve(self, host: str, *, family: int = 0, timeout: float) -> Sequence[str]:
        """Addresses as text, best first, never empty. `family` is 4, 6 or 0 for either. Raises ResolveError."""
        ...


class HttpClient(Protocol):
    """A probe engine. Never raises for anything that the network or the server does."""

    async def fetch(self, request: HttpRequest) -> HttpAnswer: ...
