"""What is silenced and what is under maintenance, and what that means for a service at a moment. Knows no clock."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from agent.core.closed import closed_hours
from agent.core.events import Quiet
from agent.core.matchers import attributes
from agent.core.policy import Policy
from agent.core.silence import Silence, State
from agent.core.windows import Span, Window
from agent.quiet.index import Index
from agent.quiet.recurrence import in_force, starts

KINDS = ("silence", "maintenance", "hours")
MOST_REASONS = 3  # that are named in one line
_MOST_MERGED = 32  # silences and windows that follow on one another


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps people from being asked: its text, its own end, what kind it is."""

    why: str
    until: datetime | None
    kind: str  # one of KINDS


@dataclass(frozen=True, slots=True)
class _Known:
    """What is about a service, for as long as nothing is changed and its policy is the same object."""

    policy: Policy
    silences: tuple[Silence, ...]
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a window stands: in force or not, from the moment that was looked at up to its next edge."""

    seen: datetime
    span: Span | None
    edge: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.seen <= at and (self.edge is None or at < self.edge)


class Register:
    """All silences and windows. Answers for a service come from a table per service that is made anew after a change,
    and only for the services that are asked about."""

    def __init__(self) -> None:
        self._silences: dict[str, Silence] = {}
        self._windows: dict[str, Window] = {}
        self._over: dict[str, datetime] = {}
        self._silence_index: Index[Silence] = Index([])
        self._window_index: Index[Window] = Index([])
        self._known: dict[str, _Known] = {}
        self._places: dict[str, _Place] = {}
        self._hours: dict[tuple[int, str], Quiet | None] = {}
        self._hours_at: datetime | None = None

    def fill(self, silences: Iterable[Silence], windows: Iterable[Window], over: dict[str, datetime]) -> None:
        """Take these in place of what was there. `over` are windows that were ended by hand, with the moment: what of
        them had begun by then does not count."""
        self._silences = {silence.id: silence for silence in silences}
        self._windows = {window.id: window for window in windows}
        self._over = dict(over)
        self._silence_index = Index((silence.matchers, silence) for silence in self._silences.values())
        self._window_index = Index((window.matchers, window) for window in self._windows.values())
        self._known = {}
        self._places = {}

    @property
    def empty(self) -> bool:
        return not self._silences and not self._windows

    def __contains__(self, window: str) -> bool:
        return window in self._windows

    def quiet(self, policy: Policy, incident: str, at: datetime) -> Quiet | None:
        """Why nobody is asked about the service of this policy, whose open incident this is (empty: none). `until` is
        when people may be asked again: times that overlap or follow on one another are one."""
        reasons = [*self.reasons(policy, incident, at)]
        if not reasons:
            return None
        shown = "; ".join(reason.why for reason in reasons[:MOST_REASONS])
        more = f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
        restarts = any(reason.kind == "maintenance" for reason in reasons)
        return Quiet(why=shown + more, until=self._merged(policy, incident, reasons), restarts=restarts)

    def reasons(self, policy: Policy, incident: str, at: datetime) -> Iterator[Reason]:
        """Everything that is in force for it at that moment, windows first."""
        return self._in_force(policy, incident, at, self.span)

    def _in_force(
        self, policy: Policy, incident: str, at: datetime, span_of: Callable[[Window, datetime], Span | None]
    ) -> Iterator[Reason]:
        if not self.empty:
            known = self._about(policy)
            for window in known.windows:
                span = span_of(window, at)
                if span is not None:
                    yield Reason(window.why(span.start, span.end), span.end, "maintenance")
            for silence in known.silences:
                if silence.quiets(incident, at):
                    yield Reason(silence.why, silence.ends, "silence")
        if policy.escalation is not None and (hours := self._closed(policy, at)):
            yield Reason(hours.why, hours.until, "hours")

    def span(self, window: Window, at: datetime) -> Span | None:
        """The time of this window that holds at this moment, None when none does."""
        place = self._places.get(window.id)
        if place is None or not place.holds(at):
            place = self._places[window.id] = self._look(window, at)
        return place.span

    def next_edge(self, at: datetime) -> datetime | None:
        """When the next of them all begins or ends after that moment."""
        silences = (one for one in self._silences.values() if one.state(at) is not State.EXPIRED)
        edges = [one.starts if one.starts > at else one.ends for one in silences]
        for window in self._windows.values():
            self.span(window, at)
            edges.append(self._places[window.id].edge)
        return min((edge for edge in edges if edge is not None), default=None)

    def _look(self, window: Window, at: datetime) -> _Place:
        span = self._then(window, at)
        return _Place(at, span, span.end if span else next(starts(window, at), None))

    def _then(self, window: Window, at: datetime) -> Span | None:
        return in_force(window, at, self._over.get(window.id))

    def _closed(self, policy: Policy, at: datetime) -> Quiet | None:
        """The same for all services of one escalation and severity, which are looked over at one moment."""
        if at != self._hours_at:
            self._hours_at, self._hours = at, {}
        place = (id(policy.escalation), policy.severity)
        if place not in self._hours:
            self._hours[place] = closed_hours(policy, at)
        return self._hours[place]

    def _about(self, policy: Policy) -> _Known:
        known = self._known.get(policy.service)
        if known is None or known.policy is not policy:
            about = attributes(policy)
            known = _Known(policy, self._silence_index.of(about), self._window_index.of(about))
            self._known[policy.service] = known
        return known

    def _merged(self, policy: Policy, incident: str, reasons: list[Reason]) -> datetime | None:
        """When the last of these ends, or of those that are in force by then, and so on."""
        until: datetime | None = None
        for _ in range(_MOST_MERGED):
            ends = [reason.until for reason in reasons if reason.until is not None]
            if len(ends) < len(reasons):
                return None
            until = max(ends)
            reasons = [*self._in_force(policy, incident, until, self._then)]
            if not reasons:
                break
        return until
