"""Durations as people write them: `10s`, `500ms`, `1h30m`, `2d`."""

import re
from datetime import timedelta

PATTERN = "".join(rf"(?:\d+(?:\.\d+)?{unit})?" for unit in ("w", "d", "h", "m", "s", "ms"))
LONGEST = timedelta(days=36_525)
LONGEST_SHOWN = 60  # characters of what is no duration

_UNITS = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_WHOLE = re.compile(PATTERN, re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """A length of time: numbers with units (w, d, h, m, s, ms), the largest first, each unit once, without a sign.

    Raises ValueError, with what was expected, for anything else and for more than a hundred years.
    """
    compact = text.strip().replace(" ", "")
    text = text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
    if not compact or not _WHOLE.fullmatch(compact):
        number = re.fullmatch(r"\d+(\.\d+)?", compact[:LONGEST_SHOWN])
        hint = f": write the unit, {number[0]}s or {number[0]}m" if number else ""
        raise ValueError(f"{text!r} is not a duration{hint or ': expected something like 10s, 500ms, 5m or 1h30m'}")
    try:
        length = timedelta(microseconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(compact)))
    except OverflowError:
        length = timedelta.max
    if length > LONGEST:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return length


def format_duration(length: timedelta) -> str:
    """The shortest such text, read back exactly by `parse_duration`; a negative length gets a minus sign."""
    left = length // timedelta(microseconds=1)
    sign, left = ("-", -left) if left < 0 else ("", left)
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left / 1000:.3f}".rstrip("0").rstrip(".") + "ms")
    return sign + "".join(parts) if parts else "0s"
