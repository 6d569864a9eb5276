"""The processes of a host, read from proc(5)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. `name` is the kernel's own, at most 15 bytes; `rss` is in bytes; `started`, `cpu` in seconds,
    the former since the boot."""

    pid: int
    name: str
    state: str
    started: float
    cpu: float
    rss: int
    threads: int

    @property
    def zombie(self) -> bool:
        return self.state in "ZX"


def processes(proc: Path) -> Iterator[Process]:
    """Every process that there is; those that end meanwhile are left out. Raises OSError if there is no such tree."""
    with os.scandir(proc) as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isascii() and entry.name.isdigit()]
    for pid in sorted(pids):
        if (process := read_process(proc, pid)) is not None:
            yield process


def read_process(proc: Path, pid: int) -> Process | None:
    """One process, None if there is none."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return parse_stat(text)


def parse_stat(text: str) -> Process | None:
    """Read /proc/PID/stat; None if it is none. The name may hold anything, also blanks and parentheses."""
    head, _, tail = text.rpartition(")")
    number, _, name = head.partition("(")
    fields = tail.split()
    try:
        return Process(
            pid=int(number),
            name=name,
            state=fields[0],
            cpu=(int(fields[11]) + int(fields[12])) / TICKS,
            threads=int(fields[17]),
            started=int(fields[19]) / TICKS,
            rss=int(fields[21]) * PAGE,
        )
    except (ValueError, IndexError):
        return None


def command_line(proc: Path, pid: int) -> tuple[str, ...]:
    """The arguments, empty for kernel threads, zombies and processes that are gone."""
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            data = file.read(65_536)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ()
    return tuple(part.decode("utf-8", "replace") for part in data.rstrip(b"\0").split(b"\0")) if data else ()


def since_boot(proc: Path) -> float:
    """Seconds since the boot, time asleep included: the clock of `Process.started`."""
    with open(f"{proc}/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])
