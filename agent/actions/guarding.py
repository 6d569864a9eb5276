"""The agent's side of `guard`: which process groups are to end with the agent, even if that is killed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import structlog

from agent.subprocesses import NotStarted, clean_environment, start

log = structlog.get_logger()

GUARD = str(Path(__file__).with_name("guard.py").resolve())
PATIENCE = 5.0  # seconds that the guard may take to end


class Guard:
    """A process of its own, started with the first group. Where it can't be, or ends, the next group starts it anew:
    nothing depends on it while the agent lives."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def add(self, group: int) -> None:
        self._groups.add(group)
        if self._process is None or self._process.poll() is not None:
            self._begin()
            self._tell(*(f"+{each}" for each in self._groups))
        else:
            self._tell(f"+{group}")

    def remove(self, group: int) -> None:
        """To be told while nobody else can have the group's number yet."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    async def end(self) -> None:
        """The agent ends in good order. What is still in a group ends now."""
        process, self._process = self._process, None
        self._groups.clear()
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.to_thread(process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _begin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        argv, nothing = [sys.executable, "-I", "-S", GUARD], subprocess.DEVNULL
        try:
            self._process = start(
                argv, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, cwd="/", env=clean_environment()
            )
        except NotStarted as failure:
            self._process = None
            log.warning("guard_not_started", reason=failure.reason, error=str(failure))

    def _tell(self, *words: str) -> None:
        if self._process is None or self._process.stdin is None or not words:
            return
        try:
            os.write(self._process.stdin.fileno(), "".join(f"{word}\n" for word in words).encode())
        except OSError as error:  # it was killed: the next group starts another
            log.warning("guard_lost", error=str(error))
