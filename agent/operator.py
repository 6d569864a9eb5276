"""What people may do about incidents: behind Slack's buttons and commands, the command line and the API alike."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from agent.config.nearest import did_you_mean
from agent.core.budget import in_words
from agent.core.events import Acknowledged, Approved, Input, RestartAsked
from agent.core.policy import Policy
from agent.core.state import Health, Incident, Stage
from agent.operations import NoSuchService, Refused
from agent.ports import ServiceRow
from agent.web.views import worst_first

LONGEST = timedelta(days=30)  # that an acknowledgement or a silence may hold
SHOWN = 20  # services that are not well, in the answer to a question about all


class SilenceBook(Protocol):
    """Where silences are kept."""

    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        """Make one, and say in one sentence what it hides. Raises Refused."""
        ...


class Operator:
    """`agent.operations.Operations` on a running agent. Every input goes to the core, which decides whether it still
    counts; what is answered here is what can be seen now."""

    def __init__(
        self,
        *,
        table: Mapping[str, ServiceRow],
        policy: Callable[[str], Policy | None],
        tell: Callable[[str, Input], None],
        now: Callable[[], datetime],
        silences: SilenceBook,
        on_call: Callable[[], str],
        seen: Callable[[str, str], Awaitable[str]],
    ) -> None:
        self._table = table
        self._policy = policy
        self._tell = tell
        self._now = now
        self._silences = silences
        self._on_call = on_call
        self._seen = seen

    async def acknowledge(self, service: str, by: str, *, span: timedelta | None = None, incident: str = "") -> str:
        row, found = self._open(service, incident)
        if span is not None and not timedelta(0) < span <= LONGEST:
            raise Refused(f"an acknowledgement holds for at most {in_words(LONGEST)}, not {in_words(span)}")
        now = self._now()
        until = now + span if span else None
        self._tell(row.name, Acknowledged(at=now, by=by, until=until, incident=found.id))
        return f"{row.name}: {by} has taken it on" + (f" until {until:%H:%M} UTC." if until else ".")

    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        if span is not None and not timedelta(0) < span <= LONGEST:
            raise Refused(f"a silence lasts {in_words(LONGEST)} at most, not {in_words(span)}")
        return await self._silences.silence(matchers, by, span=span, comment=comment, incident=incident)

    async def restart(self, service: str, by: str, *, incident: str = "") -> str:
        row, found = self._open(service, incident)
        policy = self._policy(row.name)
        if policy is None or policy.restart is None:
            raise Refused(f"{row.name}: no restart is configured for it")
        if found.stage in (Stage.RESTARTING, Stage.VERIFYING):
            raise Refused(f"{row.name}: a restart is under way")
        self._tell(row.name, RestartAsked(at=self._now(), by=by, incident=found.id))
        return f"{row.name}: {by} has asked for a restart; what becomes of it stands in the incident."

    async def approve(self, key: str, by: str) -> str:
        for row in self._table.values():
            incident = row.state.incident
            if incident is not None and incident.approval is not None and incident.approval.key == key:
                self._tell(row.name, Approved(at=self._now(), key=key, by=by))
                return f"{row.name}: {by} has approved the restart."
        raise Refused("nothing waits for this approval: it was answered, has expired, or the incident is over")

    async def status(self, service: str = "") -> str:
        if service:
            return _described(self._row(service), self._now())
        rows = worst_first(self._table.values())
        bad = [row for row in rows if row.state.health not in (Health.UP, Health.PENDING)]
        if not bad:
            return f"All {len(rows)} services are well." if len(rows) != 1 else "The one service is well."
        lines = [_described(row, self._now()).splitlines()[0] for row in bad[:SHOWN]]
        if len(bad) > SHOWN:
            lines.append(f"… and {len(bad) - SHOWN} more")
        return "\n".join([*lines, f"{len(rows) - len(bad)} of {len(rows)} services are well."])

    async def on_call(self) -> str:
        return self._on_call()

    async def seen(self, drill: str, by: str) -> str:
        return await self._seen(drill, by)

    def _row(self, service: str) -> ServiceRow:
        row = self._table.get(service)
        if row is None:
            raise NoSuchService(f"there is no service {service!r}{did_you_mean(service, self._table)}")
        return row

    def _open(self, service: str, incident: str) -> tuple[ServiceRow, Incident]:
        row = self._row(service)
        found = row.state.incident
        if found is None:
            raise Refused(f"{service} is {row.state.health.value}: no incident is open")
        if incident and incident != found.id:
            raise Refused(f"{service}: that incident is over; another one is open since {found.opened_at:%H:%M:%S} UTC")
        return row, found


def _described(row: ServiceRow, now: datetime) -> str:
    state, incident = row.state, row.state.incident
    since = f" since {state.since:%H:%M:%S} UTC ({in_words(now - state.since)})" if state.since else ""
    if incident is None:
        return f"{row.name} is {state.health.value}{since}."
    failing = "; ".join(f"{name}: {state.checks[name].summary}" for name in incident.failing if name in state.checks)
    if incident.ack is not None:
        whose = f"{incident.ack.by} has taken it on"
    elif incident.asked:
        whose = f"asked {', '.join(asked.channel for asked in incident.asked)}; nobody has acknowledged it"
    else:
        whose = incident.quiet or f"nobody was asked ({incident.stage.value})"
    tried = [
        f"{one.at:%H:%M:%S} {one.action}: {one.outcome.value if one.outcome else 'running'}" for one in incident.tried
    ]
    first = f"{row.name} is {state.health.value}{since}: {failing or incident.summary} ({whose})"
    return "\n".join([first, *tried])
