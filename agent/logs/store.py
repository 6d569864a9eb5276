"""The embedded log store: lines go in through a bounded queue and a thread of its own; nothing here stops the agent.

Whatever happens to the file (full disk, lock, corruption, deletion), the lines wait in the queue, the oldest are
dropped with a count when it is full, and that is said at most once a minute.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import structlog

from agent.logs import schema
from agent.ports import LogLine

log = structlog.get_logger()

Positions = Mapping[str, str | None]

_BATCH = 500  # lines that are worth a transaction at once
_LARGEST = 5_000  # lines in one transaction when there is a backlog
_LINGER = 0.5  # seconds that a line may wait for company
_LOCKED_FOR = 5.0  # seconds that a start waits for who has the file locked
_RETRY = (0.5, 1.0, 2.0, 5.0)  # seconds between attempts on a file in trouble
_SAY_EVERY = 60.0
_TIDY_EVERY = 10.0
_CHUNK = 2_000  # lines deleted in one transaction
_POISON = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.NotSupportedError,
    sqlite3.ProgrammingError,
)
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class LogStore:
    """A SQLite file of log lines. `put` and the figures may be used from any thread and never block on the disk.

    `retention` and `size` (bytes) bound what is kept; `most_queued` bounds the lines in memory.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: timedelta = timedelta(days=7),
        size: int = 1_073_741_824,
        most_queued: int = 50_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tidy_every: float = _TIDY_EVERY,
    ) -> None:
        self.path = path
        self.written = 0
        self.dropped = 0
        self.trouble = ""
        self._retention = retention
        self._size = size
        self._most_queued = most_queued
        self._largest = min(_LARGEST, most_queued // 2)  # what is dropped meanwhile is never all that is newer
        self._now = now
        self._tidy_every = tidy_every
        self._queue: deque[tuple[Sequence[LogLine], Positions]] = deque()
        self._writing: list[tuple[Sequence[LogLine], Positions]] = []
        self._queued = 0
        self._oldest = 0.0  # when the first batch in the queue came, on the monotonic clock
        self._wake = threading.Condition()
        self._stopping = False
        self._flush = False
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._names: dict[str, int] = {}
        self._positions: dict[str, str] = {}
        self._failures = 0
        self._said_at = -_SAY_EVERY
        self._dropped_said = 0
        self._tidied_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="log-store", daemon=True)

    def start(self) -> dict[str, str]:
        """Open the file, start the writer, return the positions up to which sources were read. A locked file is
        waited for some seconds: without positions lines are lost. With a file that cannot be opened there are none,
        and the writer keeps trying."""
        deadline = monotonic() + _LOCKED_FOR
        while self._connection is None:
            try:
                self._open()
            except (sqlite3.Error, OSError) as error:
                if _is_passing(error) and monotonic() < deadline:
                    sleep(0.05)
                    continue
                self._troubled(error)
                break
        positions = dict(self._positions)
        self._thread.start()
        return positions

    @property
    def queued(self) -> int:
        """Lines that are not in the file yet."""
        return self._queued

    @property
    def full(self) -> bool:
        """True while a source that can wait (a file on disk) should: the writer is behind, though it works."""
        return self._queued > self._most_queued // 2 and not self.trouble

    def put(self, lines: Sequence[LogLine], positions: Positions | None = None) -> None:
        """Queue lines, and the positions that hold once they are stored; both get into the file in one transaction,
        after everything that was put before."""
        with self._wake:
            if not self._queue:
                self._oldest = monotonic()
            self._queue.append((lines, positions or {}))
            self._queued += len(lines)
            if self._queued > self._most_queued:
                self._shed()
            if self._queued >= _BATCH:
                self._wake.notify()

    def flush(self, timeout: float = 5.0, *, patient: bool = True) -> bool:
        """Wait until everything that was put is in the file. False when it is not, within that many seconds or, if
        not `patient`, because the file is in trouble."""
        with self._wake:
            self._flush = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._stored or (bool(self.trouble) and not patient), timeout)
            self._flush = False
            return self._stored

    @property
    def _stored(self) -> bool:
        return not self._queue and not self._writing

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, if the file takes it within that many seconds, and close it."""
        self.flush(timeout)
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._queued:
            self.dropped += self._queued
            log.warning("log_lines_dropped", lines=self._queued, path=str(self.path), error=self.trouble)

    def _shed(self) -> None:
        """Drop the oldest lines, but not the positions: what was dropped is counted, not read again."""
        excess = self._queued - self._most_queued * 9 // 10
        positions: dict[str, str | None] = {}
        while excess > 0 and self._queue:
            lines, at = self._queue.popleft()
            positions.update(at)
            excess -= len(lines)
            self._queued -= len(lines)
            self.dropped += len(lines)
        if positions:
            self._queue.appendleft(((), positions))

    # ------------------------------------------------------------------------------------------ the writer's thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except (sqlite3.Error, OSError) as error:
                if isinstance(error, _POISON):
                    self._discard(error)
                else:
                    self._troubled(error)
                    with self._wake:
                        self._wake.notify_all()  # whoever has no patience with a file in trouble
                        self._wake.wait_for(lambda: self._stopping, _RETRY[min(self._failures, len(_RETRY)) - 1])
            except Exception as error:  # noqa: BLE001 - a bug in one batch must not end the thread for all others
                self._discard(error)
        self._close()

    def _step(self) -> None:
        with self._wake:
            self._wake.wait_for(self._due, _LINGER / 2)
            due = self._due() and bool(self._queue)
        if self._connection is None or (due and self._gone()):
            self._open()
        if due:
            self._write()
        if monotonic() - self._tidied_at >= self._tidy_every and self._queued < self._largest:
            self._tidy()

    def _due(self) -> bool:
        if not self._queue:
            return self._stopping
        waited = monotonic() - self._oldest
        return self._queued >= _BATCH or waited >= _LINGER or self._flush or self._stopping

    def _write(self) -> None:
        """Store the head of the queue. What cannot be stored now goes back to where it was."""
        connection = self._connection
        assert connection is not None
        with self._wake:
            self._take()
        lines = [line for item in self._writing for line in item[0]]
        positions: dict[str, str | None] = {}
        for item in self._writing:
            positions.update(item[1])
        try:
            schema.write_batch(connection, self._names, lines, positions)
        except (sqlite3.Error, OSError) as error:
            if not isinstance(error, _POISON):
                with self._wake:
                    self._queue.extendleft(reversed(self._writing))
                    self._writing = []
            raise
        self._remember(positions)
        with self._wake:
            self._queued -= len(lines)
            self._writing = []
            self._wake.notify_all()
        self.written += len(lines)
        self._recovered()

    def _take(self) -> None:
        count = 0
        while self._queue and (count == 0 or count + len(self._queue[0][0]) <= self._largest):
            item = self._queue.popleft()
            count += len(item[0])
            self._writing.append(item)
        self._oldest = monotonic()

    def _discard(self, error: Exception) -> None:
        """A batch that the store will never take, whatever the state of the disk."""
        with self._wake:
            lines = sum(len(item[0]) for item in self._writing)
            self._writing = []
            self._queued -= lines
            self.dropped += lines
            self._wake.notify_all()
        log.error("log_lines_refused", lines=lines, error=repr(error))

    def _remember(self, positions: Positions) -> None:
        for key, value in positions.items():
            if value is None:
                self._positions.pop(key, None)
            else:
                self._positions[key] = value

    def _open(self) -> None:
        """Open or make the file. A corrupt one is moved aside; a new one gets the positions that are known."""
        self._close()
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            self._move_aside()
            self._connection = self._connect()
        status = self.path.stat()
        self._inode = (status.st_dev, status.st_ino)
        self._names = {}

    def _connect(self) -> sqlite3.Connection:
        connection = schema.connect(self.path)
        try:
            if self._positions:
                schema.write_batch(connection, {}, (), self._positions)
            else:
                self._positions = schema.read_positions(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _gone(self) -> bool:
        """Somebody deleted or replaced the file: sqlite would go on writing into nowhere."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            log.warning("log_store_deleted", path=str(self.path))
            return True
        return (status.st_dev, status.st_ino) != self._inode

    def _move_aside(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.corrupt-{self._now():%Y%m%dT%H%M%S}")
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        log.error(
            "log_store_corrupt", moved_to=str(aside), remedy="a new store was begun; older lines are in that file"
        )

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                schema.roll_back(connection)
                connection.close()
            except sqlite3.Error as error:
                log.debug("log_store_close", error=str(error))

    def _tidy(self) -> None:
        """One bounded chunk of retention. It comes round again at once while there is more to delete."""
        connection = self._connection
        assert connection is not None
        gone = schema.delete_older(connection, self._now() - self._retention, _CHUNK)
        if schema.used_bytes(connection) > self._size:
            gone += schema.delete_first(connection, _CHUNK)
        schema.give_back(connection)
        if gone < _CHUNK:
            self._tidied_at = monotonic()

    def _troubled(self, error: Exception) -> None:
        self._failures += 1
        self.trouble = str(error) or type(error).__name__
        if isinstance(error, sqlite3.DatabaseError) and _is_corrupt(error):
            self._close()
            try:
                self._move_aside()
            except OSError as failure:
                self.trouble = f"{self.trouble}; it cannot be moved aside: {failure}"
        elif not _is_passing(error):
            self._close()
        if monotonic() - self._said_at >= _SAY_EVERY:
            self._said_at = monotonic()
            dropped = self.dropped - self._dropped_said
            self._dropped_said = self.dropped
            log.warning("log_store_unavailable", path=str(self.path), error=self.trouble, dropped=dropped)

    def _recovered(self) -> None:
        if self.trouble:
            log.info("log_store_recovered", path=str(self.path), dropped=self.dropped - self._dropped_said)
            self._dropped_said = self.dropped
        self.trouble = ""
        self._failures = 0


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def _is_passing(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
