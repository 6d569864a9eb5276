"""Figures as people read them."""

from datetime import timedelta

from agent.core.durations import format_duration


def size(count: int) -> str:
    """Bytes: "640 KiB", "12.5 MiB", "3.2 GiB"."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count // 1024} KiB" if count >= 1024 else f"{count} B"


def span(seconds: float) -> str:
    """A length of time with at most two units: "4s", "12m", "3h5m", "2d4h"."""
    whole = max(0, round(seconds))
    least = 3_600 if whole >= 86_400 else 60 if whole >= 3_600 else 1
    whole -= whole % least
    return format_duration(timedelta(seconds=whole))


def ago(seconds: float) -> str:
    return f"{span(seconds)} ago"


def share(part: int, whole: int) -> str:
    """What part of it is used: "97 %"."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"
