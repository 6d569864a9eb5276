"""Whether this host is in a state in which no restart helps: out of disk, or out of memory."""

import os
from collections.abc import Iterable
from pathlib import Path

FULL = 0.99  # part of a file system that is used, by what unprivileged programs may still write
EXHAUSTED = 0.02  # part of the memory that is still available


def host_trouble(paths: Iterable[Path] = (Path("/"),), meminfo: Path = Path("/proc/meminfo")) -> str:
    """What is wrong, with the figures, to follow "this host is"; empty when nothing is. What can't be read is no
    trouble: a check says so. Blocks on a hanging file system: call it off the event loop."""
    troubles = [text for path in paths if (text := _disk(path))]
    if memory := _memory(meminfo):
        troubles.append(memory)
    return " and ".join(troubles)


def _disk(path: Path) -> str:
    try:
        found = os.statvfs(path)
    except OSError:
        return ""
    usable = found.f_blocks - found.f_bfree + found.f_bavail
    if not usable:
        return ""
    used = 1 - found.f_bavail / usable
    left = found.f_bavail * found.f_frsize
    return f"out of disk: {path} is {used:.1%} full, {left / 2**20:.0f} MiB left" if used > FULL else ""


def _memory(meminfo: Path) -> str:
    try:
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        total, available = (int(rows[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError, IndexError):
        return ""
    if not total or available / total > EXHAUSTED:
        return ""
    return f"out of memory: {available / 1024:.0f} MiB of {total / 1024:.0f} MiB available"
