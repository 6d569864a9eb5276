"""What tests need that start real programs: python scripts as argv, and proof that nothing of them is left."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep


def script(code: str) -> list[str]:
    """An argv that runs this Python code."""
    return [sys.executable, "-I", "-S", "-c", code]


def executable(path: Path, text: str) -> Path:
    """A program of this text."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def alive(pid: int) -> bool:
    """Whether that process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """That process stands still: each of its threads has stopped, which the kernel doesn't do at once."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until = monotonic() + 20
        while not all(_stopped(thread) for thread in Path(f"/proc/{pid}/task").iterdir()):
            assert monotonic() < until, f"the threads of process {pid} don't stop"
            sleep(0.01)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stopped(thread: Path) -> bool:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def marked(mark: str) -> list[int]:
    """The processes that have this text in their arguments or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in text and alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def nothing_left(mark: str) -> Iterator[None]:
    """Assert that after the block no process carries the mark and no descriptor of ours is left open."""
    before = descriptors()
    yield
    assert marked(mark) == []
    assert descriptors() <= before


async def eventually(condition: Callable[[], object], within: float = 5.0) -> None:
    """Wait until a callable says so; AssertionError when it does not in time."""
    end = monotonic() + within
    while not condition():
        assert monotonic() < end, f"not within {within} s"
        await asyncio.sleep(0.01)
