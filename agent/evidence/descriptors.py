"""What the processes hold open, and how near they are to their limit."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.evidence.figures import share
from agent.evidence.proc import HOST, Host, Process

MOST = 100_000  # descriptors that are looked at


@dataclass(slots=True)
class OpenFiles:
    """The open files of some processes: a line for each, and who holds which socket, by its inode."""

    lines: list[str] = field(default_factory=list)
    sockets: dict[int, int] = field(default_factory=dict)


def read_open_files(processes: Iterable[Process], host: Host = HOST) -> OpenFiles:
    """Count and sort them: "123 photos: 1020 of 1024 open files (100 %): sockets 900, files 100, pipes 20"."""
    found = OpenFiles()
    left = MOST
    for process in processes:
        name = f"{process.pid} {process.name}"
        try:
            kinds = _kinds(process.pid, host, left, found.sockets)
        except PermissionError:
            found.lines.append(f"{name}: they are another user's, and only root may see them")
            continue
        except OSError:
            continue  # it ended
        count = sum(kinds.values())
        left -= count
        sorted_out = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
        found.lines.append(
            f"{name}: {_of_limit(count, _limit(process.pid, host))}" + (f": {sorted_out}" if kinds else "")
        )
        if left <= 0:
            found.lines.append(f"… more than {MOST} were not looked at")
            break
    return found


def _kinds(pid: int, host: Host, most: int, sockets: dict[int, int]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    with os.scandir(host.proc / str(pid) / "fd") as entries:
        for entry in entries:
            if kinds.total() >= most:
                break
            try:
                target = os.readlink(entry.path)
            except FileNotFoundError:
                continue  # closed meanwhile
            kind, _, rest = target.partition(":")
            if kind == "socket":
                sockets[int(rest.strip("[]"))] = pid
            kinds[_kind(target, kind, rest)] += 1
    return kinds


def _kind(target: str, kind: str, rest: str) -> str:
    match kind:
        case "socket" | "pipe":
            return f"{kind}s"
        case "anon_inode":
            return rest.strip("[]")
        case _ if target.endswith(" (deleted)"):
            return "deleted files"
        case _:
            return "devices" if target.startswith("/dev/") else "files"


def _limit(pid: int, host: Host) -> int | None:
    try:
        text = (host.proc / str(pid) / "limits").read_text()
        line = next(line for line in text.splitlines() if line.startswith("Max open files"))
        return int(line.split()[3])
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _of_limit(count: int, limit: int | None) -> str:
    if limit is None:
        return f"{count} open files"
    full = ", the limit is reached" if count >= limit else ""
    return f"{count} of {limit} open files ({share(count, limit)}{full})"
