"""Fire drills over HTTP: hold one, follow it, say that it was seen."""

from dataclasses import asdict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.operations import Refused
from agent.ports import DrillBook, DrillReport
from agent.web.answers import to_json
from agent.web.asked import refusal
from agent.web.bodies import json_body
from agent.web.deps import WebDeps


class DrillApi:
    """GET /api/drills lists those that are being held and the last ones, newest first; POST {"service", "by"} holds one
    (without a service: of the channels) and answers with its report, which GET /api/drills/ID follows. POST
    /api/drills/seen {"drill", "by"}: a person has seen the message."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/api/drills", self.listed),
            Route("/api/drills", self.hold, methods=["POST"]),
            Route("/api/drills/seen", self.seen, methods=["POST"]),
            Route("/api/drills/{id:path}", self.one),
        ]

    async def listed(self, _: Request) -> Response:
        return self._answer([asdict(report) for report in self._book().reports()])

    async def one(self, request: Request) -> Response:
        id = request.path_params["id"]
        report = self._book().report(id)
        if report is None:
            raise HTTPException(404, f"there is no drill {id!r}, or a newer one has taken its place")
        return self._answer(asdict(report))

    async def hold(self, request: Request) -> Response:
        asked = await _texts(request)
        book = self._book()
        try:
            id = book.hold(asked.get("service", ""), asked.get("by") or "somebody")
        except Refused as refused:
            raise refusal(refused) from refused
        report = book.report(id)
        assert isinstance(report, DrillReport), "a drill that was begun is known"
        return self._answer(asdict(report), 202)

    async def seen(self, request: Request) -> Response:
        asked = await _texts(request)
        try:
            said = await self._book().seen(asked.get("drill", ""), asked.get("by") or "somebody")
        except Refused as refused:
            raise refusal(refused) from refused
        return self._answer({"said": said})

    def _book(self) -> DrillBook:
        if self._deps.drills is None:
            raise HTTPException(503, "this agent holds no drills")
        return self._deps.drills

    def _answer(self, value: object, status: int = 200) -> Response:
        text = self._deps.redact(to_json(value).decode())
        return Response(text + "\n", status, media_type="application/json")


async def _texts(request: Request) -> dict[str, str]:
    asked = await json_body(request)
    if not isinstance(asked, dict) or not all(isinstance(value, str) for value in asked.values()):
        raise HTTPException(400, "expected an object of texts")
    return asked
