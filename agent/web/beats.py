"""The intake of pushed heartbeats: `/beat/<service>/<check>[/start|/success|/fail|/log|/<exit code>]`.

A token travels in `Authorization: Bearer`, in `X-Codeblue-Token`, or in the path before the service, marked by a tilde
with which no name can begin: `/beat/~<token>/<service>/<check>`. `?rid=` tells runs of one check apart. GET, HEAD,
POST and PUT all beat. This is a bare ASGI callable in front of the routes, for thousands of beats a second.
"""

import asyncio
from urllib.parse import parse_qs, unquote

from starlette.types import Receive, Scope, Send

from agent.ports import Beat
from agent.web.answers import to_json
from agent.web.deps import WebDeps
from agent.web.gate import Gate, Headers, Refusal, from_another_site, token_in

KEPT = 10 * 1024  # bytes of a body that are kept
LONGEST = 1024 * 1024  # bytes of a body that are read at all
PATIENCE = 10.0  # seconds for a body to arrive
LINGER = 1.0  # seconds in which a sender may read why it was refused
LONGEST_RID = 64
METHODS = ("GET", "HEAD", "POST", "PUT")
KINDS = frozenset({"start", "success", "fail", "log"})

_JSON = (b"content-type", b"application/json")
_TAKEN = b'{"taken":true}\n'
_TAKEN_HEADERS = [_JSON, (b"content-length", b"%d" % len(_TAKEN))]
_PATH = "/beat/[~<token>/]<service>/<check>[/start|/success|/fail|/log|/<exit code 0-255>]"


class Refused(Exception):
    """The beat is not taken, or only in part. `outcome` is for the metric."""

    def __init__(self, status: int, outcome: str, error: str, *, taken: bool = False) -> None:
        super().__init__(error)
        self.status = status
        self.outcome = outcome
        self.taken = taken


