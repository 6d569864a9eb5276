"""The slots of a cron expression in a zone, as moments in UTC.

The rule for clock changes is Debian cron's, as cronsim implements it. A job at a fixed time of day (neither the minute
nor the hour begins with `*`) whose time is skipped in spring runs at the moment of the jump, and one whose time comes
twice in autumn runs once, the first time. A job with a wildcard (`*/15 * * * *`, `0 * * * *`) follows the wall clock:
what is skipped is left out, and what comes twice runs twice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from agent.ports.cron import CronSlots

HOUR = timedelta(hours=1)
WIDEST_SHIFT = 14  # hours between a zone and UTC, at most
SHARP = timedelta(minutes=5)  # how near to whole hours an offset must be to look like a zone
SPARSE = 6 * HOUR  # slots that are closer than this say nothing about zones


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone, also by a legacy name. Raises ValueError that names the nearest known one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = get_close_matches(name, available_timezones(), n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"{name!r} is not a time zone{hint or ': expected an IANA name such as Europe/Berlin'}"
        ) from error


def require_cron(expression: str) -> str:
    """The expression with single blanks. Raises ValueError unless it has five fields and a slot that ever comes."""
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"{expression!r} has {len(fields)} fields: a cron expression has five, such as '30 2 * * 1-5'")
    text = " ".join(fields)
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is not a cron expression: {str(error).lower()}") from error
    except StopIteration as error:
        raise ValueError(f"{expression!r} never comes") from error
    return text


@lru_cache(maxsize=4096)
def next_slot(expression: str, zone: str, after: datetime) -> datetime:
    """The first slot after that moment."""
    # In the doubled hour cronsim may begin with a slot of the hour's first pass, which is over.
    return next(slot for slot in _slots(expression, zone, after) if slot > after)


@lru_cache(maxsize=4096)
def last_slot(expression: str, zone: str, at: datetime) -> datetime:
    """The last slot up to and including that moment."""
    local = at.astimezone(ZoneInfo(zone))
    slot: datetime = next(CronSim(expression, local, reverse=True)).astimezone(UTC)
    while (later := next_slot(expression, zone, slot)) <= at:
        slot = later
    return slot


def _slots(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    for slot in CronSlots(expression, after.astimezone(ZoneInfo(zone))):
        yield slot.astimezone(UTC)


def zone_mismatch(expression: str, zone: str, beat: datetime) -> str:
    """What to say of a beat that is off its slot by whole hours, "" when it is not."""
    before, after = last_slot(expression, zone, beat), next_slot(expression, zone, beat)
    late, early = beat - before, after - beat
    off, side = (late, "after") if late <= early else (early, "before")
    hours = round(off / HOUR)
    if after - before < SPARSE or not 1 <= hours <= WIDEST_SHIFT or abs(off - hours * HOUR) > SHARP:
        return ""
    return f"it came {hours}h {side} its slot, which looks like a zone mismatch: the slots are in {zone}"
