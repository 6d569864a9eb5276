"""The log database: its tables, the write of one batch, and retention. SQL for one connection, no threads.

It is a SQLite file of its own, so that bulk writes of lines never hold up a commit of the agent's state.
"""

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from agent.logs.levels import RANK
from agent.ports import LogLine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TABLES = """
CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS lines (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,        -- microseconds since 1970
    service INTEGER NOT NULL,   -- names.id
    source INTEGER NOT NULL,    -- names.id
    level INTEGER NOT NULL,     -- 0 none, 1 debug .. 5 critical
    text TEXT NOT NULL,
    trace TEXT,
    fields TEXT                 -- a JSON object of texts
);
CREATE INDEX IF NOT EXISTS lines_by_time ON lines (service, at);
CREATE VIRTUAL TABLE IF NOT EXISTS lines_words USING fts5
    (text, trace, fields, content='lines', content_rowid='id', detail=none);
CREATE TABLE IF NOT EXISTS positions (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

# One statement for a whole batch: sqlite lets go of the interpreter's lock once, not once per row. Beside a busy
# event loop that is the difference between 44 and 416 microseconds per line.
_INSERT = """
INSERT INTO lines (at, service, source, level, text, trace, fields)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each(?)
"""
_INDEX = "INSERT INTO lines_words (rowid, text, trace, fields) SELECT id, text, trace, fields FROM lines WHERE id > ?"
_UNINDEX = """
INSERT INTO lines_words (lines_words, rowid, text, trace, fields)
SELECT 'delete', id, text, trace, fields FROM lines WHERE id IN (SELECT value FROM json_each(?))
"""
_DELETE = "DELETE FROM lines WHERE id IN (SELECT value FROM json_each(?))"


def connect(path: Path) -> sqlite3.Connection:
    """Open the log database for writing, making it if need be. Raises sqlite3.Error."""
    fresh = not path.exists()
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        if fresh:
            os.chmod(path, 0o600)  # logs tell a lot about those who are in them
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.executescript(_TABLES)
    except (sqlite3.Error, OSError):
        connection.close()
        raise
    return connection


def read_positions(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM positions"))


def write_batch(
    connection: sqlite3.Connection,
    names: dict[str, int],
    lines: Sequence[LogLine],
    positions: Mapping[str, str | None],
) -> None:
    """Store lines, and where their sources were read up to, in ONE transaction: after a crash a line is either in
    the store or will be read again, never both. A position of None is deleted. `names` is the caller's cache.
    Raises sqlite3.Error, and has then changed nothing."""
    known = dict(names)
    connection.execute("BEGIN IMMEDIATE")
    try:
        _name(connection, known, lines)
        if lines:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM lines").fetchone()
            connection.execute(_INSERT, (_rows(lines, known),))
            connection.execute(_INDEX, (last,))
        for key, value in positions.items():
            if value is None:
                connection.execute("DELETE FROM positions WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (key, value))
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    names.update(known)


def roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _name(connection: sqlite3.Connection, names: dict[str, int], lines: Iterable[LogLine]) -> None:
    for name in {line.service for line in lines} | {line.source for line in lines}:
        if name not in names:
            row = (_encodable(name),)
            connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", row)
            (names[name],) = connection.execute("SELECT id FROM names WHERE name = ?", row).fetchone()


def _rows(lines: Sequence[LogLine], names: Mapping[str, int]) -> str:
    try:
        return orjson.dumps([_row(line, names) for line in lines]).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, from a caller that did not parse
        return orjson.dumps([_row(_clean(line), names, line) for line in lines]).decode()


def _row(line: LogLine, names: Mapping[str, int], named: LogLine | None = None) -> tuple[object, ...]:
    return (
        round(line.at.timestamp() * 1e6),
        names[(named or line).service],
        names[(named or line).source],
        RANK.get(line.level, 0),
        line.text,
        line.trace_id or None,
        orjson.dumps(dict(line.fields)).decode() if line.fields else None,
    )


def _clean(line: LogLine) -> LogLine:
    fields = {_encodable(str(key)): _encodable(str(value)) for key, value in line.fields.items()}
    return replace(line, text=_encodable(line.text), trace_id=_encodable(line.trace_id), fields=fields)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def line_of(row: tuple[int, str, str, int, str, str | None, str | None], levels: Sequence[str]) -> LogLine:
    """A row of (at, source, service, level, text, trace, fields) as the line that it was."""
    at, source, service, level, text, trace, fields = row
    return LogLine(
        at=EPOCH + timedelta(microseconds=at),
        source=source,
        service=service,
        level=levels[level],
        text=text,
        trace_id=trace or "",
        fields=orjson.loads(fields) if fields else {},
    )


def delete_older(connection: sqlite3.Connection, before: datetime, most: int) -> int:
    """Delete at most that many lines from before that time. Returns how many."""
    limit = round(before.timestamp() * 1e6)
    ids: list[int] = []
    for (service,) in connection.execute("SELECT id FROM names").fetchall():
        wanted = most - len(ids)
        found = connection.execute(
            "SELECT id FROM lines WHERE service = ? AND at < ? ORDER BY at LIMIT ?", (service, limit, wanted)
        )
        ids += [row[0] for row in found]
    return _delete(connection, ids)


def delete_first(connection: sqlite3.Connection, most: int) -> int:
    """Delete that many of the lines that came in first. Returns how many there were."""
    found = connection.execute("SELECT id FROM lines ORDER BY id LIMIT ?", (most,))
    return _delete(connection, [row[0] for row in found])


def _delete(connection: sqlite3.Connection, ids: list[int]) -> int:
    if not ids:
        return 0
    chosen = orjson.dumps(ids).decode()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_UNINDEX, (chosen,))
        connection.execute(_DELETE, (chosen,))
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    return len(ids)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something: free pages, which the next lines fill, do not count."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def give_back(connection: sqlite3.Connection, pages: int = 1000) -> None:
    """Return some free pages at the end of the file to the file system."""
    connection.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
