"""How overrides and the last good copies of calendars are kept: each as one note of the store, JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from agent.core.rota import Override
from agent.oncall.calendar import Event

OVERRIDES = "oncall/overrides"


def calendar_note(schedule: str) -> str:
    """The name of the note that holds the last good copy of a schedule's calendar."""
    return f"oncall/calendar/{schedule}"


def write_overrides(overrides: Iterable[Override], made: int) -> str:
    """`made` is how many there have ever been: no id is given twice."""
    rows = [{key: _plain(value) for key, value in asdict(one).items()} for one in overrides]
    return json.dumps({"made": made, "overrides": rows})


def read_overrides(text: str) -> tuple[list[Override], int]:
    """The reverse. Raises ValueError, KeyError or TypeError for anything else."""
    found = json.loads(text)
    overrides = [Override(**{key: _back(key, value) for key, value in row.items()}) for row in found["overrides"]]
    return overrides, int(found["made"])


def write_calendar(events: Iterable[Event], read_at: datetime) -> str:
    rows = [[one.start.isoformat(), one.end.isoformat(), one.summary, list(one.attendees)] for one in events]
    return json.dumps({"read_at": read_at.isoformat(), "events": rows})


def read_calendar(text: str) -> tuple[tuple[Event, ...], datetime]:
    """The reverse. Raises ValueError, KeyError or TypeError for anything else."""
    found = json.loads(text)
    events = (
        Event(datetime.fromisoformat(start), datetime.fromisoformat(end), summary, tuple(attendees))
        for start, end, summary, attendees in found["events"]
    )
    return tuple(events), datetime.fromisoformat(found["read_at"])


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _back(key: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if key in ("start", "end", "made_at") and value is not None else value
