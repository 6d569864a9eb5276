"""The status pages: readable at three in the morning on a telephone, by people who have never seen them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from agent.core.budget import in_words
from agent.core.events import Event, EventKind, Quiet
from agent.core.state import Health, Incident
from agent.ports import Run, ServiceRow, StoreUnavailable
from agent.quiet.register import Reason
from agent.web.deps import WebDeps
from agent.web.quiet_views import quiet_table, quiet_until
from agent.web.strip import going_on, spoken, strip
from agent.web.views import WORST_FIRST, limits, readiness, worst_check, worst_first

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_WELL = 200  # services that are UP and shown all the same
MOST_UNWELL = 500
MOST_STRIPS = 20
MOST_EVENTS = 200
REFRESH = 10  # seconds

SIGNS = {
    Health.DOWN: "✕",
    Health.SUSPECT: "!",
    Health.UNKNOWN: "?",
    Health.DEGRADED: "▲",
    Health.PENDING: "…",
    Health.UP: "✓",
}

# Events about one result, whose texts do not name the check.
OF_ONE_CHECK = frozenset(
    {EventKind.MISSED, EventKind.RECOVERED_EARLY, EventKind.WARNED, EventKind.UNKNOWN, EventKind.KNOWN}
)


def page_routes(deps: WebDeps) -> list[Route]:
    pages = Pages(deps)
    return [Route("/", pages.status), Route("/services/{name}", pages.service)]


@dataclass(frozen=True, slots=True)
class Line:
    """One service in the listing."""

    name: str
    health: Health
    since: datetime | None
    checks: int
    summary: str
    stage: str
    quiet: str
    why_quiet: str
    strip: list[str]


def shown(rows: Sequence[ServiceRow]) -> tuple[list[ServiceRow], int]:
    """Of services that are sorted worst first, those that a page can hold, and how many are left out."""
    unwell = [row for row in rows if row.state.health is not Health.UP]
    well = rows[len(unwell) :]
    page = [*unwell[:MOST_UNWELL], *well[:MOST_WELL]]
    return page, len(rows) - len(page)


def counts(rows: Sequence[ServiceRow]) -> dict[Health, int]:
    """How many services have which health, worst first, without those that nobody has."""
    healths = [row.state.health for row in rows]
    return {health: count for health in WORST_FIRST if (count := healths.count(health))}


def headline(found: Mapping[Health, int]) -> str:
    """The one sentence that somebody who was just woken up needs."""
    total = sum(found.values())
    if not total:
        return "Nothing is watched yet"
    worst, count = next(iter(found.items()))
    if worst is Health.UP:
        return "The one service is up" if total == 1 else f"All {total} services are up"
    is_or_are = "is" if count == 1 else "are"
    return (
        f"{count} of {total} services {is_or_are} {worst.value}" if total > 1 else f"The one service is {worst.value}"
    )


class Pages:
    """Renders the pages. The template engine is loaded when somebody first looks."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    async def status(self, _: Request) -> HTMLResponse:
        """All services, worst first, with the open incidents."""
        now = self._deps.now()
        rows = worst_first(self._deps.table.values())
        page, left_out = shown(rows)
        strips = await self._strips([row for row in page if row.state.health is not Health.UP][:MOST_STRIPS], now)
        quiet = self._deps.desk.book.overview if self._deps.desk else {}
        lines = [_line(row, strips.get(row.name, []), quiet.get(row.name, ()), now) for row in page]
        incidents = [row.state.incident for row in rows if row.state.incident]
        return self._render(
            "status.html",
            now,
            lines=lines,
            left_out=left_out,
            title=headline(counts(rows)),
            counts=counts(rows),
            total=len(rows),
            incidents=incidents[:MOST_STRIPS],
            more_incidents=len(incidents[MOST_STRIPS:]),
            drill=next(iter(self._deps.drills.reports()), None) if self._deps.drills else None,
            quiet=quiet_table(self._deps.desk.book) if self._deps.desk else None,
            worst=rows[0].state.health if rows else Health.PENDING,
        )

    async def service(self, request: Request) -> HTMLResponse:
        """One service: its checks, its incident with evidence, its timeline."""
        name, now = request.path_params["name"], self._deps.now()
        row = self._deps.table.get(name)
        if row is None:
            raise HTTPException(404, f"there is no service {name!r}")
        timeline: Sequence[Event] = ()
        strips: dict[str, list[str]] = {}
        trouble = ""
        try:
            timeline = await self._deps.store.history(name, since=now - timedelta(days=7), limit=1000)
            strips = _by_check(await self._runs(row, now), now)
        except StoreUnavailable as error:
            trouble = f"The store cannot answer now, so history is missing: {error}"
        return self._render(
            "service.html",
            now,
            title=f"{name} is {row.state.health.value}",
            row=row,
            strips=strips,
            timeline=list(reversed(timeline))[:MOST_EVENTS],
            trouble_text=trouble,
            worst=row.state.health,
            quiet=self._quiet(row, now),
            **limits(row, self._deps.policy(name), self._deps.shared_budgets(name), now),
        )

    def _quiet(self, row: ServiceRow, now: datetime) -> Quiet | None:
        policy = self._deps.policy(row.name)
        return self._deps.desk.book.quiet(row, policy, now) if self._deps.desk and policy else None

    async def _runs(self, row: ServiceRow, now: datetime) -> Sequence[Run]:
        """The last hour's runs: those that the store has, which have ended, and those that still go on."""
        ended = await self._deps.store.runs(row.name, None, since=now - timedelta(hours=1))
        return [*ended, *going_on(row)]

    async def _strips(self, rows: Sequence[ServiceRow], now: datetime) -> dict[str, list[str]]:
        """The strip of each service over all its checks. Without a store there are none, and the page still comes."""
        found = {}
        try:
            for row in rows:
                if runs := await self._runs(row, now):
                    found[row.name] = strip(runs, now)
        except StoreUnavailable:
            return found
        return found

    def _render(self, template: str, now: datetime, **values: Any) -> HTMLResponse:
        nonce = token_urlsafe(12)
        ready = readiness(self._deps.vitals)
        about = {"agent": self._deps.agent, "version": self._deps.version, "now": now, "ready": ready, "nonce": nonce}
        about["up_for"] = in_words(now - self._deps.vitals.started)
        text = environment().get_template(template).render(refresh=REFRESH, ago=_ago(now), **about, **values)
        return HTMLResponse(self._deps.redact(text), headers=_protection(nonce))


