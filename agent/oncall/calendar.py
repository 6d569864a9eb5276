"""An iCalendar (RFC 5545) becomes events in UTC. Blocks: for a thread of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from agent.core.wall import moment
from agent.outgoing import NotSent, request
from agent.ports import CalendarSpec

LARGEST = 4 * 1024 * 1024  # bytes
MOST_EVENTS = 5000
BEHIND, AHEAD = timedelta(days=35), timedelta(days=400)  # what is kept of it
PAGE = timedelta(days=31)  # how much is asked for at once: a calendar may recur more often than it can be held
TIMEOUT = 20.0  # seconds, for connecting and for each read
TOO_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")


class CannotRead(Exception):
    """The calendar can't be had or understood just now. The text says why, and shows no address."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A time span (UTC) with what it says of people: its summary, and the mail addresses of those who attend."""

    start: datetime
    end: datetime
    summary: str
    attendees: tuple[str, ...] = ()


def fetch(spec: CalendarSpec) -> bytes:
    """What the file or the address holds now. Raises CannotRead."""
    raw = _from_file(spec.file) if spec.file else _from_web(spec)
    if len(raw) > LARGEST:
        raise CannotRead(f"is larger than {LARGEST // 1024 // 1024} MiB")
    return raw


def _from_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise CannotRead(f"{path.name} cannot be read: {error.strerror or type(error).__name__}") from None


def _from_web(spec: CalendarSpec) -> bytes:
    assert spec.url is not None
    accept = {"Accept": "text/calendar, text/plain;q=0.5", "User-Agent": "codeblue"}
    try:
        answer = request("GET", spec.url.get_secret_value(), headers=accept, timeout=TIMEOUT, limit=LARGEST + 1)
    except NotSent as error:
        raise CannotRead(f"its server {error}") from None
    if answer.status in (301, 302, 303, 307, 308):
        raise CannotRead(f"its server answered {answer.status}: give the address that it leads to")
    if answer.status != 200:
        raise CannotRead(f"its server answered {answer.status}")
    return answer.body


def events(raw: bytes, zone: str, now: datetime) -> tuple[Event, ...]:
    """The events of the span around `now` that is kept, in order; whole days and times without a zone are in `zone`.
    Cancelled ones are left out, and whoever has declined. Raises CannotRead."""
    try:
        return tuple(sorted(set(_events(raw, zone, now))))
    except CannotRead:
        raise
    except Exception as error:  # noqa: BLE001 - a parser of what others wrote: whatever it trips over, the old one stays
        raise CannotRead(f"is no iCalendar that can be read: {type(error).__name__}: {error}"[:300]) from None


def _events(raw: bytes, zone: str, now: datetime) -> Iterator[Event]:
    import icalendar  # heavy: only where a calendar is configured
    import recurring_ical_events

    calendar = icalendar.Calendar.from_ical(raw)
    for component in calendar.walk("VEVENT"):
        _refuse_what_never_ends(component)
        _refuse_unknown_zones(component)
    query = recurring_ical_events.of(calendar)
    begin, count = now - BEHIND, 0
    while begin < now + AHEAD:
        for found in query.between(begin, begin + PAGE):
            count += 1
            if count > MOST_EVENTS:
                raise CannotRead(f"has more than {MOST_EVENTS} events in {(BEHIND + AHEAD).days} days")
            if str(found.get("STATUS", "")).upper() != "CANCELLED":
                yield from _event(found, zone)
        begin += PAGE


def _refuse_what_never_ends(component: Any) -> None:
    rules = component.get("RRULE") or []
    for rule in rules if isinstance(rules, list) else [rules]:
        for frequency in rule.get("FREQ", []):
            if str(frequency).upper() in TOO_OFTEN:
                raise CannotRead(f"has an event that recurs {str(frequency).lower()}: a shift takes longer")


def _refuse_unknown_zones(component: Any) -> None:
    """The parser takes a time in a zone that it does not know for one without: somebody would be paged at an hour that
    nobody meant."""
    for key in ("DTSTART", "DTEND"):
        given = component.get(key)
        zone = given.params.get("TZID") if given is not None else None
        if zone and getattr(given.dt, "tzinfo", None) is None:
            raise CannotRead(f"has a time in the zone {str(zone)[:60]!r}, which is not known")


def _event(found: Any, zone: str) -> Iterator[Event]:
    start, end = _utc(found.start, zone), _utc(found.end, zone)
    if start < end:
        yield Event(start, end, str(found.get("SUMMARY", ""))[:200].strip(), tuple(_attendees(found)))


def _utc(at: date | datetime, zone: str) -> datetime:
    if not isinstance(at, datetime):
        return moment(datetime.combine(at, time()), zone)
    return moment(at, zone) if at.tzinfo is None else at.astimezone(UTC)


def _attendees(found: Any) -> Iterator[str]:
    given = found.get("ATTENDEE") or []
    for attendee in given if isinstance(given, list) else [given]:
        if str(attendee.params.get("PARTSTAT", "")).upper() != "DECLINED":
            address = str(attendee)
            yield address[len("mailto:") :] if address.lower().startswith("mailto:") else address
