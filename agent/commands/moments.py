"""Times as people write them on a command line: `now`, `+8h`, `18:00`, `Mon 09:00`, `2026-01-05 09:00`."""

import re
from datetime import UTC, datetime, time, timedelta

from agent.core.durations import parse_duration
from agent.core.hours import parse_clock, parse_day
from agent.core.wall import moment, on_the_wall

EXPECTED = "a time such as now, +8h, 18:00, Mon 09:00, 2026-01-05, 2026-01-05 09:00 or 2026-01-05T09:00Z"


def parse_moment(text: str, zone: str, now: datetime) -> datetime:
    """The moment (UTC) that is meant. Without a zone of its own it is in `zone`; a time of day or a day of the week is
    the next one that is not over. Raises ValueError, with what was expected."""
    words = text.strip()
    if words == "now":
        return now
    try:
        if words.startswith("+"):
            return now + parse_duration(words[1:])
        if re.match(r"\d{4}-", words):
            return _date(words, zone)
        day, _, clock = words.rpartition(" ")
        return _next(parse_day(day) if day else None, parse_clock(clock), zone, now)
    except ValueError as error:
        raise ValueError(f"expected {EXPECTED}; got {text!r}") from error


def _date(text: str, zone: str) -> datetime:
    at = datetime.fromisoformat(text)
    return moment(at, zone) if at.tzinfo is None else at.astimezone(UTC)


def _next(weekday: int | None, minutes: int, zone: str, now: datetime) -> datetime:
    today = on_the_wall(now, zone).date()
    days = (today + timedelta(days=n) for n in range(9))
    for day in days:
        at = moment(datetime.combine(day, time()) + timedelta(minutes=minutes), zone)
        if at >= now and weekday in (None, day.weekday()):
            return at
    raise ValueError("a week has every day")
