"""What Slack posts when somebody presses a button or types a command: POST /slack/interactive and /slack/command.

These paths are open to whoever can reach the agent: the signature alone lets a request in. Slack computes it over the
very bytes of the body and the time, under the app's signing secret (docs.slack.dev, authentication/verifying-requests-
from-slack). A request is answered as soon as it is known to be Slack's; what it asks for is done afterwards.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.ports import Said
from agent.web.answers import json_answer
from agent.web.bodies import body_of
from agent.web.deps import WebDeps

PREFIX = "/slack/"
LONGEST = 1024 * 1024  # bytes: a press brings the whole message along
FRESH = 300.0  # seconds that a request may be old, or ahead
REMEMBERED = 10_000  # signatures


class SlackApi:
    """Takes each request once. `deps.signed` is asked every time, so that a reload counts at once."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps
        self._seen: dict[str, None] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/slack/interactive", self.interactive, methods=["POST"]),
            Route("/slack/command", self.command, methods=["POST"]),
        ]

    async def interactive(self, request: Request) -> Response:
        return await self._take(request, _interaction)

    async def command(self, request: Request) -> Response:
        return await self._take(request, _command)

    async def _take(self, request: Request, read: Callable[[bytes], Said | None]) -> Response:
        secrets = self._deps.signed()
        if not secrets:
            return json_answer({"error": "no channel has a signing_secret"}, 404)
        stamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if not signature or not fresh(stamp, self._deps.now()):
            return json_answer({"error": "refused: not signed, or not just now"}, 403)
        body = await body_of(request, LONGEST)
        secret = signer(secrets, signature, stamp, body)
        if secret is None or signature in self._seen:
            return json_answer({"error": "refused: the signature is wrong, or was used before"}, 403)
        said = read(body)
        if said is None:
            return json_answer({"error": "expected a form as Slack posts it"}, 400)
        self._seen[signature] = None
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        secrets[secret](said)
        return Response(status_code=200)


def fresh(stamp: str, now: datetime) -> bool:
    """Whether a request's time is within five minutes of now; an older one may be replayed by who overheard it."""
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        return False
    return abs(now.timestamp() - int(stamp)) <= FRESH


def signer(secrets: Mapping[str, object], signature: str, stamp: str, body: bytes) -> str | None:
    """The secret that the request is signed with, None where it is none of them. Takes as long for each."""
    given, found = signature.encode("utf-8", "replace"), None
    for secret in secrets:
        digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(f"v0={digest}".encode(), given):
            found = secret
    return found


def _interaction(body: bytes) -> Said | None:
    try:
        payload = orjson.loads(_form(body).get("payload", ""))
    except ValueError:
        return None
    return {"type": "interactive", "payload": payload} if isinstance(payload, dict) else None


def _command(body: bytes) -> Said | None:
    form = _form(body)
    return {"type": "slash_commands", "payload": form} if form.get("command") else None


def _form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
