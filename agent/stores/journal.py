"""A small file beside the database: which restarts were begun while the database could not be written.

Without it, a restart that was stored as pending, begun from memory, and cut off by a kill -9 would be found pending
by the next agent and run a second time.
"""

import asyncio
import os
from pathlib import Path

import orjson
import structlog

log = structlog.get_logger()


class Journal:
    """Keys of restarts, one JSON line each, on the disk when `add` returns. Never raises for a disk that refuses:
    then the restart is begun all the same, and the log says so."""

    def __init__(self, path: Path, *, patience: float = 1.0) -> None:
        self._path = path
        self._patience = patience

    async def add(self, keys: list[str]) -> bool:
        """False: the disk did not take them."""
        lines = b"".join(orjson.dumps(key) + b"\n" for key in keys)
        try:
            await asyncio.wait_for(asyncio.to_thread(self._append, lines), self._patience)
        except (OSError, TimeoutError) as error:
            log.warning("restart_not_journalled", keys=keys, error=str(error) or "the disk does not answer")
            return False
        return True

    def read(self) -> frozenset[str]:
        """All keys that can be read: the last line may be cut off."""
        try:
            lines = self._path.read_bytes().splitlines()
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
        """The database knows them now."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.error("journal_not_cleared", path=str(self._path), error=str(error))

    def _append(self, lines: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, lines)
            os.fsync(fd)
        finally:
            os.close(fd)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
