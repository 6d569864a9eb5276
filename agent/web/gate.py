"""Who may ask: tokens, and what browsers must not be talked into.

Without tokens the agent listens on loopback only. A page from elsewhere could still reach it through the visitor's
browser: by a name that suddenly resolves to 127.0.0.1 (DNS rebinding), or by a form or an image (cross-site requests).
"""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import ip_address

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered, with its HTTP status."""

    status: int
    error: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Any of the agent's tokens opens everything; none configured means loopback only."""

    tokens: tuple[str, ...] = ()

    def knows(self, token: str | None) -> bool:
        """Whether it is one of the agent's tokens. Takes the same time whichever it is."""
        given = (token or "").encode("utf-8", "replace")
        return sum(compare_digest(given, known.encode()) for known in self.tokens) > 0  # all are compared

    def refuse(self, headers: Headers, *, changes: bool) -> Refusal | None:
        """Why a page or an API call is refused, None when it may pass. `changes`: it is more than reading."""
        if changes and from_another_site(headers):
            return Refusal(403, "refused: this request was sent by a page of another site")
        if self.tokens:
            if self.knows(token_in(headers)):
                return None
            return Refusal(401, "a token is needed: send 'Authorization: Bearer <token>', one of agent.tokens")
        return self.refuse_name(headers)

    def refuse_name(self, headers: Headers) -> Refusal | None:
        """Without tokens, only names that always mean this very machine are answered."""
        if self.tokens or is_loopback_name(headers.get(b"host", b"").decode("latin-1")):
            return None
        return Refusal(403, "refused: ask for 127.0.0.1 or localhost by that name, or configure agent.tokens")


def token_in(headers: Headers) -> str | None:
    """The token of a request: a bearer token, the password of Basic authentication (any user), or X-Codeblue-Token."""
    own = headers.get(b"x-codeblue-token")
    if own is not None:
        return own.decode("utf-8", "replace").strip()
    scheme, _, value = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return value.decode("utf-8", "replace").strip()
    if scheme.lower() == b"basic":
        try:
            return b64decode(value.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
        except NotBase64:
            return None
    return None


def from_another_site(headers: Headers) -> bool:
    """Whether a browser sent this on behalf of a page that is not ours. Other clients send neither header."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    return origin is not None and origin.rpartition(b"//")[2] != headers.get(b"host")


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine for everybody: localhost or a loopback address, any port."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() in ("localhost", "localhost.")
