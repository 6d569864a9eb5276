"""Processes as the kernel's /proc tells them (proc(5)), without a program being run."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where the kernel's and the distribution's files are; elsewhere in tests only."""

    proc: Path = Path("/proc")
    kernel_log: Path = Path("/dev/kmsg")
    logs: Path = Path("/var/log")


HOST = Host()


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One line of `ps`. `started` is in clock ticks since the boot, `cpu` in seconds, `rss` in bytes."""

    pid: int
    ppid: int
    name: str
    state: str
    started: int
    cpu: float
    rss: int
    threads: int


@dataclass(frozen=True, slots=True)
class Identity:
    """A process and no other: the kernel gives a number to a second one some day, but not at the same start."""

    pid: int
    started: int  # clock ticks since the boot


def identity(pid: int, host: Host = HOST) -> Identity | None:
    """Who has that number now; None for nobody (a zombie is nobody), and where /proc does not show it."""
    process = read_process(pid, host)
    return None if process is None or process.state in "ZX" else Identity(process.pid, process.started)


def same_process(before: Identity | None, after: Identity | None) -> bool:
    """Whether both are known to be one and the same process: a restart between the two replaced nothing."""
    return before is not None and before == after


def read_process(pid: int, host: Host = HOST) -> Process | None:
    """One process; None if there is none of that number (or it can't be seen)."""
    try:
        text = (host.proc / str(pid) / "stat").read_text("utf-8", "replace")
        head, _, tail = text.rpartition(")")
        fields = tail.split()  # from the third on: the second, the name, may hold blanks and brackets
        return Process(
            pid=pid,
            ppid=int(fields[1]),
            name=head.partition("(")[2],
            state=fields[0],
            started=int(fields[19]),
            cpu=(int(fields[11]) + int(fields[12])) / TICKS,
            rss=int(fields[21]) * PAGE,
            threads=int(fields[17]),
        )
    except (OSError, ValueError, IndexError):
        return None


def every_pid(host: Host = HOST) -> list[int]:
    """The numbers of all processes that can be seen, in order."""
    try:
        return sorted(int(name) for name in os.listdir(host.proc) if name.isascii() and name.isdigit())
    except OSError:
        return []


def family(pids: Iterable[int], host: Host = HOST) -> list[Process]:
    """These processes and all their descendants, each once, every child after its parent."""
    every = {pid: process for pid in every_pid(host) if (process := read_process(pid, host))}
    children: dict[int, list[int]] = {}
    for process in every.values():
        children.setdefault(process.ppid, []).append(process.pid)
    found: dict[int, Process] = {}
    for pid in pids:
        _descend(pid, every, children, found)
    return list(found.values())


def _descend(
    pid: int, every: Mapping[int, Process], children: Mapping[int, list[int]], found: dict[int, Process]
) -> None:
    waiting = [pid]
    while waiting:
        next_one = waiting.pop()
        if next_one in every and next_one not in found:
            found[next_one] = every[next_one]
            waiting += reversed(children.get(next_one, []))


def uptime(host: Host = HOST) -> float:
    """Seconds since the boot; 0 where that can't be read."""
    try:
        return float((host.proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0


def command_line(pid: int, host: Host = HOST) -> list[str]:
    """A process's arguments as it shows them; empty for a thread of the kernel, a zombie, and what is gone.

    Unlike everything else of /proc this may block, for as long as the process hangs while it holds its memory map:
    to be called where nobody waits for it.
    """
    try:
        text = (host.proc / str(pid) / "cmdline").read_bytes()[:65_536]
    except OSError:
        return []
    return text.decode("utf-8", "replace").rstrip("\0").split("\0") if text.strip(b"\0") else []


def program(pid: int, host: Host = HOST) -> str:
    """The path of its program, with " (deleted)" if that file was replaced; empty where that is not shown."""
    try:
        return os.readlink(host.proc / str(pid) / "exe")
    except OSError:
        return ""


def cgroups(pid: int, host: Host = HOST) -> dict[str, str]:
    """Its cgroup's path by controller, the unified hierarchy's under "", as in cgroups(7)."""
    found = {}
    try:
        for line in (host.proc / str(pid) / "cgroup").read_text("utf-8", "replace").splitlines():
            _, controllers, path = line.split(":", 2)
            found.update(dict.fromkeys(controllers.split(","), path))
    except (OSError, ValueError):
        return {}
    return found
