"""Pushed heartbeats: what they are, where they are kept, how they come in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One pushed heartbeat. `kind` is "start", "success", "fail" or "log"; an exit code other than 0 is a fail."""

    at: datetime
    kind: str
    exit_code: int | None = None
    body: str = ""
    run_id: str = ""


@dataclass(slots=True, kw_only=True)
class BeatState:
    """What is remembered of one heartbeat check: the last of each kind. `start` is the run in progress: None when
    there is none, because the beat that ends a run takes it away."""

    first_at: datetime  # since when beats are expected at all (check first configured)
    success: Beat | None = None
    fail: Beat | None = None
    start: Beat | None = None
    log: Beat | None = None
    last: Beat | None = None
    took: timedelta | None = None  # of the last run that had a start and an end
    total: int = 0


class BeatBook(Protocol):
    """Where pushed heartbeats are kept. Reading never blocks."""

    def state(self, service: str, check: str) -> BeatState: ...

    def blind_since(self) -> tuple[datetime, datetime]:
        """The last time span in which beats could not be taken in: from the end of the last agent's life to the
        start of this one. Empty (both the same) on a first start."""
        ...


class BeatIntake(Protocol):
    """The other side of the same book: where the HTTP layer hands in what was pushed. Nothing here blocks."""

    def knows(self, service: str, check: str) -> bool:
        """Whether config has a heartbeat check of that name."""
        ...

    def admits(self, service: str, check: str, token: str | None) -> bool:
        """Whether that token opens the check; any does where config sets none. Compared in constant time."""
        ...

    def take(self, service: str, check: str, beat: Beat, body: bytes = b"") -> bool:
        """Take one beat in. `body` is what the sender pushed, as it came: at most 10 KiB of it are kept, decoded,
        as the beat's body, so there is no need to read more than a byte beyond that. False, and nothing is kept, for a
        check that is not known. Raises ValueError for a kind that is none of the four."""
        ...
