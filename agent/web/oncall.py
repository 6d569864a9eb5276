"""Who is on call, and what people change about it, over HTTP."""

from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.core.rota import Override
from agent.ports import OnCall
from agent.web.answers import json_answer
from agent.web.bodies import json_body
from agent.web.deps import WebDeps


class OnCallApi:
    """GET /api/oncall; POST /api/oncall/overrides {"schedule", "person", "start", "end", "instead_of", "swap", "by"}
    (times with their zone, the last three optional); POST /api/oncall/overrides/remove {"id"}."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/api/oncall", self.now),
            Route("/api/oncall/overrides", self.add, methods=["POST"]),
            Route("/api/oncall/overrides/remove", self.remove, methods=["POST"]),
        ]

    @property
    def _book(self) -> OnCall:
        if self._deps.oncall is None:
            raise HTTPException(404, "this agent keeps no book of who is on call")
        return self._deps.oncall

    async def now(self, _: Request) -> Response:
        """Who is on call by each schedule, what was changed, the shifts that were read from calendars, and what is
        wrong with schedules and channels."""
        book = self._book
        calendars = {name: schedule.shifts for name, schedule in book.schedules.items() if schedule.shifts}
        answer = {"schedules": book.now(), "overrides": book.overrides, "calendars": calendars, "trouble": book.trouble}
        return json_answer({**answer, "channels": self._deps.vitals.channel_trouble})

    async def add(self, request: Request) -> Response:
        asked = _object(await json_body(request))
        try:
            override = Override(
                id="",
                schedule=_text(asked, "schedule"),
                person=_text(asked, "person"),
                start=_moment(asked, "start"),
                end=_moment(asked, "end"),
                instead_of=_text(asked, "instead_of", ""),
                swap=asked.get("swap") is True,
                by=_text(asked, "by", "")[:100],
            )
            made = await self._book.add(override)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return json_answer({"override": made})

    async def remove(self, request: Request) -> Response:
        asked = _object(await json_body(request))
        try:
            return json_answer({"removed": await self._book.remove(_text(asked, "id"))})
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error


def _object(asked: Any) -> dict[str, Any]:
    if not isinstance(asked, dict):
        raise HTTPException(400, "expected an object")
    return asked


def _text(asked: dict[str, Any], key: str, otherwise: str | None = None) -> str:
    value = asked.get(key, otherwise)
    if not isinstance(value, str):
        raise ValueError(f"{key}: expected a text" if key in asked else f"{key} is missing")
    return value


def _moment(asked: dict[str, Any], key: str) -> datetime:
    text = _text(asked, key)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"{key}: expected a time with its zone such as 2026-01-05T09:00:00+01:00, got {text!r}")
    return at.astimezone(UTC)
