"""The days on which clocks change, found by looking at every zone: what calendars must be right on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

ZONES = sorted(available_timezones() - {"localtime"})
FROM, TO = datetime(2023, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@cache
def transitions(zone: str, begin: datetime = FROM, end: datetime = TO) -> tuple[datetime, ...]:
    """Every moment of the span (to the second) from which on the clocks of the zone are set differently."""
    return tuple(_transitions(ZoneInfo(zone), begin, end))


def _transitions(tz: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    at, offset = begin, begin.astimezone(tz).utcoffset()
    while at < end:
        later = at + DAY
        if later.astimezone(tz).utcoffset() != offset:
            low, high = at, later
            while high - low > SECOND:
                middle = low + (high - low) // 2 // SECOND * SECOND
                if middle.astimezone(tz).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            yield high
            offset = later.astimezone(tz).utcoffset()
        at = later
