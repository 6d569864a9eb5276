"""How far a log file was read, and how the file is known again after a rotation or a restart of the agent."""

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

HEAD = 256  # bytes at a file's start that tell it from another one under the same inode number
COMPRESSED = (".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip", ".Z")
_MAGIC = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh", b"\x04\x22\x4d\x18", b"PK\x03\x04")
_SQLITE = b"SQLite format 3\x00"
_ROTATED = r"(?:[\dT:._-]*\d[\dT:._-]*|old|prev|bak)"


@dataclass(slots=True)
class Position:
    """Where reading goes on. `head` is the hash of the first `size` bytes (a file shorter than `HEAD` is known by
    what it has). `skip` says that the rest of an over-long line is still to be passed over. `seen` is the file's last
    change, or when it was last found under its path, in nanoseconds since 1970."""

    path: str
    service: str = ""
    offset: int = 0
    head: str = ""
    size: int = 0
    skip: bool = False
    seen: int = 0

    def encode(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def decode(cls, text: str) -> "Position | None":
        """None for what is not a position: it is as if the file had never been seen."""
        try:
            return cls(**orjson.loads(text))
        except (ValueError, TypeError):
            return None


def key_of(status: os.stat_result) -> str:
    return f"file:{status.st_dev}:{status.st_ino}"


def head_of(descriptor: int, size: int) -> str:
    """The hash of a file's first bytes. Raises OSError."""
    return hashlib.blake2b(os.pread(descriptor, size, 0), digest_size=8).hexdigest()


def is_text(descriptor: int) -> bool:
    """False for what is compressed and for databases, whatever their names are. Raises OSError."""
    head = os.pread(descriptor, 16, 0)
    return not head.startswith(_MAGIC) and head != _SQLITE


def is_rotation(path: str, other: str) -> bool:
    """Whether `other` is named as rotation names what was `path`: app.log.1, app.log-20261121, app-20261121.log,
    app.log.old; never a compressed one."""
    log, name = Path(path), Path(other)
    after = rf"{re.escape(log.name)}[._-]{_ROTATED}|{re.escape(log.stem)}[._-]{_ROTATED}{re.escape(log.suffix)}"
    return log.parent == name.parent and log.name != name.name and re.fullmatch(after, name.name) is not None


def rotations(path: str) -> list[str]:
    """The files beside `path` that `is_rotation` holds for. Raises OSError."""
    folder = os.path.dirname(path) or "."
    return [other for name in os.listdir(folder) if is_rotation(path, other := os.path.join(folder, name))]


def same_inode(folder: str, inode: int) -> list[str]:
    """Paths in a folder under which that inode is found now. Raises OSError."""
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.inode() == inode]
