"""Silences and windows as text, for the notes of the store."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from agent.core.matchers import parse
from agent.core.silence import Silence
from agent.core.windows import ByCron, ByRule, Once, Recurrence, Window

SILENCES, MAINTENANCE = "silences", "maintenance"  # the names of the notes


@dataclass(slots=True)
class Read:
    """What a note held. `lost` are the entries that could not be read, with the reason."""

    silences: list[Silence] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    over: dict[str, datetime] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def write_silences(silences: Iterable[Silence]) -> str:
    return json.dumps({"silences": [_silence(one) for one in silences]}, separators=(",", ":"))


def write_windows(windows: Iterable[Window], over: Mapping[str, datetime]) -> str:
    found = {"windows": [_window(one) for one in windows], "over": {name: at.isoformat() for name, at in over.items()}}
    return json.dumps(found, separators=(",", ":"))


def read(silences: str | None, maintenance: str | None) -> Read:
    """Both notes. One entry that cannot be read is no reason to forget the others."""
    found = Read()
    for entry in _entries(silences, "silences", found):
        _take(entry, lambda one: found.silences.append(_read_silence(one)), found)
    for entry in _entries(maintenance, "windows", found):
        _take(entry, lambda one: found.windows.append(_read_window(one)), found)
    for entry in _entries(maintenance, "over", found):
        _take(entry, lambda one: found.over.update({one[0]: datetime.fromisoformat(one[1])}), found)
    return found


def _entries(text: str | None, key: str, found: Read) -> list[Any]:
    if text is None:
        return []
    try:
        entries = json.loads(text).get(key, [])
        return [*entries.items()] if isinstance(entries, dict) else [*entries]
    except (ValueError, AttributeError, TypeError) as error:
        found.lost.append(f"{key}: {error}")
        return []


def _take(entry: Any, take: Any, found: Read) -> None:
    try:
        take(entry)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        found.lost.append(f"{entry!r}: {type(error).__name__}: {error}")


def _silence(one: Silence) -> dict[str, Any]:
    return {
        "id": one.id,
        "match": str(one.matchers),
        "starts": one.starts.isoformat(),
        "ends": one.ends.isoformat() if one.ends else None,
        "by": one.by,
        "created": one.created.isoformat(),
        "comment": one.comment,
        "until_resolved": one.until_resolved,
        "incidents": one.incidents,
    }


def _read_silence(entry: dict[str, Any]) -> Silence:
    return Silence(
        id=str(entry["id"]),
        matchers=parse(entry["match"]),
        starts=datetime.fromisoformat(entry["starts"]),
        ends=_moment(entry["ends"]),
        by=str(entry["by"]),
        created=datetime.fromisoformat(entry["created"]),
        comment=str(entry["comment"]),
        until_resolved=bool(entry["until_resolved"]),
        incidents=tuple(map(str, entry["incidents"])),
    )


def _window(one: Window) -> dict[str, Any]:
    return {
        "id": one.id,
        "match": str(one.matchers),
        "when": _recurrence(one.recurrence),
        "seconds": one.length.total_seconds(),
        "zone": one.zone,
        "since": one.since.isoformat() if one.since else None,
        "until": one.until.isoformat() if one.until else None,
        "comment": one.comment,
        "by": one.by,
        "made_at": one.made_at.isoformat() if one.made_at else None,
    }


def _read_window(entry: dict[str, Any]) -> Window:
    return Window(
        id=str(entry["id"]),
        matchers=parse(entry["match"]),
        recurrence=_read_recurrence(entry["when"]),
        length=timedelta(seconds=entry["seconds"]),
        zone=str(entry["zone"]),
        since=_moment(entry["since"]),
        until=_moment(entry["until"]),
        comment=str(entry["comment"]),
        by=str(entry["by"]),
        made_at=_moment(entry["made_at"]),
    )


def _recurrence(recurrence: Recurrence) -> dict[str, Any]:
    match recurrence:
        case Once(at=at):
            return {"once": at.isoformat()}
        case ByCron(expression=expression):
            return {"cron": expression}
        case ByRule(rule=rule, at=day_time, first=first):
            return {"rule": rule, "at": day_time.isoformat(), "first": first.isoformat() if first else None}


def _read_recurrence(entry: dict[str, Any]) -> Recurrence:
    if "once" in entry:
        return Once(at=datetime.fromisoformat(entry["once"]))
    if "cron" in entry:
        return ByCron(expression=entry["cron"])
    first = date.fromisoformat(entry["first"]) if entry["first"] else None
    return ByRule(rule=entry["rule"], at=time.fromisoformat(entry["at"]), first=first)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
