"""How a program is started, awaited and ended: the parts under `agent.argv` and the supervised processes.

Every program gets a session and process group of its own, so that it can be ended together with all it started, and
no terminal of ours reaches it. A program that has ended is kept as a zombie until its group is dealt with: until
then the kernel gives the group's number to nobody else, and a signal can't hit a stranger.
"""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLL = 0.02  # seconds between looks at a process where the kernel has no pidfd to wait on


class NotStarted(Exception):
    """A program could not be started. `reason` is a bounded slug: "missing" (no such program), "not_executable"
    (no permission, or no format that the kernel runs), "directory" (no such working directory), "resources" (our
    own lack of descriptors, processes or memory), "invalid" (an argument that no program can be given)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment without the agent's secrets: who and where we are, the C.UTF-8 locale, and `extra`."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment.setdefault("PATH", DEFAULT_PATH)
    environment.setdefault("HOME", "/")
    environment["LANG"] = "C.UTF-8"
    return environment | dict(extra or {})


def owned(owner: ExitStack, fd: int) -> int:
    """The same descriptor, which is closed with its owner from now on."""
    owner.callback(os.close, fd)
    return fd


def pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """The reading and the writing end of a pipe, each of which is closed with its owner."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    return owned(reader, reading), owned(writer, writing)


def start(
    argv: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    cwd: str | None,
    env: Mapping[str, str],
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a program on descriptors that stay the caller's. Raises NotStarted, having left nothing behind."""
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=dict(env),
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise not_started(error, argv[0], cwd) from None


def not_started(error: OSError | ValueError, program: str, cwd: str | None) -> NotStarted:
    """What an error of fork, chdir or exec means for whoever wrote the command."""
    if not isinstance(error, OSError):
        return NotStarted("invalid", f"{program!r} can't be run: {error}")
    text = os.strerror(error.errno or 0)
    if cwd is not None and error.filename == cwd:
        return NotStarted("directory", f"can't work in {cwd}: {text}")
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return NotStarted("missing", f"there is no program {program}")
        case errno.EACCES | errno.EPERM | errno.ENOEXEC | errno.EISDIR:
            return NotStarted("not_executable", f"{program} can't be executed: {text}")
        case errno.E2BIG | errno.ENAMETOOLONG:
            return NotStarted("invalid", f"{program}: {text}")
        case _:
            return NotStarted("resources", f"the agent can't start a program now: {text}")


async def exited(process: "subprocess.Popen[bytes]") -> None:
    """Return when the program has ended; it is not reaped yet."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:  # an old kernel, a sandbox, or no descriptor left
        await exited_by_polling(process)
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pidfd, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def exited_by_polling(process: "subprocess.Popen[bytes]") -> None:
    """The same for kernels before Linux 5.3, some 20 ms later."""
    while not has_exited(process):  # noqa: ASYNC110 - it is the kernel that has no event to give
        await asyncio.sleep(POLL)


def has_exited(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the program has ended, without reaping it."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Send a signal to the program and everything in its group. Does nothing once the program was reaped."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


async def end_group(process: "subprocess.Popen[bytes]", grace: float) -> None:
    """End a program with all that is in its group: SIGTERM, after `grace` seconds SIGKILL. Not reaped yet."""
    signal_group(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await exited(process)
    signal_group(process, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):  # a process in uninterruptible sleep outlives even SIGKILL for a while
        async with asyncio.timeout(1.0):
            await exited(process)


def describe_exit(returncode: int) -> str:
    """How a program ended, for people: "exit code 3", "killed by SIGSEGV"."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
