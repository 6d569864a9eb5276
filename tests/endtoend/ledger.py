"""What the agent's database says, read by this test's own eyes: plain SQL on the tables, no code of the agent."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One command of the outbox. Times in seconds."""

    key: str
    kind: str  # restart, or the kind of a notice: opened, resolved …
    service: str
    channel: str
    incident: str
    status: str
    created_at: float
    outcome: str


def outbox(database: Path) -> list[Row]:
    columns = "key, kind, notice, service, channel, incident, status, created_at, outcome"
    found = _select(database, f"select {columns} from outbox order by seq")
    return [
        Row(key, notice or kind, service, channel, incident, status, created_at / 1e6, _outcome(outcome))
        for key, kind, notice, service, channel, incident, status, created_at, outcome in found
    ]


def _outcome(text: str | None) -> str:
    return str(json.loads(text)["outcome"]) if text else ""


def asked_keys(database: Path) -> list[str]:
    """The keys of all pages that the timeline says were asked for."""
    bodies = (json.loads(body) for (body,) in _select(database, "select body from timeline order by seq"))
    return [body["data"]["key"] for body in bodies if body["kind"] == "paged"]


def open_incidents(database: Path) -> list[str]:
    return [name for (name,) in _select(database, "select name from services where incident <> ''")]


def beats(database: Path) -> list[str]:
    """What is remembered of the pushed heartbeats."""
    return [body for (body,) in _select(database, "select body from beats")]


def unsettled(database: Path) -> list[Row]:
    return [row for row in outbox(database) if row.status in ("pending", "claimed")]


def most_within(moments: Iterable[float], span: float) -> int:
    """The largest number of moments in any half-open window of that length."""
    ordered = sorted(moments)
    return max((sum(begin <= moment < begin + span for moment in ordered) for begin in ordered), default=0)


def _select(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(query).fetchall()
