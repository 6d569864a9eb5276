"""Cron expressions as crontab(5) means them, for APScheduler.

APScheduler's own reading differs where it hurts: it counts Monday as day 0, knows no day 7, and wants the day of the
month and the day of the week both to match, where cron is content with either.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

from agent.ports.cron import CronSlots as Slots


class CronSlots(BaseTrigger):  # type: ignore[misc]
    """Fires at the slots of a five-field expression in an IANA zone. Of what was missed, only the next slot comes.

    A fixed time of day that a clock change skips moves to the jump; one that comes twice is taken once.
    """

    def __init__(self, expression: str, zone: str) -> None:
        self._expression = expression
        self._zone = ZoneInfo(zone)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first slot after both moments, None when there never is one again."""
        after = max(previous_fire_time, now) if previous_fire_time else now
        local = after.astimezone(self._zone)
        # in the doubled hour of autumn the first answers may lie in its first pass, which is over
        slots = (slot.astimezone(UTC) for slot in Slots(self._expression, local))
        return next((slot for slot in slots if slot > after), None)
