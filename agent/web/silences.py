"""GET, POST and DELETE /api/silences; POST /api/silences/preview; GET /api/quiet."""

from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.core.matchers import Matchers
from agent.core.silence import State
from agent.operations import Refused
from agent.quiet.desk import Desk, Wanted
from agent.quiet.preview import plain, preview
from agent.quiet.reading import parse_moment
from agent.web.answers import json_answer
from agent.web.asked import Asked, Keys, refusal
from agent.web.bodies import json_body
from agent.web.deps import WebDeps
from agent.web.quiet_views import meant_view, quiet_view, silence_view

SOMEBODY = "somebody"
KEYS: Keys = {
    "match": (str, list),
    "for": str,
    "until_resolved": bool,
    "from": str,
    "until": str,
    "zone": str,
    "by": str,
    "comment": str,
    "all": bool,
}


def desk_of(deps: WebDeps) -> Desk:
    """The desk. Raises HTTPException where there is none."""
    if deps.desk is None:
        raise HTTPException(503, "this agent keeps no silences")
    return deps.desk


class SilenceApi:
    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/api/quiet", self.quiet),
            Route("/api/silences", self.list),
            Route("/api/silences", self.add, methods=["POST"]),
            Route("/api/silences/preview", self.preview, methods=["POST"]),
            Route("/api/silences/{id}", self.expire, methods=["DELETE"]),
        ]

    async def quiet(self, _: Request) -> Response:
        """Every service that nobody is asked about now, and why."""
        overview = desk_of(self._deps).book.overview
        return json_answer([quiet_view(name, reasons) for name, reasons in sorted(overview.items())])

    async def list(self, request: Request) -> Response:
        """Those in force and to come, the newest first; with `?expired=1` those that ended lately, too."""
        book = desk_of(self._deps).book
        now = book.now()
        everything = request.query_params.get("expired", "") not in ("", "0", "false")
        found = [one for one in book.silences.values() if everything or one.state(now) is not State.EXPIRED]
        found.sort(key=lambda one: one.created, reverse=True)
        return json_answer([silence_view(one, book) for one in found])

    async def add(self, request: Request) -> Response:
        desk = desk_of(self._deps)
        asked = Asked(await json_body(request), KEYS)
        matchers = _matchers(desk, asked)
        starts = _moment(asked, "from")
        wanted = Wanted(
            matchers=matchers,
            by=asked.text("by", SOMEBODY),
            span=_span(asked, starts or desk.book.now()),
            until_resolved=asked.flag("until_resolved"),
            starts=starts,
            comment=asked.text("comment"),
            everything=asked.flag("all"),
        )
        try:
            made = await desk.add_silence(wanted)
        except Refused as refused:
            raise refusal(refused) from refused
        return json_answer({**silence_view(made, desk.book), **meant_view(matchers, desk)}, 201)

    async def preview(self, request: Request) -> Response:
        """What a silence would hide: services, open incidents, and the pages of the last days."""
        desk = desk_of(self._deps)
        asked = Asked(await json_body(request), KEYS)
        matchers = _matchers(desk, asked)
        found = await preview(matchers, desk.meant(matchers), self._deps.store, desk.book.now())
        return json_answer({**plain(found), "hint": desk.hint(matchers)})

    async def expire(self, request: Request) -> Response:
        desk = desk_of(self._deps)
        try:
            [ended] = await desk.expire([request.path_params["id"]], request.query_params.get("by") or SOMEBODY)
        except LookupError as error:
            raise HTTPException(404, str(error.args[0])) from error
        except Refused as refused:
            raise refusal(refused) from refused
        return json_answer(silence_view(ended, desk.book))


def _matchers(desk: Desk, asked: Asked) -> Matchers:
    try:
        return desk.read(asked.texts("match"))
    except Refused as refused:
        raise HTTPException(400, str(refused)) from refused


def _moment(asked: Asked, key: str) -> datetime | None:
    text = asked.text(key)
    try:
        return parse_moment(text, asked.text("zone", "UTC")) if text else None
    except (ValueError, OSError, LookupError) as error:
        raise HTTPException(400, f"{key}: {error}") from error


def _span(asked: Asked, starts: datetime) -> timedelta | None:
    """How long it shall last, as `for` or `until` says."""
    span, ends = asked.span("for"), _moment(asked, "until")
    if span is not None and ends is not None:
        raise HTTPException(400, "until: expected either until or for, got both")
    if ends is not None and ends <= starts:
        raise HTTPException(400, "until: expected a time that is to come, after from")
    return ends - starts if ends is not None else span
