"""Keeps the calendars of a book fresh, in threads of their own; the last good copy of each survives in the store."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import structlog

from agent.core.durations import format_duration
from agent.oncall.book import Book
from agent.oncall.calendar import CannotRead, Event, events, fetch
from agent.oncall.notes import calendar_note, read_calendar, write_calendar
from agent.ports import CalendarSpec, Store, StoreUnavailable
from agent.threads import Busy, OwnThreads

log = structlog.get_logger()

WITHIN = 60.0  # seconds for one calendar in all
SOON = timedelta(minutes=1)  # how soon one that could not be read is tried again, at the latest
UNDERSTOOD_FOR = timedelta(hours=12)  # bytes that stay the same are read anew then: other events have come near
AT_ONCE = 4


@dataclass(slots=True)
class _Reading:
    spec: CalendarSpec
    due: datetime
    read_at: datetime | None = None
    digest: bytes = b""  # of what was understood last
    understood_at: datetime | None = None


class Calendars:
    """Every configured calendar, each read when it is due. One that can't be read keeps its last good copy, and the
    book says so under `calendar_trouble`."""

    def __init__(self, book: Book, now: Callable[[], datetime], store: Store) -> None:
        self._book = book
        self._now = now
        self._store = store
        self._threads = OwnThreads("calendar", AT_ONCE)
        self._readings: dict[str, _Reading] = {}

    @property
    def ages(self) -> Mapping[str, float]:
        """Seconds since each calendar was last read; those that never were are left out."""
        now = self._now()
        read = {name: reading.read_at for name, reading in self._readings.items()}
        return {name: (now - at).total_seconds() for name, at in read.items() if at is not None}

    def configure(self, specs: Mapping[str, CalendarSpec]) -> None:
        """Read these from now on, new and changed ones at the next `look_again`."""
        now, old = self._now(), self._readings
        self._readings = {
            name: old[name] if name in old and old[name].spec == spec else _Reading(spec, now)
            for name, spec in specs.items()
        }

    async def load(self) -> None:
        """The last good copies, for those that were not read yet. Raises StoreUnavailable."""
        for name, reading in self._readings.items():
            text = await self._store.get_note(calendar_note(name)) if reading.read_at is None else None
            if text is None:
                continue
            try:
                known, read_at = read_calendar(text)
            except (ValueError, KeyError, TypeError) as error:
                log.error("calendar_copy_unreadable", schedule=name, error=f"{type(error).__name__}: {error}")
                continue
            reading.read_at = read_at
            self._book.take(name, known)

    async def look_again(self) -> None:
        """Read whatever is due, side by side; for a timer."""
        now = self._now()
        every = self._readings.values()
        due = [reading for reading in every if not now < reading.due <= now + max(reading.spec.every, SOON)]
        await asyncio.gather(*(self._read(reading) for reading in due))

    async def _read(self, reading: _Reading) -> None:
        spec, now = reading.spec, self._now()
        reading.due = now + min(spec.every, SOON)
        try:
            fresh = await self._threads.run(partial(_fresh, reading, now), WITHIN)
        except (CannotRead, TimeoutError, Busy) as error:
            self._failed(reading, str(error) if isinstance(error, CannotRead) else "did not answer in time", now)
            return
        if self._readings.get(spec.schedule) is not reading:
            return  # reloaded meanwhile
        reading.due, reading.read_at = now + spec.every, now
        if self._book.calendar_trouble.pop(spec.schedule, None):
            log.info("calendar_read_again", schedule=spec.schedule)
        if fresh is not None:
            reading.digest, known = fresh
            reading.understood_at = now
            log.info("calendar_read", schedule=spec.schedule, events=len(known))
            self._book.take(spec.schedule, known)
            await self._keep(spec.schedule, known, now)

    async def _keep(self, schedule: str, known: tuple[Event, ...], now: datetime) -> None:
        try:
            await self._store.set_note(calendar_note(schedule), write_calendar(known, now))
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="calendar", error=str(error))

    def _failed(self, reading: _Reading, why: str, now: datetime) -> None:
        name = reading.spec.schedule
        if self._readings.get(name) is not reading:
            return
        if reading.read_at is None:
            text = f"the calendar {why}; it was never read, so nobody is on call by it"
        else:
            age = format_duration(timedelta(seconds=int((now - reading.read_at).total_seconds())))
            text = f"the calendar {why}; what was read {age} ago is used"
        if name not in self._book.calendar_trouble:
            log.error("calendar_unreadable", schedule=name, why=why)
        self._book.calendar_trouble[name] = text


def _fresh(reading: _Reading, now: datetime) -> tuple[bytes, tuple[Event, ...]] | None:
    """What the calendar says now, with its digest; None for what was understood lately and has not changed."""
    raw = fetch(reading.spec)
    digest = sha256(raw).digest()
    understood = reading.understood_at
    if digest == reading.digest and understood is not None and now - understood < UNDERSTOOD_FOR:
        return None
    return digest, events(raw, reading.spec.zone, now)
