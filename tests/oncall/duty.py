"""A book with a clock that is set by hand, a store in memory, and calendars as texts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.core.rota import Layer, Override, Person, Schedule
from agent.oncall.duty import Duty
from agent.ports import CalendarSpec, StoreUnavailable, Vitals
from agent.stores.memory import MemoryStore

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)  # a Tuesday

PEOPLE = {
    "alice": Person(name="alice", full_name="Alice Miller", contacts={"slack": "U1", "sms": "+49 170 1"}),
    "bob": Person(name="bob", contacts={"mail": "bob@example.org"}, aliases=("Robert",)),
    "carol": Person(name="carol"),
}
WEEKLY = Layer(
    turns=(("alice",), ("bob",), ("carol",)),
    every=timedelta(weeks=1),
    start=datetime(2026, 1, 5, 9),  # noqa: DTZ001 - on the wall
    zone="Europe/Berlin",
)
PRIMARY = Schedule(name="primary", zone="Europe/Berlin", layers=(WEEKLY,))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def override(person: str = "bob", start: str = "2026-01-06", end: str = "2026-01-07", **more: Any) -> Override:
    known = {"id": "", "schedule": "primary", "person": person, "start": utc(start), "end": utc(end), **more}
    return Override(**known)


def calendar(*events: str) -> bytes:
    """Each event is its lines with blanks between; `~` in a value is a blank."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//tests//EN"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", *(line.replace("~", " ") for line in event.split()), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


class Away(MemoryStore):
    """A store that is away whenever it is told to be."""

    away = False

    async def set_note(self, name: str, text: str) -> None:
        if self.away:
            raise StoreUnavailable("disk full")
        await super().set_note(name, text)


@dataclass
class Desk:
    """A `Duty` under test."""

    store: Away = field(default_factory=Away)
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.vitals = Vitals(started=NOW)
        self.duty = Duty(lambda: self.now, self.store, self.vitals)
        self.book = self.duty.book
        self.configure()

    def configure(
        self,
        people: Iterable[str] = ("alice", "bob", "carol"),
        schedules: Iterable[Schedule] = (PRIMARY,),
        calendars: Iterable[CalendarSpec] = (),
    ) -> None:
        self.duty.configure(
            {name: PEOPLE[name] for name in people},
            {schedule.name: schedule for schedule in schedules},
            {spec.schedule: spec for spec in calendars},
        )

    async def later(self, by: timedelta) -> None:
        self.now += by
        await self.duty.read_calendars()
        await self.duty.look_after()
