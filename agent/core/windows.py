"""Maintenance windows: planned times in which nobody is asked about some services, and nothing of them is restarted."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from agent.core.matchers import Matchers
from agent.core.wall import on_the_wall

LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A single window that begins at this moment."""

    at: datetime

    def __str__(self) -> str:
        return f"once, {self.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCron:
    """At the slots of a cron expression of five fields, read in the window's zone."""

    expression: str

    def __str__(self) -> str:
        return f"cron {self.expression}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRule:
    """On the days of an RRULE (RFC 5545) at a time of day in the window's zone. `first` is the day that intervals and
    counts are reckoned from, None for a rule that says its days by itself."""

    rule: str
    at: time
    first: date | None = None

    def __str__(self) -> str:
        return f"{self.rule} at {self.at:%H:%M}"


Recurrence = Once | ByCron | ByRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`length` of elapsed time from each start: a clock change within makes it neither longer nor shorter. It begins no
    sooner than `since` and never at or after `until` (None: no such bound). `made_at` is None for one of the
    configuration."""

    id: str
    matchers: Matchers
    recurrence: Recurrence
    length: timedelta
    zone: str = "UTC"
    since: datetime | None = None
    until: datetime | None = None
    comment: str = ""
    by: str = ""
    made_at: datetime | None = None

    @property
    def by_hand(self) -> bool:
        return self.made_at is not None

    def why(self, start: datetime, end: datetime) -> str:
        """One line for a page and the timeline: "maintenance until 04:00 UTC: weekly backup"."""
        comment = f": {self.comment}" if self.comment else ""
        return f"maintenance until {local_and_utc(end, self.zone, start)}{comment}"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A time from its start up to, but without, its end."""

    start: datetime
    end: datetime


def local_and_utc(at: datetime, zone: str, seen_from: datetime) -> str:
    """A time on the clocks of a zone and in UTC, with its day unless it is the day of the moment it is seen from."""
    local, there = on_the_wall(at, zone), on_the_wall(seen_from, zone)
    day = "" if local.date() == there.date() else f"{local:%a %d %b} "
    if zone == "UTC":
        return f"{day}{local:%H:%M} UTC"
    return f"{day}{local:%H:%M} {zone} ({at.astimezone(UTC):%H:%M} UTC)"
