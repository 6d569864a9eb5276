"""Calendar and phase arithmetic: when a check runs, and when a failed delivery is tried again."""

from datetime import timedelta
from zlib import crc32

SLOT = timedelta(milliseconds=100)
MAX_TRIES = 10
LONGEST_WAIT = timedelta(minutes=10)


def phase(name: str, every: timedelta) -> timedelta:
    """Where in its interval a check runs: a stable function of its name, in steps of 100 ms, so that checks are
    spread evenly and a restart or a reload moves none of them."""
    slots = max(1, every // SLOT)
    return SLOT * (crc32(name.encode()) % slots)


def delay_before_try(tries: int, retry_after: float | None = None) -> timedelta:
    """How long to wait after `tries` failed attempts: 0, 1, 2, 4, 8 … seconds, never less than the other side asked
    for, and never more than ten minutes unless it asked for more."""
    wait = timedelta(seconds=0 if tries <= 0 else 2 ** min(tries - 1, 16))
    wait = min(wait, LONGEST_WAIT)
    return max(wait, timedelta(seconds=retry_after or 0))
