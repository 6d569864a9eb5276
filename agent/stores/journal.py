"""A small file beside the database: which restarts were begun while the database could not be written.

Without it, a restart that was stored as pending, begun from memory, and cut off by a kill -9 would be found pending
by the next agent and run a second time. Its room is taken while all is well, so that a full disk keeps nothing from
being noted: lines of JSON, and zeros up to the end of the file, which are overwritten.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import structlog

ROOM = 65_536  # bytes: some 800 restarts

log = structlog.get_logger()


class Journal:
    """Keys of restarts, one JSON line each, on the disk when `add` returns. Never raises for a disk that refuses:
    then the restart is begun all the same, and the log says so."""

    def __init__(self, path: Path, *, patience: float = 1.0) -> None:
        self._path = path
        self._patience = patience

    async def prepare(self) -> None:
        """Take the room. Where there is none now, `add` will try."""
        try:
            await self._in_time(self._take_room)
        except (OSError, TimeoutError) as error:
            log.debug("journal_without_room", error=str(error) or "the disk does not answer")

    async def add(self, keys: list[str]) -> bool:
        """False: the disk did not take them."""
        lines = b"".join(orjson.dumps(key) + b"\n" for key in keys)
        try:
            await self._in_time(lambda: self._append(lines))
        except (OSError, TimeoutError) as error:
            log.warning("restart_not_journalled", keys=keys, error=str(error) or "the disk does not answer")
            return False
        return True

    def read(self) -> frozenset[str]:
        """All keys that can be read: the last line may be cut off."""
        try:
            lines = _written(self._path.read_bytes()).splitlines()
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            log.error("journal_unreadable", path=str(self._path), error=str(error))
            return frozenset()
        keys = set()
        for line in lines:
            try:
                keys.add(str(orjson.loads(line)))
            except orjson.JSONDecodeError:
                log.warning("journal_line_unreadable", path=str(self._path))
        return frozenset(keys)

    def clear(self) -> None:
        """The database knows them now. The room stays."""
        if not self._path.exists():
            return
        try:
            with self._open() as (fd, written):
                if written:
                    _write(fd, bytes(len(written)), 0)
                    if os.fstat(fd).st_size > ROOM:
                        os.ftruncate(fd, ROOM)
                    os.fsync(fd)
        except OSError as error:
            log.error("journal_not_cleared", path=str(self._path), error=str(error))

    async def _in_time(self, work: Callable[[], None]) -> None:
        await asyncio.wait_for(asyncio.to_thread(work), self._patience)

    def _take_room(self) -> None:
        with self._open() as (fd, _):
            size = os.fstat(fd).st_size
            if size < ROOM:
                _write(fd, bytes(ROOM - size), size)
                os.fsync(fd)

    def _append(self, lines: bytes) -> None:
        with self._open() as (fd, written):
            begin = b"\n" if written and not written.endswith(b"\n") else b""  # the last one was cut off
            _write(fd, begin + lines, len(written))
            os.fsync(fd)

    @contextmanager
    def _open(self) -> Iterator[tuple[int, bytes]]:
        """The file, made where it is missing, and what is written in it."""
        new = not self._path.exists()
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd, _written(os.pread(fd, os.fstat(fd).st_size, 0))
        finally:
            os.close(fd)
        if new:
            _sync_folder(self._path.parent)


def _written(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _write(fd: int, data: bytes, at: int) -> None:
    """All of it. Raises OSError where the disk takes only a part."""
    if os.pwrite(fd, data, at) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
