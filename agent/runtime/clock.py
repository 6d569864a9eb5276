"""The wall clock, watched against the monotonic one: steps and suspends are seen, not suffered."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

STEP = 1.0  # seconds; less than this is slewing, and harmless


class Clock:
    """Says what time it is, and by how much the wall clock has jumped since it was last asked.

    A suspend looks like a forward step: the monotonic clock stands still in it.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self._stepped_at = float("-inf")

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    def monotonic(self) -> float:
        return self._monotonic()

    def step(self) -> timedelta:
        """The jump since the last call that saw one, zero for none. Slow drift is followed silently."""
        drift = self.drift()
        self._offset += drift
        if abs(drift) < STEP:
            return timedelta(0)
        self._stepped_at = self._monotonic()
        return timedelta(seconds=drift)

    def drift(self) -> float:
        """Seconds by which the wall clock is off from where it should be by the last look."""
        return self._wall() - self._monotonic() - self._offset

    def stepped_since(self, moment: float) -> bool:
        """Whether the wall clock jumped after that monotonic moment, noticed or not yet."""
        return self._stepped_at >= moment or abs(self.drift()) >= STEP
