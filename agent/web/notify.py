"""GET /api/notify; POST /api/notify/<channel>."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.operations import Refused
from agent.ports import Notifying
from agent.web.answers import to_json
from agent.web.asked import Asked, Keys, refusal
from agent.web.bodies import json_body
from agent.web.deps import WebDeps

KEYS: Keys = {"person": str, "by": str}


class NotifyApi:
    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/api/notify", self.list),
            Route("/api/notify/{channel}", self.test, methods=["POST"]),
        ]

    async def list(self, _: Request) -> Response:
        """Every channel: whether it is in trouble, what waits there, what became of its last message."""
        return self._answer(self._notifying().channels())

    async def test(self, request: Request) -> Response:
        """Send a test message and wait for what becomes of it: {"person", "by"}, both optional. An answer of 200 says
        only that it was tried; `outcome` says whether it arrived."""
        asked = Asked(await json_body(request), KEYS)
        channel, by = request.path_params["channel"], asked.text("by", "somebody")
        try:
            return self._answer(await self._notifying().test(channel, person=asked.text("person"), by=by))
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error
        except Refused as refused:
            raise refusal(refused) from refused

    def _answer(self, value: Any) -> Response:
        return Response(self._deps.redact(to_json(value).decode()) + "\n", media_type="application/json")

    def _notifying(self) -> Notifying:
        if self._deps.notifying is None:
            raise HTTPException(503, "this agent sends nothing")
        return self._deps.notifying
