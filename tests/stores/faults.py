"""Ways in which a database file is taken away from under the agent, and given back. All of them real."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

Undo = Callable[[], None]


def nothing() -> None:
    return None


def deleted(path: Path) -> Undo:
    path.unlink()
    return nothing


def deleted_with_its_side_files(path: Path) -> Undo:
    for side in ("", "-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)
    return nothing


def wal_deleted(path: Path) -> Undo:
    Path(f"{path}-wal").unlink()
    return nothing


def moved_away(path: Path) -> Undo:
    path.rename(path.with_name(f"moved-{len(list(path.parent.iterdir()))}"))
    return nothing


def replaced_by_garbage(path: Path) -> Undo:
    other = path.with_name("garbage")
    other.write_bytes(os.urandom(20_000))
    other.replace(path)
    return nothing


def overwritten_by_garbage(path: Path) -> Undo:
    with path.open("r+b") as file:
        file.write(os.urandom(8192))
    return nothing


def emptied(path: Path) -> Undo:
    path.write_bytes(b"")
    return nothing


def replaced_by_a_folder(path: Path) -> Undo:
    aside = path.with_name(f"aside-{len(list(path.parent.iterdir()))}")
    path.rename(aside)
    path.mkdir()
    return path.rmdir


def locked(path: Path) -> Undo:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")

    def unlock() -> None:
        other.execute("ROLLBACK")
        other.close()

    return unlock


LOSSES = (
    deleted,
    deleted_with_its_side_files,
    wal_deleted,
    moved_away,
    replaced_by_garbage,
    overwritten_by_garbage,
    emptied,
    replaced_by_a_folder,
)
