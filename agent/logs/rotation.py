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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import structlog

from agent.logs.position import COMPRESSED, Position, head_of, is_rotation, is_text, key_of, rotations, same_inode
from agent.logs.tail import Tail

log = structlog.get_logger()

_SLACK = 10_000_000  # ns by which the time of a file's change may lag behind the clock
_RETIRED_FOR = 30.0  # seconds without growth after which a file that was rotated away, that long ago, is let go
_DELETED_FOR = 6.0  # the same where it was deleted too: more than the wait for a last line without newline
_ROUNDS = 3  # times that a file is looked for while rotation gives it one name after the other


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

    def open(self, path: str, service: str, key: str, *, from_end: bool, rotated_from: str = "") -> Tail | None:
        """Begin or go on reading the file of that key; None when there is nothing to read in it, when it cannot be
        read, or when rotation has put another one at the path by now. A file whose position is known goes on from
        there; another one begins at its end or its start. `rotated_from` is the path that it was rotated away from:
        that is the log which its lines belong to, and by which the next life knows it."""
        if path.endswith(COMPRESSED):
            return None
        try:
            return self._open(path, service, key, from_end, rotated_from)
        except FileNotFoundError:
            return None
        except OSError as error:
            if path not in self._said:
                self._said.add(path)
                log.warning("log_file_unreadable", path=path, error=str(error), remedy="it is tried again every second")
            return None

    def _open(self, path: str, service: str, key: str, from_end: bool, rotated_from: str) -> Tail | None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        tail: Tail | None = None
        try:
            status = os.fstat(descriptor)
            if key_of(status) != key or key in self.tails:
                return None
            if not stat.S_ISREG(status.st_mode) or self._not_text.get(key) == path:
                return None
            if not is_text(descriptor):
                self._not_text[key] = path
                return None
            if key not in self.saved and self._copied_from(path, descriptor):
                return None
            position = Position(path=rotated_from or path, service=service, seen=status.st_mtime_ns)
            tail = Tail(descriptor, position, now=self._clock(), retired=bool(rotated_from))
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
        """Whether this is a copy of a file that is being read: its lines are known, or come when that is truncated.
        Logs that merely begin with the same lines are told apart by their size: until it is truncated, a file is no
        shorter than its copy."""
        size = os.fstat(descriptor).st_size
        return any(
            is_rotation(tail.position.path, path)
            and tail.position.size > 0
            and head_of(descriptor, tail.position.size) == tail.position.head
            and (os.fstat(tail.descriptor).st_size >= size or tail.is_other())
            for tail in self.tails.values()
        )

    def left(self, key: str) -> None:
        """The file's path leads to another one, or nowhere, by now: it is read to its end, also when it was not open,
        and so are those that came after it and were rotated away before they were seen."""
        if key in self.saved:
            self._go_on(key)
        tail = self.tails.get(key)
        if tail is not None:
            tail.retire(self._clock())
        position = tail.position if tail is not None else self.saved.get(key)
        if position is not None:
            self._missed(position)

    def _go_on(self, key: str) -> None:
        """Go on in a file that was rotated away, under whatever name it has in its folder now."""
        position = self.saved[key]
        folder, inode = os.path.dirname(position.path) or ".", int(key.rpartition(":")[2])
        for _ in range(_ROUNDS):
            paths = _listed(partial(same_inode, inode=inode), folder)
            if not paths:
                return
            for path in paths:
                if self._open_rotated(path, key, position) is not None:
                    return

    def _missed(self, position: Position) -> None:
        """Read the files that came after that one and were rotated away in between."""
        for _ in range(_ROUNDS):
            found = sorted(self._unknown(position))
            tails = [self._open_rotated(path, key, position) for _, path, key in found]
            if None not in tails:
                return

    def _open_rotated(self, path: str, key: str, position: Position) -> Tail | None:
        return self.open(path, position.service, key, from_end=False, rotated_from=position.path)

    def _unknown(self, position: Position) -> Iterator[tuple[int, str, str]]:
        """Rotated files that nobody has looked into yet, last changed after that one was last seen."""
        for path in _listed(rotations, position.path):
            try:
                status = os.stat(path)
            except OSError:
                continue
            key = key_of(status)
            if key not in self.tails and key not in self.saved and status.st_mtime_ns >= position.seen - _SLACK:
                yield status.st_mtime_ns, path, key

    def resume(self, wanted: Callable[[str], bool]) -> dict[str, str]:
        """After a start: go on in files that were rotated while nobody looked, then in those that came in between.
        Returns the file that was last known at each path where none is open. Whoever looks at the path next compares:
        a file that is still there now may be rotated away before that."""
        known: dict[str, str] = {}
        live = {tail.position.path for tail in self.tails.values() if not tail.retired}
        for key, position in sorted(self.saved.items(), key=lambda item: item[1].seen):
            path = position.path
            if not wanted(path):
                continue
            if _is_at(path, key):
                live.add(path)
                known[path] = key
                continue
            if path not in live:
                known[path] = key
            self._go_on(key)
        for path in known.keys() - live:
            self.left(known[path])
        return known

    def let_go(self, live: Iterable[str], most: int) -> None:
        """Close what was rotated away and has come to its end, and the most idle beyond `most` open ones."""
        at_paths, now = set(live), self._clock()
        for key, tail in list(self.tails.items()):
            if key in at_paths:
                tail.retired = False
            else:
                tail.retire(now)
            idle = now - tail.changed_at
            if tail.retired and idle > _DELETED_FOR and not tail.more:
                deleted = os.fstat(tail.descriptor).st_nlink == 0
                if deleted or idle > _RETIRED_FOR:
                    self.close(key, forget=deleted)
        excess = len(self.tails) - most
        if excess > 0:
            found_again = [tail for tail in self.tails.values() if not (tail.retired and tail.unread)]
            for tail in sorted(found_again, key=lambda tail: (tail.unread, tail.changed_at))[:excess]:
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
