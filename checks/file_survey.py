"""What lies at a path, in a folder, or where a pattern matches, without keeping more than the extremes in memory."""

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

CHUNK = 1 << 20


class TooSlow(Exception):
    """The time for it is up."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, links followed. `changed` is the time of the last change of its content, in seconds since the epoch."""

    path: str
    size: int
    changed: float
    regular: bool


@dataclass(slots=True)
class Survey:
    """How many files there are, and which of them stand out; `kind` is "file", "folder" or "pattern"."""

    kind: str
    found: bool = False  # the path or folder itself is there
    count: int = 0
    newest: Entry | None = None
    oldest: Entry | None = None
    smallest: Entry | None = None
    largest: Entry | None = None

    def add(self, entry: Entry) -> None:
        self.count += 1
        if self.newest is None or entry.changed > self.newest.changed:
            self.newest = entry
        if self.oldest is None or entry.changed < self.oldest.changed:
            self.oldest = entry
        if self.smallest is None or entry.size < self.smallest.size:
            self.smallest = entry
        if self.largest is None or entry.size > self.largest.size:
            self.largest = entry


def survey(path: str, deadline: float) -> Survey:
    """Look at the files: the one at the path, those in the folder there (not below it), or those that match the pattern
    (`**` goes down). Only regular files count in a folder or for a pattern.

    Raises OSError for whatever is not ours to read, and TooSlow past that moment of the monotonic clock. That nothing
    is there is no error.
    """
    if glob.has_magic(path):
        return _collected(Survey("pattern"), _matches(path), deadline)
    try:
        entry = _entry(path)
    except (FileNotFoundError, NotADirectoryError):
        return Survey("file")
    if os.path.isdir(path):
        return _collected(Survey("folder", found=True), _inside(path), deadline)
    alone = Survey("file", found=True)
    alone.add(entry)
    return alone


def sha256(path: str, deadline: float) -> str:
    """The checksum of a regular file as lower-case hex. Raises OSError, or TooSlow past the deadline."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if monotonic() > deadline:
                raise TooSlow
    return digest.hexdigest()


def _collected(into: Survey, paths: Iterator[str], deadline: float) -> Survey:
    for path in paths:
        if monotonic() > deadline:
            raise TooSlow
        entry = _unless_gone(_entry, path)
        if entry is not None and entry.regular:
            into.add(entry)
    return into


def _matches(pattern: str) -> Iterator[str]:
    # glob skips folders that it may not read, which would look like "no match": ask for the first one ourselves.
    fixed = pattern
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    try:
        os.scandir(fixed).close()
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from glob.iglob(pattern, recursive=True)


def _inside(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path


def _entry(path: str) -> Entry:
    found = os.stat(path)
    return Entry(path, found.st_size, found.st_mtime, stat.S_ISREG(found.st_mode))


def _unless_gone(look: Callable[[str], Entry], path: str) -> Entry | None:
    """None for what was deleted meanwhile, or is a link to nowhere."""
    try:
        return look(path)
    except FileNotFoundError:
        return None