def _line(row: ServiceRow, cells: list[str], quiet: tuple[Reason, ...], now: datetime) -> Line:
    worst, incident = worst_check(row), row.state.incident
    return Line(
        name=row.name,
        health=row.state.health,
        since=row.state.since,
        checks=len(row.checks),
        summary=f"{worst.check}: {worst.summary or worst.reason}" if worst and (worst.summary or worst.reason) else "",
        stage=stage_in_words(incident) if incident else "",
        quiet=quiet_until(quiet, now),
        why_quiet="; ".join(one.why for one in quiet),
        strip=cells,
    )


def stage_in_words(incident: Incident) -> str:
    """What is being done about it."""
    held_by = ", ".join(incident.held_by)
    return {
        "held": f"held: waits for {held_by}" if held_by else "held",
        "waiting": "waits before the next restart",
        "restarting": "is being restarted",
        "asking": f"waits for somebody to approve a restart: codeblue approve {incident.service}",
        "verifying": "was restarted: its checks must pass now",
        "paged": f"{incident.ack.by} has taken it on" if incident.ack else "people were paged",
        "quiet": f"nobody is asked: {incident.quiet}",
        "watching": "is only recorded",
    }[incident.stage.value]


def in_full(event: Event) -> str:
    """What happened, with the check that it happened to: the texts of single results do not name it."""
    text = event.text or event.kind.value
    return f"{event.check}: {text}" if event.check and event.kind in OF_ONE_CHECK else text


def _by_check(runs: Sequence[Run], now: datetime) -> dict[str, list[str]]:
    return {check: strip([run for run in runs if run.check == check], now) for check in {run.check for run in runs}}


def _ago(now: datetime) -> Callable[[datetime | None], str]:
    return lambda moment: in_words(max(now - moment, timedelta(0))) if moment else ""


def _protection(nonce: str) -> Mapping[str, str]:
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:"
    )
    return {
        "content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


@lru_cache(maxsize=1)
def environment() -> "Environment":
    """The templates, loaded once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "templates"
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"sign": SIGNS, "spoken": spoken, "seconds_in_words": _seconds}
    made.globals |= {"stage_in_words": stage_in_words, "in_full": in_full}
    return made


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
