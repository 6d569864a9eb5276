"""The process check: are the right number of the right processes there, old enough and small enough?"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from agent.core.durations import format_duration
from agent.core.result import CheckResult
from agent.durations import Duration
from agent.ports import CheckContext, CheckType, Options
from checks._procfs import Process, command_line, processes, read_process, since_boot
from checks.blocking import Stuck, answer
from checks.match import PatternText, TooSlow, pattern, searched

_KERNEL_NAME = 15  # bytes of a process name that Linux keeps
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(iB|B)?", re.ASCII | re.IGNORECASE)


def _read_size(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    if not found:
        raise ValueError(f"{value!r} is no size: expected something like 500MiB, 2G or 1048576")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


Size = Annotated[int, BeforeValidator(_read_size), Field(gt=0)]


class ProcessOptions(Options):
    """Which processes, and what must be true of them. Several ways of matching narrow each other down."""

    name: str | None = Field(
        default=None, min_length=1, description="The program's name as in `ps -o comm`; all of a long one counts"
    )
    cmdline: PatternText | None = Field(
        default=None, min_length=1, description="A regular expression found in the arguments joined with blanks"
    )
    pidfile: Path | None = Field(default=None, description="A file with the process id on its first line")
    min: int = Field(default=1, ge=0, description="Fewer than this many is a failure")
    max: int | None = Field(
        default=None, ge=0, description="More than this many is a failure; 0 with min 0: none may run"
    )
    min_uptime: Duration = Field(
        default=timedelta(0), description="Younger than this is still starting: a warning, not a failure"
    )
    max_rss: Size | None = Field(
        default=None, description="More resident memory than this in any one of them is a failure, e.g. 500MiB"
    )
    proc: Path = Field(
        default=Path("/proc"), description="Where proc is mounted: another host's, seen from a container"
    )

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if not (self.name or self.cmdline or self.pidfile):
            raise ValueError("which process? Give its name, cmdline or pidfile")
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max ({self.max}) is less than min ({self.min})")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look at proc gave. `now` is in seconds since the boot; `trouble` is the reason and the text of a pidfile
    that names no such process."""

    living: tuple[Process, ...] = ()
    zombies: tuple[Process, ...] = ()
    now: float = 0.0
    trouble: tuple[str, str] | None = None


async def run(options: ProcessOptions, ctx: CheckContext) -> CheckResult:
    """PASS: as many as wanted. WARN "starting": one is younger than `min_uptime`. FAIL: too few or too many, only
    zombies left, a pidfile that is missing or names another process, too much memory. UNKNOWN: proc or the pidfile
    can't be read, or the expression takes too long on somebody's arguments."""
    try:
        found = await answer(f"processes of {ctx.service}/{ctx.check}", partial(look, options), ctx.timeout)
    except Stuck:
        return ctx.unknown("slow", f"{options.pidfile or options.proc} could not be read within {ctx.timeout:g} s")
    except TooSlow as error:
        return ctx.unknown("expression", f"could not tell: {error}")
    except PermissionError as error:
        return ctx.unknown("permission", f"{error.filename} can't be read by the agent")
    except (OSError, ValueError) as error:
        return ctx.unknown("proc", f"{options.proc} can't be read: {error}")
    return judge(options, found, ctx)


def look(options: ProcessOptions) -> Found:
    """One pass over proc, or one look at the process of the pidfile. Raises OSError where that can't be read, and
    TooSlow."""
    now = since_boot(options.proc)
    if options.pidfile is None:
        matching = [process for process in processes(options.proc) if _matches(options, process)]
    else:
        process, trouble = _by_pidfile(options, options.pidfile)
        if process is None:
            return Found(now=now, trouble=trouble)
        matching = [process]
    return Found(
        living=tuple(process for process in matching if not process.zombie),
        zombies=tuple(process for process in matching if process.zombie),
        now=now,
    )


