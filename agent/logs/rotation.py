"""The files that are being read, through every kind of rotation and through the agent's own absence.

A file is its device and inode, its path only where it was last found. What rotation does to it:
- renamed (and perhaps a new one made): the open descriptor is read to its end; the new file is read from its start;
- renamed more than once between two looks, or while the agent was away: the files in between are found beside it;
- copied and truncated: the copy holds what had not been read yet, and is read from there; then the file from its start;
- compressed: never read, neither by name nor by content.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import structlog

from agent.logs.position import COMPRESSED, Position, head_of, is_rotation, is_text, key_of, rotations, same_inode
from agent.logs.tail import Tail

log = structlog.get_logger()

_SLACK = 10_000_000  # ns by which the time of a file's change may lag behind the clock
_RETIRED_FOR = 30.0  # seconds without growth after which a file that was rotated away is let go
_DELETED_FOR = 6.0  # the same where it was deleted too: more than the wait for a last line without newline


class OpenFiles:
    """Tails by key, positions of the files that are not open, and `changes`: positions to be stored, None to be
    forgotten. Problems with a file are said once, and again after it was well in between."""

    def __init__(self, saved: Mapping[str, Position], clock: Callable[[], float] = time.monotonic) -> None:
        self.tails: dict[str, Tail] = {}
        self.saved = dict(saved)
        self.changes: dict[str, str | None] = {}
        self._clock = clock
        self._said: set[str] = set()
        self._not_text: dict[str, str] = {}

    def open(self, path: str, service: str, *, from_end: bool, rotated: bool = False) -> Tail | None:
        """Begin or go on reading a file; None when there is nothing to read in it, or it cannot be read. A file whose
        position is known goes on from there; another one begins at its end or its start."""
        if path.endswith(COMPRESSED):
            return None
        try:
            return self._open(path, service, from_end=from_end, rotated=rotated)
        except FileNotFoundError:
            return None
        except OSError as error:
            if path not in self._said:
                self._said.add(path)
                log.warning("log_file_unreadable", path=path, error=str(error), remedy="it is tried again every second")
            return None

    def _open(self, path: str, service: str, *, from_end: bool, rotated: bool) -> Tail | None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        tail: Tail | None = None
        try:
            status = os.fstat(descriptor)
            key = key_of(status)
            if not stat.S_ISREG(status.st_mode) or key in self.tails or self._not_text.get(key) == path:
                return None
            if not is_text(descriptor):
                self._not_text[key] = path
                return None
            if key not in self.saved and self._copied_from(path, descriptor):
                return None
            position = Position(path=path, service=service, seen=status.st_mtime_ns)
            tail = Tail(descriptor, position, now=self._clock(), retired=rotated)
        finally:
            if tail is None:
                os.close(descriptor)
        self._said.discard(path)
        self.tails[key] = tail
        known = self.saved.pop(key, None)
        if known is not None:
            self._resume(tail, known)
        elif from_end:
            tail.begin_at_end()
        self.changes[key] = tail.position.encode()
        return tail

    def _resume(self, tail: Tail, known: Position) -> None:
        fresh, tail.position = tail.position, known
        if tail.is_other():
            self._rescue(known)
            tail.position = fresh
        else:
            known.service = fresh.service
            tail.source = f"file:{known.path}"

    def truncated(self, tail: Tail) -> None:
        """The file was emptied, and is read from its start once the rest of what was in it is rescued."""
        self._rescue(tail.position)
        tail.begin_again()
        self.changes[tail.key] = tail.position.encode()

    def _rescue(self, lost: Position) -> None:
        """Go on reading, in the copy that copytruncate made, what was truncated."""
        for path in _listed(rotations, lost.path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                key = key_of(os.fstat(descriptor))
                is_copy = key not in self.tails and lost.size > 0 and head_of(descriptor, lost.size) == lost.head
                if is_copy:
                    position = replace(lost)
                    self.saved.pop(key, None)
                    self.tails[key] = Tail(os.dup(descriptor), position, now=self._clock(), retired=True)
                    self.changes[key] = position.encode()
                    return
            finally:
                os.close(descriptor)

    def _copied_from(self, path: str, descriptor: int) -> bool:
        """Whether this is a copy of a file that is being read: its lines are known, or come when that is truncated."""
        return any(
            is_rotation(tail.position.path, path)
            and tail.position.size > 0
            and head_of(descriptor, tail.position.size) == tail.position.head
            for tail in self.tails.values()
        )

    def left(self, key: str) -> None:
        """The file's path leads to another one by now."""
        tail = self.tails.get(key)
        if tail is not None:
            tail.retired = True
        position = tail.position if tail is not None else self.saved.get(key)
        if position is not None:
            self.missed(position)

    def missed(self, position: Position) -> None:
        """The path leads to another file than before: read those that came and were rotated away in between."""
        found: list[tuple[int, str]] = []
        for path in _listed(rotations, position.path):
            try:
                status = os.stat(path)
            except OSError:
                continue
            key = key_of(status)
            if key not in self.tails and key not in self.saved and status.st_mtime_ns >= position.seen - _SLACK:
                found.append((status.st_mtime_ns, path))
        for _, path in sorted(found):
            self.open(path, position.service, from_end=False, rotated=True)

    def resume_rotated(self, wanted: Callable[[str], bool]) -> None:
        """After a start: go on in files that were rotated while nobody looked, then in those that came in between."""
        latest: dict[str, Position] = {}
        for key, position in sorted(self.saved.items(), key=lambda item: item[1].seen):
            if not wanted(position.path) or _is_at(position.path, key):
                latest.pop(position.path, None)
                continue
            latest[position.path] = position
            folder, inode = os.path.dirname(position.path) or ".", int(key.rpartition(":")[2])
            for path in _listed(partial(same_inode, inode=inode), folder):
                if _is_at(path, key):
                    self.open(path, position.service, from_end=False, rotated=True)
        for position in latest.values():
            self.missed(position)

    def let_go(self, live: Iterable[str], most: int) -> None:
        """Close what was rotated away and has come to its end, and the most idle beyond `most` open ones."""
        at_paths, now = set(live), self._clock()
        for key, tail in list(self.tails.items()):
            tail.retired = key not in at_paths
            idle = now - tail.changed_at
            if tail.retired and idle > _DELETED_FOR and not tail.more:
                deleted = os.fstat(tail.descriptor).st_nlink == 0
                if deleted or idle > _RETIRED_FOR:
                    self.close(key, forget=deleted)
        excess = len(self.tails) - most
        if excess > 0:
            for tail in sorted(self.tails.values(), key=lambda tail: tail.changed_at)[:excess]:
                self.close(tail.key)

    def close(self, key: str, *, forget: bool = False) -> None:
        tail = self.tails.pop(key)
        tail.close()
        if forget:
            self.changes[key] = None
        else:
            self.saved[key] = tail.position

    def forget_deleted(self) -> None:
        """Drop the positions of files that are nowhere in the folder where they were."""
        for key, position in list(self.saved.items()):
            folder, inode = os.path.dirname(position.path) or ".", int(key.rpartition(":")[2])
            if not _listed(partial(same_inode, inode=inode), folder):
                del self.saved[key]
                self.changes[key] = None


def _is_at(path: str, key: str) -> bool:
    try:
        return key_of(os.stat(path)) == key
    except OSError:
        return False


def _listed(listing: Callable[[str], list[str]], path: str) -> list[str]:
    """What a folder holds; nothing where it cannot be listed (the files in it are then reported one by one)."""
    try:
        return listing(path)
    except OSError:
        return []
