"""What the threads of a process are doing, as the kernel sees it."""

from collections.abc import Iterable
from pathlib import Path

from agent.evidence.proc import HOST, Host, Process, read_process

MOST = 2_000  # threads that are looked at
NAMES = 6  # of the threads that wait in one place
STACKS = 4  # of threads in uninterruptible sleep


def describe_threads(processes: Iterable[Process], host: Host = HOST) -> str:
    """Per process: how many threads are in which state and where in the kernel they wait. Threads in uninterruptible
    sleep (state D) come first, with their kernel stack where it may be read (root)."""
    left, parts = MOST, []
    for process in processes:
        if left <= 0:
            parts.append("… more processes were not looked at")
            break
        threads = _threads(process, host, left)
        left -= len(threads) or 1
        if threads:
            parts.append(_describe(process, threads, host))
    return "\n".join(parts)


def _threads(process: Process, host: Host, most: int) -> list[tuple[int, str, str, str]]:
    """Number, name, state and place of each."""
    folder = host.proc / str(process.pid) / "task"
    within = Host(proc=folder)
    found: list[tuple[int, str, str, str]] = []
    try:
        for entry in folder.iterdir():
            if len(found) == most:
                break
            thread = read_process(int(entry.name), within)
            if thread is not None:
                found.append((thread.pid, thread.name, thread.state, _place(entry)))
    except (OSError, ValueError):
        pass  # it ended while it was looked at: what was seen is told
    return found


def _place(folder: Path) -> str:
    try:
        place = (folder / "wchan").read_text()
    except OSError:
        return ""
    return "" if place == "0" else place


def _describe(process: Process, threads: list[tuple[int, str, str, str]], host: Host) -> str:
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, name, state, place in threads:
        groups.setdefault((state, place), []).append((number, name))
    lines = [f"{process.pid} {process.name}: {len(threads)} {'thread' if len(threads) == 1 else 'threads'}"]
    for (state, place), members in sorted(groups.items(), key=lambda item: (item[0][0] != "D", -len(item[1]))):
        names = ", ".join(f"{name} ({number})" for number, name in members[:NAMES])
        more = f" and {len(members) - NAMES} more" if len(members) > NAMES else ""
        stuck = " (uninterruptible: no signal ends it)" if state == "D" else ""
        lines.append(f"  {len(members)} × {state}{stuck}{' in ' + place if place else ''}: {names}{more}")
        if state == "D":
            lines += _stacks(process, members, host)
    return "\n".join(lines)


def _stacks(process: Process, members: list[tuple[int, str]], host: Host) -> list[str]:
    lines = []
    for number, _ in members[:STACKS]:
        try:
            stack = (host.proc / str(process.pid) / "task" / str(number) / "stack").read_text()
        except OSError:
            continue
        lines += [f"      {line}" for line in stack.splitlines()[:20]]
    return lines
