"""Following log files by glob. Synchronous: `poll` is called in a thread of its own, ten times a second.

Where reading begins: a file that was there before the agent first saw its glob is read from its end, unless it is small
and was written to within the last minute (the log of a service that starts together with the agent, or of a one-shot
job). A file that comes later is read from its start. A file whose position is known goes on from there.
"""

import glob
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import structlog

from agent.logs.position import COMPRESSED, Position, key_of
from agent.logs.rotation import OpenFiles
from agent.logs.tail import Chunk, Tail
from agent.ports import LogSpec

log = structlog.get_logger()

_SCAN_EVERY = 1.0  # seconds between looks for new files
_FORGET_EVERY = 600.0
_CHUNKS = 8  # chunks that one poll gives at most: bounds memory, and the time to the next look at all files
_ACTIVE = 30.0  # seconds since its last growth in which a file is looked at on every poll, not only on every scan
_SMALL = 65_536
_NEW = 60 * 1_000_000_000
_SECOND = 1_000_000_000


class FileFollower:
    """Every file that the specs' globs find. `saved` are the positions that a store gave back; `exclude` are files
    never to be read (the agent's own log and databases, with whatever sqlite keeps beside them); files that are the
    agent's own stdout or stderr are left out by themselves."""

    def __init__(
        self,
        specs: Iterable[LogSpec],
        saved: Mapping[str, str],
        *,
        exclude: Sequence[Path] = (),
        most_open: int = 500,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        positions = {key: Position.decode(text) for key, text in saved.items() if key.startswith("file:")}
        self._files = OpenFiles({key: at for key, at in positions.items() if at is not None}, clock)
        self._scans = {key[5:]: int(text) for key, text in saved.items() if key.startswith("scan:") and text.isdigit()}
        self._exclude = [os.path.realpath(path) for path in exclude]
        self._own = {key_of(os.fstat(fd)) for fd in (1, 2) if _is_open_file(fd)}
        self._said: set[str] = set()
        self._most_open = most_open
        self._clock = clock
        self._wall = wall
        self._paths: dict[str, str] = {}
        self._scanned_at = -_SCAN_EVERY
        self._forgot_at = self._noted_at = clock()
        self.more = False
        self._patterns: list[tuple[str, str]] = []
        self.follow(specs)

    def follow(self, specs: Iterable[LogSpec]) -> None:
        """Change what is followed. What stays goes on without a gap; what went keeps its position."""
        self._patterns = [(os.path.abspath(pattern), spec.service) for spec in specs for pattern in spec.files]
        for key, tail in list(self._files.tails.items()):
            if not self._wanted(tail.position.path):
                self._files.close(key)
        still = {path: key for path, key in self._paths.items() if self._wanted(path)}
        self._paths = self._files.resume(self._wanted) | still
        self._scanned_at = -_SCAN_EVERY

    def _wanted(self, path: str) -> bool:
        return any(fnmatch(path, pattern) for pattern, _ in self._patterns)

    @property
    def open_files(self) -> int:
        return len(self._files.tails)

    def poll(self) -> list[Chunk]:
        """New lines, from each file at most one chunk, from those first that waited longest. `more` says whether
        there is more to read at once."""
        now = self._clock()
        scanning = now - self._scanned_at >= _SCAN_EVERY
        if scanning:
            self._scanned_at = now
            self._scan(now)
        else:
            self._glance(now)
        chunks = self._read(now, scanning)
        if scanning:  # after the reading: what was rotated away just now may hold more
            self._tidy(now)
        if self._files.changes:  # first: a file that nobody knows yet must not be passed over by what came after it
            chunks.insert(0, Chunk(source="", service="", lines=[], positions=self._files.changes))
            self._files.changes = {}
        return chunks

    def _glance(self, now: float) -> None:
        """Between scans: whether files that are being written to were rotated, and files with a plain name came."""
        for path, key in list(self._paths.items()):
            tail = self._files.tails.get(key)
            if tail is not None and now - tail.changed_at < _ACTIVE:
                self._look(path, tail.position.service, from_end=False)
        for pattern, service in self._patterns:
            if self._paths.get(pattern) not in self._files.tails and not glob.has_magic(pattern):
                self._look(pattern, service, from_end=None, pattern_seen=self._scans.get(pattern))

    def _read(self, now: float, scanning: bool) -> list[Chunk]:
        chunks: list[Chunk] = []
        self.more = False
        waiting: set[str] = set()  # paths whose rotated file comes first, to keep the lines in order
        for tail in sorted(self._files.tails.values(), key=_turn):
            if not scanning and now - tail.changed_at > _ACTIVE and not tail.more:
                continue
            if len(chunks) == _CHUNKS or (tail.position.path in waiting and not tail.retired):
                self.more = True
                continue
            try:
                chunk = self._chunk(tail, now)
            except OSError as error:
                log.warning("log_file_failed", path=tail.position.path, error=str(error))
                self._files.close(tail.key)
                continue
            if chunk is not None:
                chunks.append(chunk)
            if tail.more:
                self.more = True
                waiting.add(tail.position.path)
        return chunks

    def _chunk(self, tail: Tail, now: float) -> Chunk | None:
        if os.fstat(tail.descriptor).st_size != tail.seen_size and tail.is_other():
            self._files.truncated(tail)
            self.more = True
            return None  # what was rescued is read first
        lines = tail.read(now)
        if lines is None:
            return None
        positions: dict[str, str | None] = {tail.key: tail.position.encode()}
        return Chunk(source=tail.source, service=tail.position.service, lines=lines, positions=positions)

    def _scan(self, now: float) -> None:
        wall = self._wall()
        first = any(pattern not in self._scans for pattern, _ in self._patterns)
        for pattern, service in self._patterns:
            seen = self._scans.get(pattern)
            for path in sorted(glob.iglob(pattern, recursive=True)):
                if not path.endswith(COMPRESSED):
                    self._look(path, service, from_end=None, pattern_seen=seen)
            self._scans[pattern] = wall
        self._leave(path for path in list(self._paths) if not os.path.exists(path))
        if first or self._files.changes or now - self._noted_at >= 60:
            self._noted_at = now
            self._files.changes |= {f"scan:{pattern}": str(wall) for pattern, _ in self._patterns}

    def _tidy(self, now: float) -> None:
        known = self._files.tails.keys() | self._files.saved.keys()
        self._paths = {path: key for path, key in self._paths.items() if key in known}
        self._files.let_go((key for path, key in self._paths.items() if os.path.exists(path)), self._most_open)
        if now - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = now
            self._files.forget_deleted()

    def _leave(self, absent: Iterable[str]) -> None:
        """Paths that lead nowhere: where rotation put their files, these may hold more, and others may be."""
        for path in absent:
            key = self._paths[path]
            tail = self._files.tails.get(key)
            if tail is None or not tail.retired:
                self._files.left(key)
                if key not in self._files.tails:
                    del self._paths[path]

    def _look(self, path: str, service: str, *, from_end: bool | None, pattern_seen: int | None = None) -> None:
        """Which file is at this path now? `from_end` None: that depends on when the file and its glob were seen."""
        try:
            status = os.stat(path)
        except OSError:
            return
        key, before = key_of(status), self._paths.get(path)
        tail = self._files.tails.get(key)
        if tail is not None:
            self._paths[path] = key
            if tail.position.path == path:
                tail.position.seen = max(tail.position.seen, self._wall())
                tail.position.service = service
            return
        if not stat.S_ISREG(status.st_mode) or self._excluded(path, key):
            return
        if self._unchanged(path, key, status):
            self._paths[path] = key
            return
        if before is not None and before != key:
            from_end = False
        elif from_end is None:
            from_end = self._begin_at_end(status, pattern_seen)
        if self._files.open(path, service, key, from_end=from_end) is None:
            return
        self._paths[path] = key
        if before is not None and before != key:
            self._files.left(before)  # only now: what was rotated away before the file was open is found beside it

    def _begin_at_end(self, status: os.stat_result, pattern_seen: int | None) -> bool:
        if pattern_seen is not None:
            return status.st_mtime_ns < pattern_seen - _SECOND
        return status.st_size > _SMALL or status.st_mtime_ns < self._wall() - _NEW

    def _unchanged(self, path: str, key: str, status: os.stat_result) -> bool:
        """A file that was read to its end and closed, and has not been written to since."""
        known = self._files.saved.get(key)
        if known is None or status.st_size != known.offset or status.st_mtime_ns > known.seen:
            return False
        if known.path == path:
            known.seen = self._wall()
        return True

    def _excluded(self, path: str, key: str) -> bool:
        real = os.path.realpath(path)
        found = key in self._own or any(real == own or real.startswith((f"{own}-", f"{own}.")) for own in self._exclude)
        if found and path not in self._said:
            self._said.add(path)
            log.warning("log_file_excluded", path=path, reason="it is the agent's own: reading it would never end")
        return found

    def close(self) -> None:
        for key in list(self._files.tails):
            self._files.close(key)


def _turn(tail: Tail) -> tuple[bool, float]:
    """What was rotated away comes first and in its own order, then whoever has waited longest."""
    return (False, tail.position.seen) if tail.retired else (True, tail.read_at)


def _is_open_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
