"""One agent on one database: a second would take the first one's work under way for its own of before."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from agent.ownership import StoreInUse

log = structlog.get_logger()

LONGEST = 300  # bytes: a name of 253 characters and a number
PATIENCE = 2.0  # seconds: one that was killed may be gone in a moment


@contextmanager
def alone_on(database: Path | None, name: str) -> Iterator[None]:
    """As long as this lasts no other agent of this host begins on the database. A lock on a file beside it says so,
    which ends with the process, however that ends. `name` is the agent's own. Raises StoreInUse where another one
    holds it. A place where no lock can be had (a disk that is full or read-only, no folder) keeps nobody from
    starting."""
    lock = _opened(Path(f"{database}.lock")) if database else None
    try:
        if lock is not None:
            _lock(lock)
            _sign(lock, f"{name} (process {os.getpid()})")
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.warning("store_not_locked", path=str(path), error=error.strerror)
        return None


def _lock(lock: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreInUse(os.pread(lock, LONGEST, 0).decode("utf-8", "replace").strip()) from None
        except OSError as error:  # a file system that knows no locks
            log.warning("store_not_locked", error=error.strerror)
            return None
        time.sleep(0.05)


def _sign(lock: int, text: str) -> None:
    with suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode()[:LONGEST], 0)
