"""The figures of a host as proc(5) and statvfs(3) tell them. Everything raises OSError or ValueError when it cannot be
read; `proc` is the root of the tree, /proc on a real host."""

import os
from dataclasses import dataclass
from pathlib import Path

from checks._procfs import processes


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes."""

    total: int
    available: int
    swap_total: int
    swap_free: int


@dataclass(frozen=True, slots=True)
class Space:
    """Of a file system: shares in use, as df computes them (of what is not reserved for root), and what is left.
    None: it has no such limit (btrfs has no inodes to run out of, proc has no blocks)."""

    used: float | None
    left: int
    inodes_used: float | None
    inodes_left: int


def memory(proc: Path) -> Memory:
    fields = {}
    for line in _text(proc / "meminfo").splitlines():
        name, _, rest = line.partition(":")
        fields[name] = rest
    names = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
    if absent := [name for name in names if name not in fields]:
        raise ValueError(f"{proc}/meminfo has no {absent[0]}")
    sizes = [int(fields[name].removesuffix("kB")) * 1024 for name in names]
    if sizes[0] <= 0:
        raise ValueError(f"{proc}/meminfo says that there is no memory")
    return Memory(*sizes)


def load_per_core(proc: Path) -> tuple[float, int]:
    """The load average of 5 minutes per core, and the number of cores that are on line."""
    _one, five, *_ = _text(proc / "loadavg").split()
    cores = sum(line.startswith("cpu") and line[3:4].isdigit() for line in _text(proc / "stat").splitlines())
    if not cores:
        raise ValueError(f"{proc}/stat names no processor")
    return float(five) / cores, cores


def descriptors(proc: Path) -> tuple[int, int]:
    """Open files of the whole host, and how many the kernel allows."""
    allocated, unused, limit = (int(field) for field in _text(proc / "sys/fs/file-nr").split())
    if limit <= 0:
        raise ValueError(f"{proc}/sys/fs/file-nr says that no file may be open")
    return allocated - unused, limit


def space(found: os.statvfs_result) -> Space:
    taken, usable = found.f_blocks - found.f_bfree, found.f_blocks - found.f_bfree + found.f_bavail
    return Space(
        used=taken / usable if usable else None,
        left=found.f_bavail * found.f_frsize,
        inodes_used=(found.f_files - found.f_ffree) / found.f_files if found.f_files else None,
        inodes_left=found.f_favail,
    )


def largest_processes(proc: Path, most: int = 5) -> str:
    """The processes that hold the most memory, a line each: evidence for whoever has to find room."""
    top = sorted(processes(proc), key=lambda process: process.rss, reverse=True)[:most]
    return "\n".join(f"{size(process.rss):>9}  {process.name} (pid {process.pid})" for process in top)


def size(count: float) -> str:
    """Bytes for people: 1 GB is a thousand million bytes."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if count < 999.5 else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.0f} PB"


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")