def _by_pidfile(options: ProcessOptions, pidfile: Path) -> tuple[Process | None, tuple[str, str]]:
    try:
        with open(pidfile, encoding="ascii", errors="replace") as file:
            first = file.readline(64).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None, ("no_pidfile", f"{pidfile} does not exist")
    if not (first.isascii() and first.isdigit() and 0 < int(first) < 2**31):
        return None, ("bad_pidfile", f"{pidfile} names no process: {first[:40]!r}")
    process = read_process(options.proc, int(first))
    if process is None:
        return None, ("stale_pidfile", f"{pidfile} names process {first}, which does not run")
    if not _matches(options, process):
        return None, ("other", f"{pidfile} names process {first}, which is {process.name} now")
    return process, ("", "")


def _matches(options: ProcessOptions, process: Process) -> bool:
    """Whether it is one that is meant. The cheap test first: arguments are read only for those that pass it."""
    if options.name is not None:
        if process.name != options.name.encode()[:_KERNEL_NAME].decode("utf-8", "replace"):
            return False
        if len(options.name.encode()) > _KERNEL_NAME and not process.zombie:
            arguments = command_line(options.proc, process.pid)
            if options.name not in (Path(argument).name for argument in arguments[:2]):
                return False
    if options.cmdline is None:
        return True
    if process.pid == os.getpid():  # the agent's own arguments may hold the very pattern
        return False
    return searched(pattern(options.cmdline), " ".join(command_line(options.proc, process.pid)))


def judge(options: ProcessOptions, found: Found, ctx: CheckContext) -> CheckResult:
    """What was found against what is wanted."""
    if found.trouble is not None and options.min > 0:
        return ctx.failed(*found.trouble)
    what, living, values = _what(options), found.living, _values(found)
    if wrong := _miscounted(options, found):
        return ctx.failed(*wrong, values=values)
    if not living:
        return ctx.passed(f"{what} does not run, as wanted", values=values)
    largest = max(living, key=lambda process: process.rss)
    if options.max_rss is not None and largest.rss > options.max_rss:
        text = f"process {largest.pid} of {what} holds {_mib(largest.rss)}, allowed are {_mib(options.max_rss)}"
        return ctx.failed("memory", text, values=values)
    up = format_duration(timedelta(seconds=round(values["uptime"])))
    text = f"{_count(living, what)}, up {up}, {_mib(values['rss'])}"
    if values["uptime"] < options.min_uptime.total_seconds():
        return ctx.warned("starting", f"{text}: not yet {format_duration(options.min_uptime)} old", values=values)
    return ctx.passed(text, values=values)


def _miscounted(options: ProcessOptions, found: Found) -> tuple[str, str] | None:
    """The reason and the text of there being too few or too many."""
    what, living = _what(options), found.living
    if options.max is not None and len(living) > options.max:
        return "too_many", f"{_count(living, what)}, wanted at most {options.max} ({_pids(living)})"
    if len(living) >= options.min:
        return None
    if found.zombies and not living:
        return "zombie", f"{what} is dead and nobody has fetched its end (zombie {_pids(found.zombies)})"
    wanted = f", wanted at least {options.min}" if options.min > 1 else ""
    return "missing", (_count(living, what) if living else f"{what} does not run") + wanted


def _count(living: Sequence[Process], what: str) -> str:
    return f"{len(living)} {'process' if len(living) == 1 else 'processes'} of {what}"


def _pids(some: Sequence[Process]) -> str:
    return ", ".join(str(process.pid) for process in some[:5])


def _what(options: ProcessOptions) -> str:
    if options.name:
        return options.name
    return f"/{options.cmdline}/" if options.cmdline else str(options.pidfile)


def _values(found: Found) -> Mapping[str, float]:
    """count, zombies; of the living: rss and threads in all, CPU seconds in all, uptime of the youngest."""
    values = {"count": float(len(found.living)), "zombies": float(len(found.zombies))}
    if found.living:
        values["rss"] = float(sum(process.rss for process in found.living))
        values["threads"] = float(sum(process.threads for process in found.living))
        values["cpu_seconds"] = sum(process.cpu for process in found.living)
        values["uptime"] = max(0.0, found.now - max(process.started for process in found.living))
    return values


def _mib(size: float) -> str:
    return f"{size / 1_048_576:.1f} MiB"


PROCESS = CheckType(
    name="process",
    options=ProcessOptions,
    run=run,
    short="name",
    about="Looks for processes by name, arguments or pidfile: how many, how old, how large.",
    keeps_time=True,
    local=True,
)
