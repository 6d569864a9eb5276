"""What a clock on the wall shows, and when that is. One rule for the two days a year on which that is not plain.

A local time that a change of the clocks skips means the moment of the jump; one that comes twice means the first.
Hence a later time on the wall is never an earlier moment.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def on_the_wall(at: datetime, zone: str) -> datetime:
    """What a clock in that IANA zone shows at this moment, without a zone of its own."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def moment(wall: datetime, zone: str) -> datetime:
    """When (UTC) a clock in that IANA zone shows `wall`, which has no zone of its own."""
    tz = ZoneInfo(zone)
    at = wall.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if on_the_wall(at, zone) == wall:
        return at
    return _jump(wall.replace(tzinfo=tz, fold=1).astimezone(UTC), at, tz)


def _jump(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    """The first second after `before` at which the clocks are as they are at `after`."""
    old = before.astimezone(tz).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(tz).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after
