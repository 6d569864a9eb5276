"""What was installed, replaced or deployed in the last day: the first question after "what happened?"."""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.evidence.figures import ago
from agent.evidence.proc import HOST, Host, Process, command_line, program
from agent.evidence.redaction import redact_line

DAY = timedelta(days=1)
LINES = 40  # of each package manager
TAIL = 262_144  # bytes of each log that are read
PATHS = 50
_DPKG = frozenset({"install", "upgrade", "remove", "purge"})


def recent_changes(paths: Iterable[str], *, now: datetime | None = None, host: Host = HOST) -> str:
    """Those of these files (absolute paths) that changed in the last day, and what the package managers (dpkg, apt,
    dnf) did in it, the newest first; one a line, empty if nothing did. A file that a package replaced keeps its old
    time of modification: so the change of its inode counts as well, which a mere chmod is, too.
    """
    at = now or datetime.now(UTC)
    changed = [
        line for path in list(dict.fromkeys(paths))[:PATHS] if path.startswith("/") and (line := _changed(path, at))
    ]
    return "\n".join([*changed, *_packages(at, host)])


def files_of(processes: Sequence[Process], host: Host = HOST) -> Iterator[str]:
    """The files whose change may be a deploy: the program of each, and what its command line names."""
    for process in processes:
        path = program(process.pid, host)
        if path.startswith("/"):
            yield path
        yield from (
            word for word in command_line(process.pid, host)[1:12] if word.startswith("/") and Path(word).is_file()
        )


def _changed(path: str, now: datetime) -> str:
    real = path.removesuffix(" (deleted)")
    try:
        status = os.stat(real)
    except OSError:
        return f"{real} was removed, and still runs" if real != path else ""
    written, touched = now.timestamp() - status.st_mtime, now.timestamp() - status.st_ctime
    if real != path:
        return f"{real} was replaced {ago(touched)}, after the process was started: it runs the old one"
    if written < DAY.total_seconds():
        return f"{real} was written {ago(written)}"
    return f"{real} was replaced or touched {ago(touched)}" if touched < DAY.total_seconds() else ""


def _packages(now: datetime, host: Host) -> list[str]:
    dpkg = _recent(_dpkg(host.logs / "dpkg.log"), now)
    apt = _recent(_apt(host.logs / "apt" / "history.log"), now)
    dnf = _recent(_dnf(host.logs / "dnf.rpm.log"), now)
    return [*apt, *dpkg, *dnf]


def _recent(entries: Iterable[tuple[datetime, str]], now: datetime) -> list[str]:
    lines = [f"{ago((now - at).total_seconds())}: {text}" for at, text in entries if timedelta(0) <= now - at < DAY]
    lines.reverse()
    left_out = len(lines) - LINES
    return lines[:LINES] + ([f"… {left_out} more before"] if left_out > 0 else [])


def _dpkg(path: Path) -> Iterator[tuple[datetime, str]]:
    """`2026-01-02 03:04:05 upgrade nginx:amd64 1.22.1-8 1.22.1-9`, in local time."""
    for line in _tail(path):
        words = line.split()
        if len(words) >= 6 and words[2] in _DPKG and (at := _moment(f"{words[0]}T{words[1]}")):
            yield at, f"dpkg: {words[2]} {words[3]} {words[4]} → {words[5]}"


def _apt(path: Path) -> Iterator[tuple[datetime, str]]:
    """Paragraphs of `Start-Date:`, `Commandline:`, `Requested-By:`."""
    at: datetime | None = None
    who, command = "", ""
    for line in (*_tail(path), "End-Date: "):
        name, _, value = line.partition(": ")
        if name == "Start-Date":
            at, who, command = _moment("T".join(value.split())), "", ""
        elif name == "Commandline":
            command = redact_line(value)
        elif name == "Requested-By":
            who = f" (by {value})"
        elif name == "End-Date" and at and command:
            yield at, f"apt: {command}{who}"
            at = None


def _dnf(path: Path) -> Iterator[tuple[datetime, str]]:
    """`2026-01-02T03:04:05+0000 SUBDEBUG Upgraded: nginx-1.22.1-9.x86_64`"""
    for line in _tail(path):
        words = line.split()
        if len(words) >= 4 and words[2].endswith(":") and (at := _moment(words[0])):
            yield at, f"dnf: {words[2].rstrip(':').lower()} {words[3]}"


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - TAIL))
            return file.read(TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
