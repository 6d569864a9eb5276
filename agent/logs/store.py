"""The embedded log store: lines go in through a bounded queue and a thread of its own; nothing here stops the agent.

Whatever happens to the file (full disk, lock, corruption, deletion), the lines wait in the queue, the oldest are
dropped with a count when it is full, and that is said at most once a minute.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import structlog

from agent.logs.log_file import LogFile, Positions, is_corrupt, is_passing
from agent.ports import LogLine

log = structlog.get_logger()

_BATCH = 500  # lines that are worth a transaction at once
_LARGEST = 5_000  # lines in one transaction when there is a backlog
_LINGER = 0.5  # seconds that a line may wait for company
_LOCKED_FOR = 5.0  # seconds that a start waits for who has the file locked
_RETRY = (0.5, 1.0, 2.0, 5.0)  # seconds between attempts on a file in trouble
_SAY_EVERY = 60.0
_TIDY_EVERY = 10.0
_POISON = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.NotSupportedError,
    sqlite3.ProgrammingError,
)


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
        self._file = LogFile(path, now)
        self._tidy_every = tidy_every
        self._queue: deque[tuple[Sequence[LogLine], Positions]] = deque()
        self._writing: list[tuple[Sequence[LogLine], Positions]] = []
        self._queued = 0
        self._oldest = 0.0  # when the first batch in the queue came, on the monotonic clock
        self._wake = threading.Condition()
        self._stopping = False
        self._flush = False
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
        while not self._file.open:
            try:
                self._file.reopen()
            except (sqlite3.Error, OSError) as error:
                if is_passing(error) and monotonic() < deadline:
                    sleep(0.05)
                    continue
                self._troubled(error)
                break
        positions = dict(self._file.positions)
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
        self._file.close()

    def _step(self) -> None:
        with self._wake:
            self._wake.wait_for(self._due, _LINGER / 2)
            due = self._due() and bool(self._queue)
        if not self._file.open or (due and self._file.gone()):
            self._file.reopen()
        if due:
            self._write()
        due = monotonic() - self._tidied_at >= self._tidy_every and self._queued < self._largest
        if due and self._file.tidy(self._retention, self._size):  # else it comes round again at once
            self._tidied_at = monotonic()

    def _due(self) -> bool:
        if not self._queue:
            return self._stopping
        waited = monotonic() - self._oldest
        return self._queued >= _BATCH or waited >= _LINGER or self._flush or self._stopping

    def _write(self) -> None:
        """Store the head of the queue. What cannot be stored now goes back to where it was."""
        with self._wake:
            self._take()
        lines = [line for item in self._writing for line in item[0]]
        positions: dict[str, str | None] = {}
        for item in self._writing:
            positions.update(item[1])
        try:
            self._file.write(lines, positions)
        except (sqlite3.Error, OSError) as error:
            if not isinstance(error, _POISON):
                with self._wake:
                    self._queue.extendleft(reversed(self._writing))
                    self._writing = []
            raise
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

    def _troubled(self, error: Exception) -> None:
        self._failures += 1
        self.trouble = str(error) or type(error).__name__
        if isinstance(error, sqlite3.DatabaseError) and is_corrupt(error):
            self._file.close()
            try:
                self._file.move_aside()
            except OSError as failure:
                self.trouble = f"{self.trouble}; it cannot be moved aside: {failure}"
        elif not is_passing(error):
            self._file.close()
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
