"""Moments at equal distances on the wall clock, for APScheduler.

APScheduler's own interval trigger is asked for each moment that was missed, one by one: after a step of the clock by
a year, or a suspend of a month, that is millions of questions per job, in which nothing else runs.
"""

from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grid(BaseTrigger):  # type: ignore[misc]
    """Fires `offset` after the epoch and every `every` from there. Of what was missed, only the next moment comes."""

    def __init__(self, every: timedelta, offset: timedelta = timedelta(0)) -> None:
        self._every = every
        self._start = EPOCH + offset

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first moment after `previous_fire_time` and not before `now`; after both where there is a previous one.
        Never waits for the start: a clock may have been set back before it."""
        if previous_fire_time is None:
            return self._start - (self._start - now) // self._every * self._every
        after = max(previous_fire_time, now)
        return self._start + ((after - self._start) // self._every + 1) * self._every
