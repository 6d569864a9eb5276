"""Run one program to its end: an argv list, never a shell, always a timeout, bounded memory, nothing left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated

from pydantic import AfterValidator, Field

from agent.subprocesses import NotStarted, clean_environment, end_group, exited, owned, pipe, signal_group, start

CHUNK = 65_536
REST = 0.05  # seconds that output is still read for after the program has ended
PAUSE = 0.005  # seconds between two reads of output that is thrown away: a flood must not take the agent's time


def _absolute(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not Path(argv[0]).is_absolute():
        raise ValueError(f"{argv[0]!r} is no absolute path: write where the program is, as in [/usr/bin/{argv[0]}, …]")
    if any("\0" in argument for argument in argv):
        raise ValueError("an argument can't hold a NUL character")
    return argv


AbsoluteArgv = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_absolute)]
"""The field type of commands in options: the absolute path of a program, and its arguments one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgvResult:
    """How one run of a program ended.

    `error` is empty if it could be started, else the slug of `NotStarted`, with `message` for people. Of `exit_code`
    and `signal` exactly one is set for a program that ended; with `timed_out` they say how it was ended. `truncated`
    says that there was more output than was kept. `held` says that something it left behind still has its output
    open. `took` is in seconds.
    """

    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False
    timed_out: bool = False
    held: bool = False
    took: float = 0.0
    error: str = ""
    message: str = ""


async def run_argv(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,
    limit: int = CHUNK,
    clean_env: bool = True,
    grace: float = 0.5,
    keep_group: bool = False,
) -> ArgvResult:
    """Run a program and return how it ended. Raises nothing but what cancels it.

    After `timeout` seconds, or when this call is cancelled, the program and all it started in its process group get
    SIGTERM, and `grace` seconds later SIGKILL. Whatever stays in the group after the program ended in time is killed
    too, unless `keep_group` (a script that starts a daemon). The end of its output is never waited for, as something
    left behind may hold it open. Up to `limit` bytes of each of stdout and stderr are kept, the rest is read and
    dropped. stdin is `input`, or empty. `env` is added to a clean environment, or to the agent's own without
    `clean_env`.
    """
    began = monotonic()
    environment = clean_environment(env) if clean_env else {**os.environ, **(env or {})}
    try:
        with ExitStack() as ours:
            with ExitStack() as theirs:
                stdin = owned(theirs, _readable(input))
                out, out_end = pipe(ours, theirs)
                err, err_end = pipe(ours, theirs)
                process = start(argv, stdin=stdin, stdout=out_end, stderr=err_end, cwd=cwd, env=environment)
            with _Drain(out, limit) as stdout, _Drain(err, limit) as stderr:
                timed_out = await _to_its_end(process, timeout, grace, keep_group)
                held = not await _rest(stdout, stderr)
    except NotStarted as failure:
        return ArgvResult(error=failure.reason, message=str(failure), took=monotonic() - began)
    except OSError as error:
        return ArgvResult(error="resources", message=f"the agent can't start a program now: {error.strerror}")
    code = process.returncode
    return ArgvResult(
        exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
        stdout=bytes(stdout.kept),
        stderr=bytes(stderr.kept),
        truncated=stdout.cut or stderr.cut,
        timed_out=timed_out,
        held=held,
        took=monotonic() - began,
    )


async def _to_its_end(process: "subprocess.Popen[bytes]", timeout: float, grace: float, keep_group: bool) -> bool:
    """Wait for the end, or bring it about; reaps. Returns whether the time was up."""
    timed_out = False
    try:
        try:
            async with asyncio.timeout(timeout):
                await exited(process)
        except TimeoutError:
            timed_out = True
            await end_group(process, grace)
    except asyncio.CancelledError:
        await _ended_though_cancelled(process, grace)
        raise
    if not keep_group:
        signal_group(process, signal.SIGKILL)
    process.poll()
    return timed_out


async def _ended_though_cancelled(process: "subprocess.Popen[bytes]", grace: float) -> None:
    """End the group while this task is being cancelled, even if it is cancelled once more."""
    try:
        await end_group(process, grace)
    finally:
        signal_group(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)  # SIGKILL has been sent: this is a matter of microseconds


async def _rest(*drains: "_Drain") -> bool:
    """Read what is still in the pipes. Returns whether all of them came to their end."""
    _, open_ones = await asyncio.wait([drain.ended for drain in drains], timeout=REST)
    return not open_ones


class _Drain:
    """Reads a pipe as it fills, keeps the first `limit` bytes and drops the others, slowly. A context manager."""

    def __init__(self, fd: int, limit: int) -> None:
        self.kept = bytearray()
        self.cut = False
        self._fd = fd
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def __enter__(self) -> "_Drain":
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._read)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.remove_reader(self._fd)
        if self._resume is not None:
            self._resume.cancel()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        room = self._limit - len(self.kept)
        self.kept += data[:room]
        if not data:
            self._loop.remove_reader(self._fd)
            if not self.ended.done():
                self.ended.set_result(None)
        elif len(data) > room:
            self.cut = True
            self._loop.remove_reader(self._fd)
            self._resume = self._loop.call_later(PAUSE, self._loop.add_reader, self._fd, self._read)


def _readable(data: bytes | None) -> int:
    """A descriptor that gives these bytes and then ends."""
    if data is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
