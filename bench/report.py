"""The table of results, and the machine that they were measured on."""

import os
import platform
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from bench.measure import Outcome
from bench.systems import System

HEAD = (
    "system",
    "targets",
    "hanging",
    "checks/s",
    "CPU ms/check",
    "KiB/target",
    "RSS MiB",
    "peak MiB",
    "interval p50",
    "p99",
    "max s",
    "first round s",
    "detection med/max s",
    "load",
)


def row(outcome: Outcome) -> tuple[str, ...]:
    """One line of the table, as text."""
    plan, seen = outcome.plan, outcome.cadence
    found = outcome.detection
    missing = f" ({len(found)} of {plan.victims})" if len(found) < plan.victims else ""
    return (
        plan.system.name,
        str(plan.count),
        f"{plan.hanging:.0%}" if plan.hanging else "-",
        f"{outcome.checks / plan.seconds:.1f}",
        figure(outcome.cpu_per_check, 3),
        figure(outcome.rss / plan.count, 1),
        figure(outcome.rss / 1024, 0),
        figure(outcome.peak / 1024, 0),
        figure(seen.p50 if seen else None, 2),
        figure(seen.p99 if seen else None, 2),
        figure(seen.longest if seen else None, 2),
        figure(outcome.first_round, 1),
        f"{figure(outcome.detection_median, 1)}/{figure(found[-1] if found else None, 1)}{missing}",
        f"{outcome.load:.1f}",
    )


def figure(value: float | None, digits: int) -> str:
    """A number for people; a dash where there is none."""
    return "-" if value is None or isnan(value) else f"{value:.{digits}f}"


def table(outcomes: Sequence[Outcome]) -> str:
    """A plain table that is Markdown too."""
    rows = [HEAD, *map(row, outcomes)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def machine(systems: Sequence[type[System]]) -> str:
    """Facts that the figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    versions = ", ".join(f"{system.name} {system.version()}" for system in systems)
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}; {versions}"
    )
