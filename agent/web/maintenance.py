"""GET, POST and DELETE /api/maintenance; POST /api/maintenance/preview."""

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.core.windows import Window
from agent.operations import Refused
from agent.quiet.desk import new_window_id
from agent.quiet.preview import LOOKED_BACK, covered, plain, preview
from agent.quiet.reading import Misread, WrittenWindow, read_window
from agent.quiet.recurrence import in_force, upcoming
from agent.web.answers import json_answer
from agent.web.asked import Asked, Keys, refusal
from agent.web.bodies import json_body
from agent.web.deps import WebDeps
from agent.web.quiet_views import meant_view, span_view, window_view
from agent.web.silences import SOMEBODY, desk_of

KEYS: Keys = {
    "id": str,
    "match": (str, list),
    **dict.fromkeys(("cron", "rrule", "at", "for", "from", "until", "zone", "comment", "by"), str),
    "all": bool,
}
MOST_TIMES = 5000  # of a window in the days that a preview looks back on
SHOWN_TIMES = 10


class MaintenanceApi:
    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/api/maintenance", self.list),
            Route("/api/maintenance", self.add, methods=["POST"]),
            Route("/api/maintenance/preview", self.preview, methods=["POST"]),
            Route("/api/maintenance/{id}", self.end, methods=["DELETE"]),
        ]

    async def list(self, _: Request) -> Response:
        """Every window, those of the configuration first, with the next times of each."""
        book = desk_of(self._deps).book
        return json_answer([window_view(one, book) for one in book.windows])

    async def add(self, request: Request) -> Response:
        desk = desk_of(self._deps)
        asked = Asked(await json_body(request), KEYS)
        window = await self._read(asked)
        try:
            await desk.add_window(window, everything=asked.flag("all"))
        except Refused as refused:
            raise refusal(refused) from refused
        return json_answer({**window_view(window, desk.book), **meant_view(window.matchers, desk)}, 201)

    async def preview(self, request: Request) -> Response:
        """The next times of a window that is described, or of the one with that `id`, and the pages of the last days
        that fell into its times."""
        desk = desk_of(self._deps)
        asked = Asked(await json_body(request), KEYS)
        name = asked.text("id")
        try:
            window = desk.window(name) if name else await self._read(asked)
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error
        now = desk.book.now()
        spans = upcoming(window, now - LOOKED_BACK - window.length, now, MOST_TIMES)
        found = await preview(window.matchers, desk.meant(window.matchers), self._deps.store, now, covered(spans))
        hint = desk.hint(window.matchers)
        view = window_view(window, desk.book, SHOWN_TIMES)
        if not name and (span := in_force(window, now)) is not None:
            view["now"] = span_view(span, window.zone)  # it would hold at once
        return json_answer({**plain(found), "hint": hint, "window": view})

    async def end(self, request: Request) -> Response:
        desk = desk_of(self._deps)
        try:
            ended = await desk.end_window(request.path_params["id"], request.query_params.get("by") or SOMEBODY)
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error
        except Refused as refused:
            raise refusal(refused) from refused
        return json_answer(window_view(ended, desk.book))

    async def _read(self, asked: Asked) -> Window:
        desk = desk_of(self._deps)
        now = desk.book.now()
        once = not asked.text("cron") and not asked.text("rrule")
        written = WrittenWindow(
            match=asked.texts("match"),
            cron=asked.text("cron"),
            rrule=asked.text("rrule"),
            at=asked.text("at"),
            length=asked.span("for"),
            begins=asked.text("from") or (now.isoformat() if once else ""),
            ends=asked.text("until"),
            zone=asked.text("zone", "UTC"),
            comment=asked.text("comment"),
        )
        by: dict[str, Any] = {"by": asked.text("by", SOMEBODY), "made_at": now}
        try:
            # in a thread: a rule that never comes takes seconds to be seen through
            return await asyncio.to_thread(read_window, written, desk.known(), name=new_window_id(), **by)
        except Misread as error:
            raise HTTPException(400, str(error)) from error
