"""When the next drill is due by the configuration."""

from datetime import datetime, timedelta

from agent.config.model import DrillSpec
from agent.runtime.calendar import CronSlots

SOON = timedelta(minutes=1)  # after a start, for one whose time has passed while no agent was there
TOO_LATE = timedelta(minutes=10)  # a drill of the calendar is not made up for at another hour than people expect


def first_due(spec: DrillSpec, last: datetime | None, now: datetime) -> datetime | None:
    """The next moment after now, where the last one was due then (None: never); None where there is no schedule."""
    if spec.cron is not None:
        return CronSlots(spec.cron.expression, spec.cron.zone).get_next_fire_time(None, now)
    if spec.every is None:
        return None
    return max(last + spec.every, now + SOON) if last else now + spec.every


def is_due(spec: DrillSpec, due: datetime, now: datetime) -> bool:
    """Whether to hold the one that was due then. It is over for one of the calendar that is long past: the host slept,
    or its clock was set."""
    return spec.cron is None or now - due <= TOO_LATE
