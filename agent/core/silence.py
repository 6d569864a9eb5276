"""Silences: somebody says that nobody shall be asked about some services for a while, and why."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from agent.core.matchers import Matchers

LONGEST = timedelta(days=366)
LISTED_FOR = timedelta(days=7)  # after its end, so that one can still see why nobody was asked last night


class State(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """From `starts` until `ends` (None: no set end). With `until_resolved` it holds only for `incidents`, which were
    open when it was made, for each of them until that is over; it ends with the last of them, or at `ends`."""

    id: str
    matchers: Matchers
    starts: datetime
    ends: datetime | None
    by: str
    created: datetime
    comment: str = ""
    until_resolved: bool = False
    incidents: tuple[str, ...] = ()

    def state(self, at: datetime) -> State:
        if (self.ends is not None and self.ends <= at) or (self.until_resolved and not self.incidents):
            return State.EXPIRED
        return State.PENDING if at < self.starts else State.ACTIVE

    def quiets(self, incident: str, at: datetime) -> bool:
        """Whether it keeps people from being asked about this incident (empty: none is open) of a service that it
        matches."""
        if self.until_resolved and incident not in self.incidents:
            return False
        return self.starts <= at and (self.ends is None or at < self.ends)

    @property
    def why(self) -> str:
        """One line for a page and the timeline: "silenced by bob until 14:00 UTC: deploy". The same at any time."""
        until = "until it is resolved" if self.until_resolved else ""
        if self.ends is not None:
            or_at = f"{until}, at the latest at " if until else "until "
            until = f"{or_at}{utc(self.ends, self.created)}"
        comment = f": {self.comment}" if self.comment else ""
        return f"silenced by {self.by} {until}{comment}"


def expired(silence: Silence, at: datetime) -> Silence:
    """The same, ended now; one that has ended is left as it is."""
    if silence.state(at) is State.EXPIRED:
        return silence
    return replace(silence, ends=at, starts=min(silence.starts, at), incidents=())


def without(silence: Silence, still_open: Collection[str], at: datetime) -> Silence:
    """The same object, or one without the incidents that are over; it ends with the last of them."""
    if not silence.until_resolved or silence.state(at) is State.EXPIRED:
        return silence
    left = tuple(incident for incident in silence.incidents if incident in still_open)
    if left == silence.incidents:
        return silence
    return replace(silence, incidents=left) if left else expired(silence, at)


def forgotten(silence: Silence, at: datetime) -> bool:
    """Whether it ended so long ago that it is not even listed."""
    return silence.state(at) is State.EXPIRED and at - (silence.ends or silence.starts) > LISTED_FOR


def utc(at: datetime, seen_from: datetime) -> str:
    """A time for people, with its day unless that is the day of the moment it is seen from."""
    moment = at.astimezone(UTC)
    day = "" if moment.date() == seen_from.astimezone(UTC).date() else f"{moment:%a %d %b} "
    return f"{day}{moment:%H:%M} UTC"
