"""The book of silences and maintenance windows of a running agent."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from agent.core.events import Event, EventKind, Quiet
from agent.core.policy import Policy
from agent.core.silence import LISTED_FOR, Silence, State, forgotten, without
from agent.core.windows import Once, Window
from agent.ports import ServiceRow, Store, StoreUnavailable
from agent.quiet import notes
from agent.quiet.register import KINDS, Reason, Register

log = structlog.get_logger()

OVERVIEW_AGE = timedelta(seconds=10)  # how old what scrapes and pages show of it may become
AT_ONCE = 20  # services that are looked at before other work of the loop has its turn


class Subject(NamedTuple):
    """A service that may be silenced, and its open incident (empty: none). One for each is made every ten seconds."""

    policy: Policy
    incident: str


class Book:
    """Everything is in memory and is the truth there; each change is written to the store, at the next tick where the
    store is away. `services` are all that are watched, `changed` is called whenever a service may have become quiet
    or loud, `now` is the clock. Give `quiet` to the engine, `tick` to the scheduler (once a second), `on_event` to the
    bus."""

    def __init__(
        self,
        *,
        store: Store,
        now: Callable[[], datetime],
        services: Callable[[], Iterable[Subject]],
        changed: Callable[[], None],
    ) -> None:
        self.silences: dict[str, Silence] = {}
        self.by_hand: dict[str, Window] = {}
        self.planned: dict[str, Window] = {}
        self.over: dict[str, datetime] = {}
        self.register = Register()
        self.overview: Mapping[str, tuple[Reason, ...]] = {}
        self.now = now
        self.services = services
        self._store = store
        self._changed = changed
        self._readable = True
        self._unsaved: set[str] = set()
        self._saving = asyncio.Lock()
        self._prune = False
        self._looked_at: datetime | None = None
        self._edge: datetime | None = None
        self._seen_at: datetime | None = None

    # ------------------------------------------------------------------------------------------ what the core asks

    def quiet(self, row: ServiceRow, policy: Policy, at: datetime) -> Quiet | None:
        """Why nobody is asked about that service at that moment, closed hours of its escalation included."""
        incident = row.state.incident
        return self.register.quiet(policy, incident.id if incident else "", at)

    # ------------------------------------------------------------------------------------------ coming and going

    async def load(self, *, readable: bool = True) -> None:
        """Take in what the store holds, beside what is here already. Call it again when a store that was not
        `readable` at the start can be read; until then nothing is written, so that nothing there is lost."""
        self._readable = readable
        if not readable:
            return
        try:
            found = notes.read(
                await self._store.get_note(notes.SILENCES), await self._store.get_note(notes.MAINTENANCE)
            )
        except StoreUnavailable as error:
            self._readable = False
            log.warning("store_unavailable", what="silences", error=str(error))
            return
        for entry in found.lost:
            log.error("silence_unreadable", entry=entry)
        self.silences = {**{one.id: one for one in found.silences}, **self.silences}
        self.by_hand = {**{one.id: one for one in found.windows}, **self.by_hand}
        self.over = {**found.over, **self.over}
        self._prune = True
        self._refill()

    def configure(self, windows: Iterable[Window]) -> None:
        """Put the windows of a configuration in force, in place of those of the one before."""
        planned = {window.id: window for window in windows}
        if planned != self.planned:
            self.planned = planned
            self._refill()

    @property
    def windows(self) -> list[Window]:
        return [*self.planned.values(), *self.by_hand.values()]

    async def put_silence(self, *silences: Silence) -> None:
        """Add them, or take them in place of those with their ids."""
        self.silences.update({silence.id: silence for silence in silences})
        await self._has_changed(notes.SILENCES)

    async def put_window(self, window: Window) -> None:
        self.by_hand[window.id] = window
        await self._has_changed(notes.MAINTENANCE)

    async def end_window(self, window: str) -> None:
        """One that was made by hand goes; of a planned one, what has begun by now is over."""
        if self.by_hand.pop(window, None) is None:
            self.over[window] = self.now()
        await self._has_changed(notes.MAINTENANCE)

    # ------------------------------------------------------------------------------------------ time goes by

    async def tick(self) -> None:
        """Notice what began and what ended, write what could not be written, forget what is long over."""
        now = self.now()
        if self._prune:
            self._prune = False
            self._settle({subject.incident for subject in self.services()}, now)
        clock_went_back = self._looked_at is not None and now < self._looked_at
        if self._looked_at is None or clock_went_back or (self._edge is not None and now >= self._edge):
            self._edge = self.register.next_edge(now)
            self._changed()
            self._seen_at = None
        self._looked_at = now
        self._forget(now)
        if self._unsaved:
            await self._save()
        if self._seen_at is None or now - self._seen_at >= OVERVIEW_AGE:
            self._seen_at = now
            await self._look_over(now)

    def on_event(self, event: Event) -> None:
        """An incident that is over ends the silences that waited for its resolution."""
        if event.kind is EventKind.CLOSED and any(
            event.incident in one.incidents for one in self.silences.values() if one.until_resolved
        ):
            open_ones = {incident for one in self.silences.values() for incident in one.incidents}
            self._settle(open_ones - {event.incident}, self.now())

    def counts(self) -> dict[str, float]:
        """How many silences are in which state."""
        now = self.now()
        states = [one.state(now) for one in self.silences.values()]
        return {state.value: float(states.count(state)) for state in State}

    def quiet_counts(self) -> dict[str, float]:
        """How many services are quiet by which kind of reason, as of the last look."""
        kinds = [kind for reasons in self.overview.values() for kind in {reason.kind for reason in reasons}]
        return {kind: float(kinds.count(kind)) for kind in KINDS}

    def _settle(self, still_open: set[str], now: datetime) -> None:
        settled = {one.id: without(one, still_open, now) for one in self.silences.values()}
        if any(settled[name] is not one for name, one in self.silences.items()):
            self.silences = settled
            self._unsaved.add(notes.SILENCES)
            self._refill()

    def _forget(self, now: datetime) -> None:
        gone = [one.id for one in self.silences.values() if forgotten(one, now)]
        past = [one.id for one in self.by_hand.values() if is_past(one, now - LISTED_FOR)]
        without_effect = [name for name, at in self.over.items() if now - at > self._matters_for(name)]
        for name in gone:
            del self.silences[name]
        for name in past:
            del self.by_hand[name]
        for name in without_effect:
            del self.over[name]
        if gone:
            self._unsaved.add(notes.SILENCES)
        if past or without_effect:
            self._unsaved.add(notes.MAINTENANCE)
        if gone or past or without_effect:
            self._refill()

    def _matters_for(self, window: str) -> timedelta:
        """How long after its end by hand a window could still be in force without it."""
        planned = self.planned.get(window)
        return planned.length if planned else LISTED_FOR

    async def _look_over(self, now: datetime) -> None:
        """What is quiet now and why, for scrapes and pages, some services at a time."""
        found: dict[str, tuple[Reason, ...]] = {}
        for number, subject in enumerate([*self.services()]):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            if reasons := tuple(self.register.reasons(subject.policy, subject.incident, now)):
                found[subject.policy.service] = reasons
        self.overview = found

    def _refill(self) -> None:
        now = self.now()
        alive = [one for one in self.silences.values() if one.state(now) is not State.EXPIRED]
        self.register.fill(alive, self.windows, self.over)
        self._edge = self.register.next_edge(now)
        self._seen_at = self._looked_at = None  # the next tick calls for a review, and looks them over

    async def _has_changed(self, note: str) -> None:
        self._refill()
        self._unsaved.add(note)
        self._changed()
        await self._save()

    async def _save(self) -> None:
        async with self._saving:
            if not self._readable:
                return
            owed, self._unsaved = self._unsaved, set()
            try:
                if notes.SILENCES in owed:
                    await self._store.set_note(notes.SILENCES, notes.write_silences(self.silences.values()))
                if notes.MAINTENANCE in owed:
                    await self._store.set_note(notes.MAINTENANCE, notes.write_windows(self.by_hand.values(), self.over))
            except StoreUnavailable as error:
                self._unsaved |= owed
                log.debug("store_unavailable", what="silences", error=str(error))


def is_past(window: Window, at: datetime) -> bool:
    """Whether it was over for good at that moment."""
    if isinstance(window.recurrence, Once):
        return window.recurrence.at + window.length <= at
    return window.until is not None and window.until + window.length <= at
