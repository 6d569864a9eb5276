"""The HTTP side as one ASGI app: metrics, health of the agent itself, heartbeats, the JSON API, the pages."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.core.drills import is_drill
from agent.core.durations import parse_duration
from agent.core.events import EventKind
from agent.ports import ServiceRow, StoreUnavailable
from agent.web.alerts_in import PREFIX as ALERTS
from agent.web.alerts_in import AlertsInApi
from agent.web.answers import Chunks, accepts_gzip, json_answer, json_list, to_json
from agent.web.beats import BeatEndpoint
from agent.web.bodies import json_body
from agent.web.deps import WebDeps
from agent.web.drills import DrillApi
from agent.web.gate import Gate, Refusal
from agent.web.maintenance import MaintenanceApi
from agent.web.notify import NotifyApi
from agent.web.oncall import OnCallApi
from agent.web.operators import OperatorApi
from agent.web.pages import page_routes
from agent.web.silences import SilenceApi
from agent.web.slack import PREFIX as SLACK
from agent.web.slack import SlackApi
from agent.web.views import limits, readiness, service_brief, service_full, worst_first

__all__ = ["WebDeps", "create_app"]

log = structlog.get_logger()

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MOST_EVENTS = 1000
PARTS = (OperatorApi, OnCallApi, SilenceApi, MaintenanceApi, NotifyApi, DrillApi, SlackApi, AlertsInApi)


def create_app(deps: WebDeps) -> ASGIApp:
    """The app. Beats go past the router; everything but beats, the agent's own health, what Slack signs and
    alerts that come in goes through the gate."""
    api = Api(deps)
    routes = Starlette(
        routes=[*api.routes(), *(route for part in PARTS for route in part(deps).routes()), *page_routes(deps)],
        exception_handlers={StoreUnavailable: _store_unavailable, HTTPException: _http_error, 500: _crashed},
    )
    beats = BeatEndpoint(deps)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path.startswith("/beat/"):
            await beats(scope, receive, send)
            return
        refusal = None
        if path not in OPEN_PATHS and not path.startswith((SLACK, ALERTS)):  # these have ways in of their own
            refusal = Gate(deps.tokens()).refuse(dict(scope["headers"]), changes=scope["method"] in CHANGES)
        if refusal is not None:
            await _refused(refusal)(scope, receive, send)
            return
        await routes(scope, receive, send)

    return app


def _refused(refusal: Refusal) -> Response:
    ask = {"www-authenticate": 'Basic realm="codeblue: any name, a token as password"'} if refusal.status == 401 else {}
    return json_answer({"error": refusal.error}, refusal.status, ask)


async def _store_unavailable(_: Request, error: Exception) -> Response:
    return json_answer({"error": f"the store cannot answer now: {error}"}, 503, {"retry-after": "5"})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = (
        f"there is no {request.url.path}" if error.status_code == 404 and error.detail == "Not Found" else error.detail
    )
    return json_answer({"error": detail}, error.status_code, dict(error.headers or {}))


async def _crashed(request: Request, error: Exception) -> Response:
    log.error("request_crashed", path=request.url.path, error=f"{type(error).__name__}: {error}")
    return json_answer({"error": "internal error: see the agent's log"}, 500)


class Api:
    """The endpoints that answer in JSON, and `/metrics`."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/api/services", self.services),
            Route("/api/services/{name}", self.service),
            Route("/api/incidents", self.incidents),
            Route("/api/explain/{name}", self.explain),
            Route("/api/dead-letters", self.dead_letters),
            Route("/api/dead-letters/replay", self.replay, methods=["POST"]),
        ]

    def _answer(self, value: Any, status: int = 200) -> Response:
        text = self._deps.redact(to_json(value).decode())
        return Response(text + "\n", status, media_type="application/json")

    def _row(self, request: Request) -> ServiceRow:
        name = request.path_params["name"]
        row = self._deps.table.get(name)
        if row is None:
            raise HTTPException(404, f"there is no service {name!r}")
        return row

    # ------------------------------------------------------------------------------------- the agent itself

    async def metrics(self, request: Request) -> Response:
        content_type, chunks = self._deps.metrics(request.headers.get("accept", ""))
        return Chunks(chunks, content_type, gzip=accepts_gzip(request.headers.get("accept-encoding", "")))

    async def healthz(self, _: Request) -> Response:
        return json_answer({"alive": True, "agent": self._deps.agent, "version": self._deps.version})

    async def readyz(self, _: Request) -> Response:
        found = readiness(self._deps.vitals)
        answer = {"ready": not found.reasons, "reasons": found.reasons, "degraded": found.degraded}
        return self._answer(answer, 503 if found.reasons else 200)

    # ------------------------------------------------------------------------------------- what it watches

    async def services(self, request: Request) -> Response:
        """Every service, worst first; `?health=down` picks one health. `quiet` is why nobody is asked about it."""
        wanted = request.query_params.get("health")
        rows = worst_first(row for row in self._deps.table.values() if wanted in (None, row.state.health.value))
        gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        quiet = self._deps.desk.book.overview if self._deps.desk else {}
        lines = ({**service_brief(row), "quiet": "; ".join(one.why for one in quiet.get(row.name, ()))} for row in rows)
        return Chunks(json_list(lines, self._deps.redact), "application/json", gzip=gzip)

    async def service(self, request: Request) -> Response:
        return self._answer(service_full(self._row(request)))

    async def incidents(self, request: Request) -> Response:
        """Open incidents, and what the timeline says of opened and closed ones since `?since=` (7d)."""
        rows = worst_first(self._deps.table.values())
        events = await self._deps.store.history(None, since=self._since(request, "7d"), limit=MOST_EVENTS)
        turns = (EventKind.OPENED, EventKind.CLOSED)
        recent = [event for event in events if event.kind in turns and not is_drill(event.service)]
        return self._answer({"open": [row.state.incident for row in rows if row.state.incident], "recent": recent})

    async def explain(self, request: Request) -> Response:
        """What led to a service's present state: its results, thresholds, budgets, and its timeline since `?since=`."""
        row, now = self._row(request), self._deps.now()
        since = self._since(request, "24h")
        timeline = await self._deps.store.history(row.name, since=since, limit=MOST_EVENTS)
        runs = await self._deps.store.runs(row.name, None, since=since, limit=MOST_EVENTS)
        budgets = limits(row, self._deps.policy(row.name), self._deps.shared_budgets(row.name), now)
        answer = {"service": service_full(row), **budgets}
        return self._answer({**answer, "timeline": timeline, "runs": runs})

    def _since(self, request: Request, otherwise: str) -> datetime:
        text = request.query_params.get("since", otherwise)
        try:
            span: timedelta = parse_duration(text)
        except ValueError as error:
            raise HTTPException(400, f"since: {error}") from error
        return self._deps.now() - span

    # ------------------------------------------------------------------------------------- messages given up

    async def dead_letters(self, _: Request) -> Response:
        return self._answer(await self._deps.store.dead_letters())

    async def replay(self, request: Request) -> Response:
        """Send dead letters again: {"keys": [...]} or {"all": true}. Those whose incident is `over` are dropped."""
        keys = _keys(await json_body(request))
        dead = [letter.command.key for letter in await self._deps.store.dead_letters()]
        meant = dead if keys is None else keys
        replayed = await self._deps.replay(meant)
        return self._answer({"replayed": replayed, "over": max(0, len(set(meant).intersection(dead)) - replayed)})


def _keys(asked: Any) -> list[str] | None:
    """The keys that were asked for, None for all. Raises HTTPException for anything else."""
    if isinstance(asked, dict) and asked.get("all") is True:
        return None
    keys = asked.get("keys") if isinstance(asked, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise HTTPException(400, 'expected {"keys": ["..."]} or {"all": true}')
    return keys
