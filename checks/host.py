"""The host check: disks, inodes, memory, swap, load, descriptors and the clock of the host that the agent runs on."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agent.core.durations import format_duration
from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, CheckType
from checks import host_proc
from checks.blocking import Stuck, answer
from checks.host_clock import KernelClock, read_clock
from checks.host_limits import CLOCK, Clock, HostOptions, Limits, Used, percent
from checks.host_proc import Space, size

URGENCY = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN, Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where the figures come from."""

    proc: Path = Path("/proc")
    statvfs: Callable[[str], os.statvfs_result] = os.statvfs
    clock: Callable[[], KernelClock] = read_clock


THIS_HOST = Host()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one part of the host. `reason` is the part, or why it cannot be told."""

    verdict: Verdict
    reason: str
    text: str
    values: Mapping[str, float] = field(default_factory=dict)


async def run(options: HostOptions, ctx: CheckContext, host: Host = THIS_HOST) -> CheckResult:
    """All parts that are named in the options; every violation is said, and the worst gives the reason."""
    spaces = await _spaces({*(options.disk or ()), *(options.inodes or ())}, host, ctx.timeout * 0.9)
    found = [*_file_systems(options, spaces), *_figures(options, host)]
    worst = min(found, key=lambda finding: URGENCY.index(finding.verdict))
    values = {name: value for finding in found for name, value in finding.values.items()}
    if worst.verdict is Verdict.PASS:
        return ctx.passed(", ".join(finding.text for finding in found if finding.text), values=values)
    said = sorted(
        (finding for finding in found if finding.verdict is not Verdict.PASS),
        key=lambda finding: URGENCY.index(finding.verdict),
    )
    summary = "; ".join(finding.text for finding in said)
    evidence = {}
    if any(finding.reason in ("memory", "swap", "load") for finding in said):
        evidence["largest processes"] = host_proc.largest_processes(host.proc)
    tell = {Verdict.FAIL: ctx.failed, Verdict.UNKNOWN: ctx.unknown, Verdict.WARN: ctx.warned}[worst.verdict]
    return tell(worst.reason, summary, values=values, evidence=evidence)


# ---------------------------------------------------------------------------------------------------- file systems


async def _spaces(paths: set[str], host: Host, timeout: float) -> dict[str, Space | Exception]:
    """The space at each path, all asked at the same time: one that hangs costs the others nothing."""
    ordered = sorted(paths)
    asked = [answer(f"statvfs {path}", partial(host.statvfs, path), timeout) for path in ordered]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    spaces: dict[str, Space | Exception] = {}
    for path, found in zip(ordered, answers, strict=True):
        if isinstance(found, os.statvfs_result):
            spaces[path] = host_proc.space(found)
        elif isinstance(found, Stuck | OSError):
            spaces[path] = found
        else:
            raise found
    return spaces


def _file_systems(options: HostOptions, spaces: Mapping[str, Space | Exception]) -> Iterator[Finding]:
    for part, mounts in (("disk", options.disk or {}), ("inodes", options.inodes or {})):
        for path, limits in mounts.items():
            found = spaces[path]
            if isinstance(found, Space):
                yield _space(part, path, limits, found)
            elif part == "disk" or path not in (options.disk or {}):
                yield _no_space(part, path, found)


def _space(part: str, path: str, limits: Used, found: Space) -> Finding:
    share = found.used if part == "disk" else found.inodes_used
    left = size(found.left) if part == "disk" else f"{found.inodes_left:,}"
    if share is None:
        return Finding(verdict=Verdict.PASS, reason=part, text=f"{part} {path} without a limit")
    verdict, limit = _above(limits, share)
    text = f"{part} {path} {percent(share)}"
    if limit is not None:
        text = f"{part} {path} {percent(share)} in use (limit {percent(limit)}), {left} left"
    return Finding(verdict=verdict, reason=part, text=text, values={f"{part}_used_ratio:{path}": share})


def _no_space(part: str, path: str, why: Exception) -> Finding:
    if isinstance(why, Stuck):
        return Finding(verdict=Verdict.UNKNOWN, reason="stuck", text=f"the file system at {path} does not answer")
    said = why.strerror if isinstance(why, OSError) else str(why)
    if isinstance(why, PermissionError):
        return Finding(verdict=Verdict.UNKNOWN, reason="unreadable", text=f"{part} {path}: {said}")
    return Finding(verdict=Verdict.FAIL, reason=part, text=f"{part} {path}: {said}")


# ---------------------------------------------------------------------------------------------------- figures of /proc


def _figures(options: HostOptions, host: Host) -> Iterator[Finding]:
    parts: tuple[tuple[str, object, Callable[[], Finding]], ...] = (
        ("memory", options.memory, lambda: _memory(options, host)),
        ("swap", options.swap, lambda: _swap(options, host)),
        ("load", options.load, lambda: _load(options, host)),
        ("descriptors", options.descriptors, lambda: _descriptors(options, host)),
        ("clock", options.clock, lambda: _clock(options.clock or CLOCK, host)),
    )
    for name, limits, judge in parts:
        if limits is None:
            continue
        try:
            yield judge()
        except (OSError, ValueError) as error:
            yield Finding(verdict=Verdict.UNKNOWN, reason="unreadable", text=f"{name} cannot be read: {error}")


def _memory(options: HostOptions, host: Host) -> Finding:
    found = host_proc.memory(host.proc)
    share = found.available / found.total
    verdict, limit = _below(options.memory, share)
    text = f"memory {percent(share)} available"
    if limit is not None:
        text += f" (limit {percent(limit)}), {size(found.available)} of {size(found.total)}"
    return Finding(verdict=verdict, reason="memory", text=text, values={"memory_available_ratio": share})


def _swap(options: HostOptions, host: Host) -> Finding:
    found = host_proc.memory(host.proc)
    if not found.swap_total:
        return Finding(verdict=Verdict.PASS, reason="swap", text="no swap")
    share = 1 - found.swap_free / found.swap_total
    verdict, limit = _above(options.swap, share)
    text = f"swap {percent(share)}"
    if limit is not None:
        text += f" in use (limit {percent(limit)}), {size(found.swap_free)} left"
    return Finding(verdict=verdict, reason="swap", text=text, values={"swap_used_ratio": share})


def _load(options: HostOptions, host: Host) -> Finding:
    load, cores = host_proc.load_per_core(host.proc)
    verdict, limit = _above(options.load, load)
    text = f"load {load:.2f} per core"
    if limit is not None:
        text += f" over 5 minutes (limit {limit:g}), {cores} core{'s' if cores != 1 else ''}"
    return Finding(verdict=verdict, reason="load", text=text, values={"load_per_core": load})


def _descriptors(options: HostOptions, host: Host) -> Finding:
    taken, most = host_proc.descriptors(host.proc)
    verdict, limit = _above(options.descriptors, taken / most)
    text = f"descriptors {percent(taken / most)}"
    if limit is not None:
        text += f" in use (limit {percent(limit)}), {taken:,} of {most:,}"
    return Finding(verdict=verdict, reason="descriptors", text=text, values={"descriptors_used_ratio": taken / most})


def _clock(limits: Clock, host: Host) -> Finding:
    try:
        found = host.clock()
    except OSError:
        if limits.optional:
            return Finding(verdict=Verdict.PASS, reason="clock", text="")
        raise
    if not found.synchronised:
        verdict = Verdict.WARN if limits.synchronised else Verdict.PASS
        return Finding(verdict=verdict, reason="clock", text="clock not synchronised")
    values = {"clock_offset_seconds": found.offset, "clock_error_seconds": found.error}
    far = found.off_by > limits.max_offset.total_seconds()
    text = f"clock within {found.off_by:.3g} s"
    if far:
        text = f"clock off by up to {found.off_by:.3g} s (limit {format_duration(limits.max_offset)})"
    return Finding(verdict=Verdict.FAIL if far else Verdict.PASS, reason="clock", text=text, values=values)


def _above(limits: Limits | None, figure: float) -> tuple[Verdict, float | None]:
    """The verdict on a figure that may be too large, and the limit that it reaches."""
    if limits is not None and limits.fail is not None and figure >= limits.fail:
        return Verdict.FAIL, limits.fail
    if limits is not None and limits.warn is not None and figure >= limits.warn:
        return Verdict.WARN, limits.warn
    return Verdict.PASS, None


def _below(limits: Limits | None, figure: float) -> tuple[Verdict, float | None]:
    """The verdict on a figure that may be too small, and the limit that it is under."""
    if limits is not None and limits.fail is not None and figure < limits.fail:
        return Verdict.FAIL, limits.fail
    if limits is not None and limits.warn is not None and figure < limits.warn:
        return Verdict.WARN, limits.warn
    return Verdict.PASS, None


HOST = CheckType(
    name="host",
    options=HostOptions,
    run=run,
    about="The host has room on its disks, memory, descriptors, a bearable load and a clock that is right.",
    keeps_time=True,
    local=True,
)
