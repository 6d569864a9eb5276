"""How much memory the processes' cgroup may use, and whom the kernel killed for lack of it."""

import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from agent.evidence.figures import ago, share, size
from agent.evidence.proc import HOST, Host, Process, cgroups

GROUPS = 4
KILLS = 10
RECORDS = 100_000  # of the kernel's log that are read
_NO_LIMIT = 2**60  # version 1 says "none" as the largest multiple of a page
_KILL = re.compile(r"oom-kill:.*?\btask_memcg=(?P<group>[^,]*),task=(?P<task>.*?),pid=(?P<pid>\d+)")


def describe_memory(processes: Sequence[Process], pids: Collection[int], cgroup: str = "", host: Host = HOST) -> str:
    """The figures of their cgroups, and the OOM kills since the boot among them: of one of `pids`, of their cgroups,
    and of any cgroup that has `cgroup` (a unit's name, a container's id) in its path. Empty if there is nothing."""
    places = list(dict.fromkeys(tuple(_places(process.pid, host)) for process in processes))
    figures = [line for place in places[:GROUPS] for line in _figures(place, host)]
    names = {cgroup, *(path for place in places for _, path in place if path != "/")} - {""}
    return "\n".join([*figures, *_kills(names, pids, host)])


def _places(pid: int, host: Host) -> list[tuple[str, str]]:
    """The hierarchies ("" for version 2) that may have the memory controller, and the paths there."""
    groups = cgroups(pid, host)
    return [(kind, groups[kind]) for kind in ("memory", "") if kind in groups]


def _figures(places: Sequence[tuple[str, str]], host: Host) -> list[str]:
    """Of the first of these that has figures."""
    for kind, path in places:
        folder = _folder(kind, path, host)
        used = _figure(folder / ("memory.usage_in_bytes" if kind else "memory.current")) if folder else None
        if folder is not None and used is not None:
            return _describe(kind, path, folder, used)
    return []


def _describe(kind: str, path: str, folder: Path, used: int) -> list[str]:
    lines = [f"cgroup {path}: {size(used)} in use{_of_limit(kind, folder, used)}"]
    events = _events(folder / ("memory.oom_control" if kind else "memory.events"))
    if kills := events.get("oom_kill", 0):
        lines.append(f"  {kills} {'OOM kill' if kills == 1 else 'OOM kills'} since the cgroup was made")
    if hits := events.get("max", 0):
        lines.append(f"  its limit was hit {hits} times")
    return lines


def _of_limit(kind: str, folder: Path, used: int) -> str:
    """The nearest limit, which may be that of a slice above."""
    for level in (folder, *folder.parents):
        limit = _figure(level / ("memory.limit_in_bytes" if kind else "memory.max"))
        if limit is not None and limit < _NO_LIMIT:
            where = "" if level == folder else f", the limit of {level.name}"
            return f" of {size(limit)} ({share(used, limit)}){where}"
        if not (level.parent / "cgroup.procs").exists():
            break
    return ", no limit"


def _folder(kind: str, path: str, host: Host) -> Path | None:
    """Where the hierarchy is mounted, by /proc/self/mountinfo (proc(5)), and the cgroup in it."""
    try:
        lines = (host.proc / "self" / "mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, (system, _, options) = before.split(), (*after.split(" "), "", "", "")[:3]
        if system == ("cgroup" if kind else "cgroup2") and (not kind or kind in options.split(",")):
            root, mount = fields[3], fields[4]
            inside = path.removeprefix(root) if root != "/" else path
            return Path(mount) / inside.lstrip("/")
    return None


def _figure(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None


def _events(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    except (OSError, ValueError):
        return {}


def _kills(names: Collection[str], pids: Collection[int], host: Host) -> list[str]:
    found = []
    try:
        for since_boot, text in _kernel_log(host.kernel_log):
            kill = _KILL.search(text)
            if kill and (int(kill["pid"]) in pids or any(_within(kill["group"], name) for name in names)):
                when = ago(time.monotonic() - since_boot)
                found.append(
                    f"the kernel killed {kill['task']} (pid {kill['pid']}) for lack of memory {when}, {kill['group']}"
                )
    except OSError as error:
        total = _events(host.proc / "vmstat").get("oom_kill", 0)
        return (
            [f"{total} OOM kills on this host since boot; the kernel's log can't be read ({error.strerror})"]
            if total
            else []
        )
    return found[-KILLS:]


def _within(group: str, name: str) -> bool:
    return (
        group == name
        or group.startswith(f"{name}/")
        or any(name in part for part in group.split("/") if "/" not in name)
    )


def _kernel_log(path: Path) -> Iterator[tuple[float, str]]:
    """Every record that the kernel still has: seconds since the boot, and the text. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for _ in range(RECORDS):
            try:
                record = os.read(fd, 8_192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # that record was overwritten meanwhile
            if not record:
                return
            head, _, text = record.decode("utf-8", "replace").partition(";")
            if "oom-kill:" in text:
                yield int(head.split(",")[2]) / 1e6, text
    finally:
        os.close(fd)