class BeatEndpoint:
    """Takes beats in. The token and the check are looked at before a byte of the body is read."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        kind = "none"
        try:
            token, service, check, kind, exit_code = parse_path(scope.get("raw_path") or scope["path"].encode())
            self._admit(scope, headers, service, check, token)
            run_id = _run_id(scope["query_string"])
            body, whole = await read_body(headers, receive)
            beat = Beat(at=self._deps.now(), kind=kind, exit_code=exit_code, run_id=run_id)
            if not self._deps.beats.take(service, check, beat, body):
                raise _unknown(service, check)
            if not whole:
                raise Refused(413, "taken", "the beat was taken, but of its body only the beginning", taken=True)
        except Refused as refused:
            self._deps.count_beat(kind, refused.outcome)
            await _say(refused, headers, receive, send)
            return
        except ConnectionAbortedError:
            self._deps.count_beat(kind, "aborted")
            return
        self._deps.count_beat(kind, "taken")
        await send({"type": "http.response.start", "status": 200, "headers": _TAKEN_HEADERS})
        await send({"type": "http.response.body", "body": _TAKEN})

    @property
    def _gate(self) -> Gate:
        return Gate(self._deps.tokens())

    def _admit(self, scope: Scope, headers: Headers, service: str, check: str, token: str | None) -> None:
        """Raises Refused. A check's own token opens it, and so does any of the agent's."""
        if scope["method"] not in METHODS:
            raise Refused(405, "invalid", f"a beat is one of {', '.join(METHODS)}")
        if from_another_site(headers):
            raise Refused(403, "refused", "refused: this beat was sent by a page of another site")
        beats = self._deps.beats
        if not beats.knows(service, check):
            raise _unknown(service, check)
        token = token or token_in(headers)
        if self._gate.knows(token):
            return
        if not beats.admits(service, check, token):
            raise Refused(403, "refused", f"wrong or missing token for {service}/{check}")
        if beats.admits(service, check, None):  # the check has no token of its own
            if self._gate.tokens:
                raise Refused(403, "refused", f"a token is needed: {service}/{check} has none, so one of agent.tokens")
            self._same_machine(headers)

    def _same_machine(self, headers: Headers) -> None:
        refusal: Refusal | None = self._gate.refuse_name(headers)
        if refusal is not None:
            raise Refused(refusal.status, "refused", refusal.error)


def _unknown(service: str, check: str) -> Refused:
    return Refused(404, "unknown", f"there is no heartbeat check {service}/{check}")


def parse_path(raw: bytes) -> tuple[str | None, str, str, str, int | None]:
    """Token, service, check, kind and exit code. Raises Refused for a path that is none."""
    parts = [
        unquote(part.decode("latin-1")) if b"%" in part else part.decode("latin-1") for part in raw.split(b"/")[2:]
    ]
    token = parts.pop(0)[1:] if parts[0].startswith("~") else None
    if parts and parts[-1] == "":
        parts.pop()
    if len(parts) not in (2, 3) or not all(parts):
        raise Refused(404, "invalid", f"no beat: expected {_PATH}")
    signal = parts[2] if len(parts) == 3 else "success"
    if signal in KINDS:
        return token, parts[0], parts[1], signal, None
    if signal.isascii() and signal.isdigit() and len(signal) <= 3 and int(signal) <= 255:
        return token, parts[0], parts[1], "fail" if int(signal) else "success", int(signal)
    raise Refused(404, "invalid", f"no beat: {signal[:40]!r} is neither a signal nor an exit code: expected {_PATH}")


def _run_id(query: bytes) -> str:
    if not query:
        return ""
    run_id = parse_qs(query.decode("latin-1"), max_num_fields=20).get("rid", [""])[0] if query.count(b"&") < 20 else ""
    if len(run_id) > LONGEST_RID:
        raise Refused(400, "invalid", f"rid is longer than {LONGEST_RID} characters")
    return run_id


async def read_body(headers: Headers, receive: Receive) -> tuple[bytes, bool]:
    """The beginning of the body (one byte more than is kept tells that it was cut), and whether it was read to its end.
    Raises Refused when it does not arrive in time, and ConnectionAbortedError when the sender goes away."""
    length = headers.get(b"content-length", b"")
    if length in (b"", b"0") and b"transfer-encoding" not in headers:
        return b"", True
    too_long = length.isdigit() and int(length) > LONGEST
    if too_long and b"expect" in headers:
        return b"", False  # the sender waits to be asked for it: nobody asks
    try:
        async with asyncio.timeout(PATIENCE):
            return await _read(receive, KEPT if too_long else LONGEST)
    except TimeoutError:
        raise Refused(408, "invalid", f"the body did not arrive within {PATIENCE:g} s: not taken") from None


async def _read(receive: Receive, limit: int) -> tuple[bytes, bool]:
    kept, seen = b"", 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        chunk = message.get("body", b"")
        seen += len(chunk)
        if len(kept) <= KEPT:
            kept += chunk[: KEPT + 1 - len(kept)]
        if not message.get("more_body", False):
            return kept, True
        if seen > limit:
            return kept, False


async def _say(refused: Refused, headers: Headers, receive: Receive, send: Send) -> None:
    """Answer, and let a sender that is still sending read the answer before the connection is closed."""
    body = to_json({"taken": refused.taken, "error": str(refused)}) + b"\n"
    unread = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    fields = [_JSON, (b"content-length", b"%d" % len(body))]
    if refused.status == 405:
        fields.append((b"allow", ", ".join(METHODS).encode()))
    if unread:
        fields.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": unread})
    if unread:
        if b"expect" not in headers:
            await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    """Throw away what still comes, for a moment: closing at once would take the answer away from a sender."""
    seen = 0
    try:
        async with asyncio.timeout(LINGER):
            while seen < LONGEST:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                seen += len(message.get("body", b""))
    except TimeoutError:
        return
