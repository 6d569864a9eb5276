"""What a supervised process prints, cut into lines as it comes."""

import asyncio
import os
from collections.abc import Callable

CHUNK = 4_096  # small, so that one read never hands on more lines than the event loop can spare the time for
LONGEST_LINE = 16_384  # bytes
BUSY = 100  # lines in one read, from which on the writer is slowed down
PAUSE = 0.001
CUT = " … (cut)"


class LineReader:
    """Reads a pipe and hands on its lines, without their ends. Bytes that are no UTF-8 become U+FFFD, a longer line
    than 16 KiB is cut. A process that floods it is slowed to some 50,000 lines a second, never stopped."""

    def __init__(self, fd: int, on_line: Callable[[str], None]) -> None:
        """Takes the descriptor over and starts reading."""
        self._fd = fd
        self._on_line = on_line
        self._part = bytearray()
        self._cutting = False
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def close(self) -> None:
        """Hand on what is left and close the pipe. May be called more than once."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        if self._resume is not None:
            self._resume.cancel()
        os.close(self._fd)
        self._fd = -1
        if self._part:
            self._hand_on()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._fd)
            if not self.ended.done():
                self.ended.set_result(None)
            return
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._append(piece)
            self._hand_on()
        self._append(rest)
        if len(whole) > BUSY:
            self._loop.remove_reader(self._fd)
            self._resume = self._loop.call_later(PAUSE, self._loop.add_reader, self._fd, self._read)

    def _append(self, piece: bytes) -> None:
        room = LONGEST_LINE - len(self._part)
        self._part += piece[:room]
        self._cutting = self._cutting or len(piece) > room

    def _hand_on(self) -> None:
        text = self._part.removesuffix(b"\r").decode("utf-8", "replace") + (CUT if self._cutting else "")
        self._part.clear()
        self._cutting = False
        self._on_line(text)
