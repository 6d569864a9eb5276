"""The file of the log store: opened again when it was deleted or replaced, moved aside when it is corrupt."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from agent.logs import schema
from agent.ports import LogLine

log = structlog.get_logger()

Positions = Mapping[str, str | None]

_CHUNK = 2_000  # lines deleted in one transaction
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class LogFile:
    """For one thread at a time. Everything raises sqlite3.Error or OSError for a file that cannot be used now.
    `positions` are those up to which sources were read, as far as they are in the file."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self.path = path
        self.positions: dict[str, str] = {}
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._names: dict[str, int] = {}

    @property
    def open(self) -> bool:
        return self._connection is not None

    def reopen(self) -> None:
        """Open or make the file. A corrupt one is moved aside; a new one gets the positions that are known."""
        self.close()
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self.move_aside()
            self._connection = self._connect()
        status = self.path.stat()
        self._inode = (status.st_dev, status.st_ino)
        self._names = {}

    def gone(self) -> bool:
        """Somebody deleted or replaced the file: sqlite would go on writing into nowhere."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            log.warning("log_store_deleted", path=str(self.path))
            return True
        return (status.st_dev, status.st_ino) != self._inode

    def write(self, lines: Sequence[LogLine], positions: Positions) -> None:
        """All of it in one transaction."""
        schema.write_batch(self._opened, self._names, lines, positions)
        for key, value in positions.items():
            if value is None:
                self.positions.pop(key, None)
            else:
                self.positions[key] = value

    def tidy(self, retention: timedelta, size: int) -> bool:
        """Delete one bounded chunk of what is older than that, or more than so many bytes. Whether that was all."""
        gone = schema.delete_older(self._opened, self._now() - retention, _CHUNK)
        if schema.used_bytes(self._opened) > size:
            gone += schema.delete_first(self._opened, _CHUNK)
        schema.give_back(self._opened)
        return gone < _CHUNK

    def move_aside(self) -> None:
        """Keep a corrupt file under another name, so that a new one may be begun."""
        aside = self.path.with_name(f"{self.path.name}.corrupt-{self._now():%Y%m%dT%H%M%S}")
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        log.error(
            "log_store_corrupt", moved_to=str(aside), remedy="a new store was begun; older lines are in that file"
        )

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                schema.roll_back(connection)
                connection.close()
            except sqlite3.Error as error:
                log.debug("log_store_close", error=str(error))

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = schema.connect(self.path)
        try:
            if self.positions:
                schema.write_batch(connection, {}, (), self.positions)
            else:
                self.positions = schema.read_positions(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is no database any more."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def is_passing(error: Exception) -> bool:
    """Whether somebody else has the file locked just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
