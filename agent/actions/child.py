"""One supervised process: started, watched, listened to, stopped."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import structlog

from agent.actions.guarding import Guard
from agent.actions.output import LineReader
from agent.core.durations import format_duration
from agent.ports import ProcessSpec
from agent.subprocesses import (
    NotStarted,
    clean_environment,
    describe_exit,
    end_group,
    exited,
    not_started,
    owned,
    pipe,
    signal_group,
    start,
)

log = structlog.get_logger()

OnLine = Callable[[str, str, str], None]  # the process's name, "stdout" or "stderr", the line

LAUNCHER = str(Path(__file__).with_name("launcher.py").resolve())
LINES = 50  # of output that are kept as evidence
REST = 0.1  # seconds that output is read for after the end: something left behind may hold it open
LAUNCH = 10.0  # seconds that a start may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How and when a process ended. A negative `returncode` is the signal that killed it."""

    pid: int
    returncode: int
    at: datetime
    uptime: timedelta

    def __str__(self) -> str:
        up = format_duration(timedelta(seconds=round(self.uptime.total_seconds(), 1)))
        return f"process {self.pid} ended at {self.at:%H:%M:%S} UTC after {up}: {describe_exit(self.returncode)}"


class Child:
    """A process by its spec. It is the leader of a session and a group of its own, and what it leaves in its group
    ends with it. All of that dies with the agent, even if the agent is killed. One caller at a time may start or stop
    it: `lock`."""

    def __init__(self, spec: ProcessSpec, on_line: OnLine, guard: Guard) -> None:
        self.spec = spec
        self._guard = guard
        self.lock = asyncio.Lock()
        self.ended: Ended | None = None
        self.tail: deque[str] = deque(maxlen=LINES)
        self._on_line = on_line
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._began = 0.0
        self._stopping = False
        self._told = asyncio.Event()  # something of it was seen: a line, or its end
        self._deaf = False  # whether a failing listener was already reported

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def evidence(self) -> Mapping[str, str]:
        """How it stands and what it said last, for the page."""
        if self._process is not None:
            up = format_duration(timedelta(seconds=round(monotonic() - self._began, 1)))
            state = f"process {self._process.pid} is running, up {up}"
        else:
            state = str(self.ended or "never started")
        return {"process": state} | ({"output": self.output()} if self.tail else {})

    def output(self) -> str:
        """The last lines that it printed, at most 64 KiB of them."""
        return "\n".join(self.tail)[-65_536:]

    def last_line(self) -> str:
        """The last line that says anything, at most 300 characters of it; most programs end with the reason."""
        return next((line.strip()[:300] for line in reversed(self.tail) if line.strip()), "")

    async def start(self) -> None:
        """Start it; it has been executed when this returns. Raises NotStarted. Must be called from a thread that
        lives as long as the agent (the kernel ties a child's life to the thread that made it)."""
        try:
            process, status, readers = self._spawn()
        except OSError as error:  # our own lack of descriptors
            raise not_started(error, self.spec.command[0], None) from None
        self._process, self._began = process, monotonic()
        self._guard.add(process.pid)
        self._watch = asyncio.create_task(self._watch_over(process, readers))
        failed = await _status(status)
        if failed is not None:
            await asyncio.wait([self._watch])
            raise not_started(failed, self.spec.command[0], None)
        log.info("process_started", process=self.spec.name, pid=process.pid)

    def _spawn(self) -> tuple["subprocess.Popen[bytes]", int, list[LineReader]]:
        self.tail.clear()
        self._told.clear()
        with ExitStack() as ours, ExitStack() as theirs:
            null = owned(theirs, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            out, out_end = pipe(ours, theirs)
            err, err_end = pipe(ours, theirs)
            status, status_end = pipe(ours, theirs)
            process = start(
                [sys.executable, "-I", "-S", LAUNCHER, str(os.getpid()), str(status_end), *_command(self.spec)],
                stdin=null,
                stdout=out_end,
                stderr=err_end,
                cwd=self.spec.cwd,
                env=clean_environment(self.spec.env),
                pass_fds=[status_end],
            )
            ours.pop_all()
        readers = [LineReader(out, partial(self._heard, "stdout")), LineReader(err, partial(self._heard, "stderr"))]
        return process, status, readers

    async def stop(self, grace: float) -> None:
        """SIGTERM to it and its group, after `grace` seconds SIGKILL. Does nothing if it does not run."""
        if self._process is None or self._watch is None:
            return
        self._stopping = True
        try:
            await end_group(self._process, grace)
            await asyncio.wait([self._watch], timeout=1.0)
        finally:
            self._stopping = False

    async def lives(self, seconds: float) -> bool:
        """Watch it for that long. Returns whether it still runs."""
        if self._watch is not None:
            await asyncio.wait([self._watch], timeout=seconds)
        return self._process is not None

    async def settles(self, seconds: float) -> None:
        """Wait until it has printed a line or has ended, that long at most."""
        if self._process is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()

    async def _watch_over(self, process: "subprocess.Popen[bytes]", readers: list[LineReader]) -> None:
        """Wait for its end, whoever brings it about, and take note of it."""
        try:
            await exited(process)
            signal_group(process, signal.SIGKILL)  # what it leaves behind would hold its port
            await asyncio.wait([reader.ended for reader in readers], timeout=REST)
        finally:
            for reader in readers:
                reader.close()
        self._guard.remove(process.pid)  # before it is reaped: until then its number is nobody else's
        uptime = timedelta(seconds=monotonic() - self._began)
        self.ended = Ended(pid=process.pid, returncode=process.wait(), at=datetime.now(UTC), uptime=uptime)
        self._process = None
        self._told.set()
        say = log.info if self._stopping else log.warning
        say("process_ended", process=self.spec.name, pid=process.pid, how=describe_exit(process.returncode))

    def _heard(self, stream: str, line: str) -> None:
        self.tail.append(line)
        self._told.set()
        try:
            self._on_line(self.spec.name, stream, line)
        except Exception:  # whoever listens must not stop the reading, or the process would block
            if not self._deaf:
                log.exception("process_output_lost", process=self.spec.name)
            self._deaf = True


def _command(spec: ProcessSpec) -> tuple[str, ...]:
    """The command, in which a bare `python` is the interpreter that the agent itself runs on. Raises
    NotStarted for what can be no command."""
    first, *arguments = spec.command
    if any("\0" in part for part in spec.command):
        raise NotStarted("invalid", f"{first} can't be run: NUL in an argument")
    return (sys.executable if first in ("python", "python3") else first, *arguments)


async def _status(fd: int) -> OSError | None:
    """What the launcher says: None for an executed program, else its error. Closes the descriptor."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        async with asyncio.timeout(LAUNCH):
            await readable.wait()
        number = int(os.read(fd, 16) or b"-1")
    except TimeoutError:
        number = errno.EAGAIN
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return OSError(number, os.strerror(number)) if number > 0 else None
