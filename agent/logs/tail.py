"""One open log file: whole lines from where reading stopped, never more memory than one chunk."""

import os
from dataclasses import dataclass, field

from agent.logs.parsing import RAW_LIMIT
from agent.logs.position import HEAD, Position, head_of, key_of

CHUNK = 2 * RAW_LIMIT  # bytes of one read; holds the longest line that is kept
_PARTIAL_AFTER = 5.0  # seconds without growth after which a last line without its newline is taken as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Lines of one file in order, and the positions that hold once they are kept."""

    source: str
    service: str
    lines: list[bytes]
    positions: dict[str, str | None] = field(default_factory=dict)


class Tail:
    """A descriptor and a position. All methods may raise OSError."""

    __slots__ = ("changed_at", "descriptor", "key", "position", "read_at", "retired", "seen_size", "source")

    def __init__(self, descriptor: int, position: Position, *, now: float, retired: bool = False) -> None:
        self.descriptor = descriptor
        self.key = key_of(os.fstat(descriptor))
        self.source = f"file:{position.path}"
        self.position = position
        self.read_at = 0.0  # when it last gave lines
        self.retired = retired  # its path leads to another file by now
        self.seen_size = -1
        self.changed_at = now
        self._know()

    def begin_at_end(self) -> None:
        """Pass over everything that is there, also the rest of a line that is being written."""
        size = os.fstat(self.descriptor).st_size
        self.position.offset = size
        self.position.skip = size > 0 and os.pread(self.descriptor, 1, size - 1) != b"\n"

    def is_other(self) -> bool:
        """True when the file was truncated, or truncated and filled again, since it was last read."""
        position = self.position
        if os.fstat(self.descriptor).st_size < position.offset:
            return True
        return position.size > 0 and head_of(self.descriptor, position.size) != position.head

    def retire(self, now: float) -> None:
        """Its path leads elsewhere: whoever writes to it still may do so for a while, however quiet it was before."""
        if not self.retired:
            self.retired = True
            self.changed_at = now

    def begin_again(self) -> None:
        self.position = Position(path=self.position.path, service=self.position.service, seen=self.position.seen)
        self.seen_size = -1

    def read(self, now: float) -> list[bytes] | None:
        """The next lines, at most a chunk of them; None when there is nothing new. The position moves behind them."""
        status = os.fstat(self.descriptor)
        size = status.st_size
        if size == self.seen_size and now - self.changed_at < _PARTIAL_AFTER:
            return None
        if size != self.seen_size:
            self.changed_at = now
        self.position.seen = max(self.position.seen, status.st_mtime_ns)
        data = os.pread(self.descriptor, CHUNK, self.position.offset) if size > self.position.offset else b""
        self.seen_size = size if len(data) < CHUNK else -1
        if not data:
            return None
        lines = self._split(data, patient=now - self.changed_at < _PARTIAL_AFTER)
        self._know()
        if lines is not None:
            self.read_at = now
        return lines

    @property
    def more(self) -> bool:
        """Whether the last read left something that can be read at once."""
        return self.seen_size < 0

    @property
    def unread(self) -> bool:
        """Whether there was more than whole lines when it was last read, or it was not read yet."""
        return self.seen_size != self.position.offset

    def _split(self, data: bytes, *, patient: bool) -> list[bytes] | None:
        position = self.position
        end = data.rfind(b"\n") + 1
        if end == 0:
            if len(data) < CHUNK and patient:
                return None
            position.offset += len(data)
            lines = [] if position.skip else [data]
            position.skip = len(data) == CHUNK  # the line was given as far as it is kept; the rest is passed over
            return lines
        lines = data[: end - 1].split(b"\n")
        position.offset += end
        if position.skip:
            position.skip = False
            del lines[0]
        return [line for line in lines if line]

    def _know(self) -> None:
        """Take a longer look at the file's first bytes while there are more of them than before."""
        position = self.position
        if position.size < HEAD:
            size = min(HEAD, os.fstat(self.descriptor).st_size)
            if size > position.size or not position.head:
                head = os.pread(self.descriptor, size, 0)
                position.size = len(head)
                position.head = head_of(self.descriptor, len(head))

    def close(self) -> None:
        os.close(self.descriptor)
