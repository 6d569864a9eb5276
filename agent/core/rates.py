"""Rates as people write them: "3 per 1h", "20 per 10m", "1 per day"."""

import re
from dataclasses import dataclass
from datetime import timedelta

from agent.core.durations import format_duration, parse_duration

EXPECTED = 'a rate such as "3 per 1h"'

_RATE = re.compile(r"(\d{1,9})\s*(?:per|in|/)\s*(\S+)", re.ASCII)
_WORDS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "7d"}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` times in any window of `per`."""

    count: int
    per: timedelta

    def __str__(self) -> str:
        return f"{self.count} per {format_duration(self.per)}"


def parse_rate(text: str) -> Rate:
    """Read "3 per 1h"; the window is a duration or one of second, minute, hour, day, week.

    Raises ValueError, saying what was expected, for anything else and for a window of no length. A count of zero is a
    rate like any other: never.
    """
    found = _RATE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"expected {EXPECTED}, got {text!r}")
    try:
        per = parse_duration(_WORDS.get(found[2], found[2]))
    except ValueError as error:
        raise ValueError(f"expected {EXPECTED}, got {text!r}") from error
    if per <= timedelta(0):
        raise ValueError(f"expected {EXPECTED} with a window longer than zero, got {text!r}")
    return Rate(int(found[1]), per)
