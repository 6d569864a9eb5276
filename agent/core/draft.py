"""A decision in the making: the one mutable thing inside the core, alive for one call of `decide`."""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from agent.core.commands import Command
from agent.core.events import Confirm, Context, Decision, Event, EventKind
from agent.core.policy import Policy
from agent.core.state import Incident, ServiceState, Stage


@dataclass(slots=True)
class Draft:
    """Collects what a decision consists of. `finish` sets the next waking time and hands it over."""

    state: ServiceState
    policy: Policy
    context: Context
    at: datetime
    commands: list[Command] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    confirm: list[Confirm] = field(default_factory=list)

    @property
    def incident(self) -> Incident:
        """The open incident; only called where one is open."""
        if self.state.incident is None:
            raise LookupError(f"{self.state.service} has no open incident")
        return self.state.incident

    def change(self, **what: Any) -> None:
        self.state = replace(self.state, **what)

    def change_incident(self, **what: Any) -> None:
        self.change(incident=replace(self.incident, **what))

    def say(self, kind: EventKind, text: str, *, check: str = "", **data: str) -> None:
        """Record a fact, under the open incident if there is one."""
        incident = self.state.incident
        self.events.append(
            Event(
                kind=kind,
                service=self.state.service,
                at=self.at,
                text=text,
                incident=incident.id if incident else "",
                check=check,
                data=data,
                trace_id=incident.trace_id if incident else "",
            )
        )

    def confirm_soon(self, *checks: str) -> None:
        """Ask for another run of these checks after their `retry` (2 s where they have none)."""
        for check in checks:
            policy = self.policy.checks.get(check)
            if policy is not None and all(c.check != check for c in self.confirm):
                self.confirm.append(Confirm(check=check, after=policy.retry or timedelta(seconds=2)))

    def finish(self, before: ServiceState) -> Decision:
        wake_at = waking_time(self.state, self.policy)
        if wake_at != self.state.wake_at:
            self.change(wake_at=wake_at)
        return Decision(
            state=before if self.state == before else self.state,
            commands=tuple(self.commands),
            cancelled=tuple(self.cancelled),
            events=tuple(self.events),
            confirm=tuple(self.confirm),
        )


TIMED = (Stage.VERIFYING, Stage.WAITING, Stage.RESTARTING, Stage.ASKING)


def waking_time(state: ServiceState, policy: Policy) -> datetime | None:
    """When time itself has something to decide about this service: the earliest of all that it waits for."""
    waits: list[datetime | None] = []
    incident = state.incident
    if incident is not None:
        if incident.stage in TIMED or incident.quiet:
            waits.append(incident.until)
        if not incident.quiet:
            waits.append(incident.remind_at)
            waits.append(incident.escalate_at if incident.ack is None else incident.ack.until)
        waits.append(incident.calm_at)
        waits += [
            asked.at + policy.page_deadline
            for asked in incident.asked
            if not asked.delivered and not asked.escaped and policy.page_deadline
        ]
    elif state.unknown_since is not None and policy.unknown_after:
        waits.append(state.unknown_since + policy.unknown_after)
    return min((wait for wait in waits if wait is not None), default=None)


def shifted(thing: Any, by: timedelta) -> Any:
    """The same thing with every time in it moved: what a step of the wall clock does to a memory."""
    if isinstance(thing, datetime):
        return thing + by
    if isinstance(thing, tuple):
        return tuple(shifted(item, by) for item in thing)
    if isinstance(thing, dict):
        return {key: shifted(value, by) for key, value in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: shifted(getattr(thing, f.name), by) for f in fields(thing)})
    return thing
