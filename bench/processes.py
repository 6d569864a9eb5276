"""Starting and stopping processes, and what they cost: CPU time and memory of a process and all its children."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = 1000.0 / os.sysconf("SC_CLK_TCK")  # milliseconds
PATIENCE = 15.0  # seconds between SIGTERM and SIGKILL

_children: dict[int, subprocess.Popen[bytes]] = {}


def start(argv: Sequence[str], log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """A process whose output goes to the end of `log`, with as many open files as it may have."""
    with log.open("ab") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd)
    _children[child.pid] = child
    return child


def run_to_end(argv: Sequence[str]) -> str:
    """What a short command says. Raises RuntimeError with its output when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout + done.stderr


async def stop(pid: int) -> None:
    """End a process, gently first, and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        if await _gone(pid, PATIENCE):
            break
    child = _children.pop(pid, None)
    if child is not None:
        child.wait()


def ended(pid: int) -> bool:
    """Whether a process, our child or not, is over."""
    child = _children.get(pid)
    return not Path(f"/proc/{pid}").exists() if child is None else child.poll() is not None


async def _gone(pid: int, seconds: float) -> bool:
    for _ in range(int(seconds / 0.05)):
        if ended(pid):
            return True
        await asyncio.sleep(0.05)
    return False


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time in milliseconds since the start, and resident memory in KiB now and at most so far."""

    cpu: float
    rss: int
    peak: int


def usage(roots: Iterable[int]) -> Usage:
    """What these processes and everything below them have used. One that ended in between counts with its parent."""
    cpu, rss, peak = 0.0, 0, 0
    for pid in family(roots):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu += cpu_ticks(stat) * TICK
        rss += _kib(status, "VmRSS")
        peak += _kib(status, "VmHWM")
    return Usage(cpu, rss, peak)


def cpu_ticks(stat: str) -> int:
    """utime + stime + cutime + cstime of a /proc/PID/stat line (proc(5)); the name in it may hold blanks."""
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def family(roots: Iterable[int]) -> list[int]:
    """The processes and all their descendants."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            below.setdefault(parent, []).append(int(entry.name))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += below.get(pid, [])
    return found


def _kib(status: str, name: str) -> int:
    for line in status.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0
