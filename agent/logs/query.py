"""Reading the log database: search, tail, follow; read-only, also while the agent writes."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.logs.levels import LEVELS, RANK
from agent.logs.schema import line_of
from agent.ports import LogLine

SCAN = 200_000  # lines that a search without an indexed word looks at, from the newest back
_PAGE = 1_000
_TERM = re.compile(r'"([^"]*)"?|(\S+)')
_TOKEN = re.compile(r"[^\W_]+")
_COLUMNS = """
l.at, (SELECT name FROM names WHERE id = l.source), (SELECT name FROM names WHERE id = l.service),
l.level, l.text, l.trace, l.fields
"""


class LogQueryError(Exception):
    """The database could not be read, or the question is not one: the message says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a person typed, for the index and for the lines that it finds. `match` is an FTS5 expression ("" when no
    word can be looked up); `contains` are texts that a line must hold, in small letters, because the index knows only
    whole words."""

    match: str
    contains: tuple[str, ...]


def words_of(query: str) -> Words:
    """Terms stand for lines that have them all: a word, the beginning of one (`conn*`), an address or a path
    (`10.0.0.7`), a phrase in double quotes. Any input is a valid query."""
    match: list[str] = []
    contains: list[str] = []
    for phrase, bare in _TERM.findall(query.replace("\0", " ")):
        prefix = bare.endswith("*")
        term = (phrase or bare.rstrip("*")).strip().lower()
        tokens = [token for token in _TOKEN.findall(term) if token.isascii()]
        match += [f'"{token}"' for token in tokens]
        if prefix and match and tokens and term.endswith(tokens[-1]):
            match[-1] += "*"
        if term and (tokens != [term]):
            contains.append(term)
    return Words(match=" AND ".join(match), contains=tuple(contains))


def search(
    path: Path,
    query: str = "",
    *,
    service: str | None = None,
    level: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    regex: bool = False,
) -> list[LogLine]:
    """The newest lines that match, newest first (in the order of their arrival). `level` means that level and worse.
    With `regex` the query is a regular expression over the text of at most the newest `SCAN` lines that the other
    conditions leave. Raises LogQueryError."""
    words = Words(match="", contains=()) if regex else words_of(query)
    fits = _pattern(query) if regex else _contains(words.contains)
    where, values = _conditions(service, level, since, until)
    if words.match:
        table, order = "lines_words w JOIN lines l ON l.id = w.rowid", "w.rowid"
        where, values = ["lines_words MATCH ?", *where], [words.match, *values]
    else:
        table, order = "lines l", "l.id"
    sql = f"SELECT {_COLUMNS} FROM {table} WHERE {' AND '.join(where) or '1'} ORDER BY {order} DESC"  # noqa: S608
    found: list[LogLine] = []
    with _reading(path) as connection:
        rows = connection.execute(sql, values)
        for seen, row in enumerate(rows):
            if len(found) >= limit or (seen >= SCAN and not words.match):
                break
            if fits(row[4], row[6]):
                found.append(line_of(row, LEVELS))
    return found


def tail(
    path: Path, service: str | None = None, *, before: datetime | None = None, lines: int = 20, level: str = ""
) -> list[LogLine]:
    """The last lines of a service (of all when None) up to that moment, oldest first. Raises LogQueryError."""
    where, values = _conditions(service, level, None, before)
    order = "l.at DESC, l.id DESC" if service else "l.id DESC"
    sql = f"SELECT {_COLUMNS} FROM lines l WHERE {' AND '.join(where) or '1'} ORDER BY {order} LIMIT ?"  # noqa: S608
    with _reading(path) as connection:
        rows = connection.execute(sql, [*values, lines]).fetchall()
    return sorted((line_of(row, LEVELS) for row in reversed(rows)), key=lambda line: line.at)


def follow(
    path: Path,
    service: str | None = None,
    *,
    level: str = "",
    poll: float = 0.25,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LogLine]:
    """Lines as they get into the store, from now on, without end. Raises LogQueryError."""
    with _reading(path) as connection:
        last = _last_id(connection)
    where, values = _conditions(service, level, None, None)
    sql = f"SELECT l.id, {_COLUMNS} FROM lines l WHERE {' AND '.join(['l.id > ?', *where])} ORDER BY l.id LIMIT {_PAGE}"  # noqa: S608
    while True:
        with _reading(path) as connection:
            end = _last_id(connection)
            rows = connection.execute(sql, [min(last, end), *values]).fetchall()
        last = rows[-1][0] if len(rows) == _PAGE else end
        for row in rows:
            yield line_of(row[1:], LEVELS)
        if len(rows) < _PAGE:
            sleep(poll)


def _last_id(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM lines").fetchone()
    return int(last)


def _conditions(
    service: str | None, level: str, since: datetime | None, until: datetime | None
) -> tuple[list[str], list[str | int]]:
    where: list[str] = []
    values: list[str | int] = []
    if service is not None:
        where.append("l.service = (SELECT id FROM names WHERE name = ?)")
        values.append(service)
    if level:
        if level not in RANK:
            raise LogQueryError(f"level {level!r} is not one of {', '.join(LEVELS[1:])}")
        where.append("l.level >= ?")
        values.append(RANK[level])
    for condition, moment in (("l.at >= ?", since), ("l.at <= ?", until)):
        if moment is not None:
            where.append(condition)
            values.append(round(moment.timestamp() * 1e6))
    return where, values


def _contains(texts: tuple[str, ...]) -> Callable[[str, str | None], bool]:
    def fits(text: str, fields: str | None) -> bool:
        whole = text.lower()
        return all(part in whole or (fields is not None and part in fields.lower()) for part in texts)

    return fits if texts else lambda _text, _fields: True


def _pattern(query: str) -> Callable[[str, str | None], bool]:
    try:
        find = re.compile(query).search
    except re.error as error:
        raise LogQueryError(f"{query!r} is not a regular expression: {error}") from None
    return lambda text, _fields: find(text) is not None


class _reading:  # noqa: N801 - used as a with-statement's verb
    """A read-only connection, errors of sqlite turned into LogQueryError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
            self._connection.execute("PRAGMA query_only = 1")
        except sqlite3.Error as error:
            raise self._error(error) from None
        return self._connection

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if self._connection is not None:
            with closing(self._connection):
                self._connection = None
        if isinstance(error, sqlite3.Error):
            raise self._error(error) from None

    def _error(self, error: sqlite3.Error) -> LogQueryError:
        if not self._path.exists():
            return LogQueryError(f"there is no log store at {self._path}: has the agent run with logs configured?")
        return LogQueryError(f"the log store {self._path} cannot be read: {error}")
