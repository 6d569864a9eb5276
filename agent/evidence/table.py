"""The processes of a service, as `ps` would list them."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

from agent.evidence.background import TooMany, in_background
from agent.evidence.figures import size, span
from agent.evidence.proc import HOST, TICKS, Host, Process, command_line, uptime
from agent.evidence.redaction import redact_arguments

ROWS = 100
WIDTH = 2_000  # characters of one command line
_STATES = {"D": "D: in uninterruptible sleep, which no signal ends", "Z": "Z: ended, its parent has not asked how",
           "T": "T: stopped by a signal", "t": "t: stopped by a debugger"}  # fmt: skip


async def process_table(processes: Sequence[Process], *, seconds: float, host: Host = HOST) -> str:
    """Pid, parent, state, age, CPU time, resident memory, threads and command line of each. A command line that the
    kernel does not give in `seconds` is replaced by the [name]."""
    shown = processes[:ROWS]
    lines: dict[int, list[str]] = {}
    with contextlib.suppress(TimeoutError, TooMany):
        async with asyncio.timeout(seconds):
            await in_background(partial(_read_command_lines, [process.pid for process in shown], lines, host))
    return _render(shown, dict(lines), uptime(host), len(processes) - len(shown))


def _read_command_lines(pids: Sequence[int], into: dict[int, list[str]], host: Host) -> None:
    for pid in pids:
        into[pid] = command_line(pid, host)


def _render(processes: Sequence[Process], lines: Mapping[int, list[str]], now: float, more: int) -> str:
    rows = [f"{'PID':>8} {'PPID':>8} S {'AGE':>7} {'CPU':>9} {'RSS':>10} {'THR':>4} COMMAND"]
    for process in processes:
        command = " ".join(redact_arguments(lines.get(process.pid, []))) or f"[{process.name}]"
        rows.append(
            f"{process.pid:>8} {process.ppid:>8} {process.state} {span(now - process.started / TICKS):>7} "
            f"{process.cpu:>8.2f}s {size(process.rss):>10} {process.threads:>4} {_on_one_line(command)[:WIDTH]}"
        )
    if more:
        rows.append(f"… and {more} more")
    rows += [_STATES[state] for state in sorted({process.state for process in processes}) if state in _STATES]
    silent = [process.pid for process in processes if process.pid not in lines]
    if silent:
        rows.append(
            f"The command line of {', '.join(map(str, silent))} could not be read in time, as of one that hangs"
        )
    return "\n".join(rows)


def _on_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
