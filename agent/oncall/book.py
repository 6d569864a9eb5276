"""The book of who is on call: schedules as configured, calendars as they were read, and what people changed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from agent.core.contact import Contact
from agent.core.policy import Escalation
from agent.core.rota import Override, Person, Schedule, next_change, on_call
from agent.oncall.calendar import Event
from agent.oncall.naming import of_nobody, shifts_of
from agent.oncall.notes import OVERRIDES, read_overrides, write_overrides
from agent.ports import Store, StoreUnavailable

log = structlog.get_logger()

KEPT = timedelta(days=35)  # how long an override that is over is still shown
LONGEST = timedelta(days=366)  # of an override
MOST = 1000  # overrides at once


class Book:
    """In memory, so that it always answers; overrides are written to the store when they change, and again later if
    the store is away. The engine asks `reach` and `contacts`, people ask the rest (`ports.OnCall`)."""

    def __init__(self, now: Callable[[], datetime], store: Store) -> None:
        self._now = now
        self._store = store
        self._people: Mapping[str, Person] = {}
        self._configured: Mapping[str, Schedule] = {}
        self._events: dict[str, tuple[Event, ...]] = {}
        self._nobody: dict[str, Sequence[Event]] = {}
        self._overrides: tuple[Override, ...] = ()
        self._made = 0
        self._unsaved = False
        self.schedules: Mapping[str, Schedule] = {}
        self.contacts: Mapping[str, Mapping[str, str]] = {}
        self.calendar_trouble: dict[str, str] = {}

    # ------------------------------------------------------------------------------------------ what it is made of

    def configure(
        self, people: Mapping[str, Person], schedules: Mapping[str, Schedule], calendars: Collection[str]
    ) -> None:
        """Take up a configuration; `calendars` are the schedules that are read from one. Overrides and what was read
        stay."""
        self._people, self._configured, self._nobody = people, schedules, {}
        self._events = {name: events for name, events in self._events.items() if name in calendars}
        self.contacts = {name: person.contacts for name, person in people.items()}
        self.schedules = {name: self._filled(schedule) for name, schedule in schedules.items()}
        self.calendar_trouble = {name: text for name, text in self.calendar_trouble.items() if name in calendars}

    def take(self, schedule: str, events: tuple[Event, ...]) -> None:
        """The events of that schedule's calendar, from now on."""
        self._events[schedule] = events
        if schedule in self._configured:
            self.schedules = {**self.schedules, schedule: self._filled(self._configured[schedule])}

    def _filled(self, schedule: Schedule) -> Schedule:
        events = self._events.get(schedule.name)
        if not events:
            return schedule
        self._nobody[schedule.name] = of_nobody(events, self._people)
        return replace(schedule, shifts=shifts_of(events, self._people))

    async def load(self) -> None:
        """Remember the overrides of the life before. Raises StoreUnavailable."""
        text = await self._store.get_note(OVERRIDES)
        if text is None:
            return
        try:
            kept, self._made = read_overrides(text)
        except (ValueError, KeyError, TypeError) as error:
            log.error("overrides_unreadable", error=f"{type(error).__name__}: {error}")
            return
        self._overrides = tuple(kept)

    def adopt(self, overrides: Iterable[Override]) -> None:
        """Take these for those in force; nothing is written."""
        self._overrides = tuple(overrides)

    async def save(self) -> None:
        """Write what could not be written when it changed; for a timer."""
        if self._unsaved:
            await self._write()

    async def _write(self) -> None:
        self._unsaved = True
        text = write_overrides(self._overrides, self._made)
        try:
            await self._store.set_note(OVERRIDES, text)
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="overrides", error=str(error))
        else:
            self._unsaved = text != write_overrides(self._overrides, self._made)

    # ------------------------------------------------------------------------------------------ who is asked

    def reach(self, escalation: Escalation, at: datetime) -> Mapping[str, tuple[Contact, ...]]:
        """For each target of the policy's steps, how whoever that is at that moment can be reached: no contact where
        nobody is on call, or whoever is has none."""
        targets = {target for step in escalation.steps for target in step.notify}
        return {target: self._contacts(target, at) for target in targets}

    def _contacts(self, target: str, at: datetime) -> tuple[Contact, ...]:
        name, _, only = target.partition("/")
        kind, _, name = name.partition(":")
        if kind == "channel":
            return (Contact(channel=name),)
        people = self.on_call(name, at) if kind == "oncall" else (name,)
        return tuple(
            Contact(channel=channel, to=address, person=person)
            for person in people
            for channel, address in self.contacts.get(person, {}).items()
            if only in ("", channel)
        )

    def on_call(self, schedule: str, at: datetime) -> tuple[str, ...]:
        """Who is on call by that schedule: nobody for one that there is not."""
        found = self.schedules.get(schedule)
        return on_call(found, self.in_force(), at) if found else ()

    def in_force(self) -> list[Override]:
        """The overrides that name schedules and people of the configuration as it is now."""
        return [one for one in self._overrides if one.schedule in self._configured and self._known(one)]

    def _known(self, override: Override) -> bool:
        return override.person in self._people and (not override.instead_of or override.instead_of in self._people)

    # ------------------------------------------------------------------------------------------ what people ask

    @property
    def overrides(self) -> Sequence[Override]:
        return self._overrides

    @property
    def trouble(self) -> Mapping[str, str]:
        """What is wrong with a schedule: its calendar cannot be read or names nobody, an override is void."""
        now, found = self._now(), dict(self.calendar_trouble)
        for name, events in self._nobody.items():
            nobody = [event for event in events if event.end > now]
            if nobody:
                count = "1 event names" if len(nobody) == 1 else f"{len(nobody)} events name"
                text = f"{count} nobody under people:, the first {nobody[0].summary!r}"
                found[name] = f"{found[name]}; {text}" if name in found else text
        for one in self._overrides:
            if one.end > now and one.schedule in self._configured and not self._known(one):
                gone = one.person if one.person not in self._people else one.instead_of
                text = f"override {one.id} is void: config no longer names {gone}"
                found[one.schedule] = f"{found[one.schedule]}; {text}" if one.schedule in found else text
        return found

    def now(self) -> Sequence[Mapping[str, Any]]:
        """For each schedule who is on call, until when, and who is next: `schedule`, `people`, `until`, `next`."""
        at, overrides = self._now(), self.in_force()
        found = []
        for name, schedule in self.schedules.items():
            until = next_change(schedule, overrides, at)
            after = on_call(schedule, overrides, until) if until else ()
            people = on_call(schedule, overrides, at)
            found.append({"schedule": name, "people": people, "until": until, "next": after})
        return found

    def in_words(self) -> str:
        """The same for a chat: a line for each schedule."""
        if not self.schedules:
            return "no on-call schedule is configured"
        return "\n".join(self._line(row) for row in self.now())

    def _line(self, row: Mapping[str, Any]) -> str:
        who, after = (self._called(names) for names in (row["people"], row["next"]))
        until = row["until"]
        return f"{row['schedule']}: {who}" + (f" until {until:%a %Y-%m-%d %H:%M} UTC, then {after}" if until else "")

    def _called(self, names: Sequence[str]) -> str:
        known = (self._people.get(name) for name in names)
        called = [person.full_name or person.name for person in known if person]
        return ", ".join(called) or "nobody"

    # ------------------------------------------------------------------------------------------ what people change

    async def add(self, asked: Override) -> Override:
        """Put a change in force at once. Raises ValueError, in words for whoever asked."""
        now = self._now()
        self._check(asked, now)
        self._made += 1
        made = replace(asked, id=f"o{self._made}", made_at=now)
        kept = [one for one in self._overrides if one.end > now - KEPT]
        if len(kept) >= MOST:
            raise ValueError(f"there are {MOST} overrides already")
        self._overrides = (*kept, made)
        log.info("override_added", id=made.id, schedule=made.schedule, person=made.person, by=made.by)
        await self._write()
        return made

    def _check(self, asked: Override, now: datetime) -> None:
        if asked.schedule not in self._configured:
            raise ValueError(
                f"there is no schedule {asked.schedule!r}: there is {', '.join(self._configured) or 'none'}"
            )
        for name in (asked.person, *([asked.instead_of] if asked.instead_of else [])):
            if name not in self._people:
                raise ValueError(f"there is no person {name!r}: there is {', '.join(self._people) or 'nobody'}")
        if asked.person == asked.instead_of:
            raise ValueError(f"{asked.person} cannot stand in for {asked.person}")
        if asked.swap and not asked.instead_of:
            raise ValueError("a swap is between two people")
        if asked.end <= asked.start:
            raise ValueError("it ends before it begins")
        if asked.end <= now:
            raise ValueError("it is over already")
        if asked.end - asked.start > LONGEST:
            raise ValueError("it is longer than a year: change the schedule instead")

    async def remove(self, override: str) -> Override:
        """Take a change back. Raises LookupError."""
        found = next((one for one in self._overrides if one.id == override), None)
        if found is None:
            raise LookupError(f"there is no override {override!r}")
        self._overrides = tuple(one for one in self._overrides if one is not found)
        log.info("override_removed", id=found.id, schedule=found.schedule, person=found.person)
        await self._write()
        return found
