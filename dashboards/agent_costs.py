"""The row of the agent's dashboard that tells what the agent costs its host."""

from dashboards.panels import ORANGE, RED, Panel, Query, lines
from dashboards.promql import AGENTS, EACH_AGENT, RATE, RUNS

CPU = f"sum by (instance) (rate(process_cpu_seconds_total{{{AGENTS}}}[{RATE}]))"
CHECKS = f"count by (instance) (codeblue_check_misses{{{AGENTS}}})"
MEMORY = f"sum by (instance) (process_resident_memory_bytes{{{AGENTS}}})"


def cost_panels() -> list[Panel]:
    return [_cpu(), _cpu_per_run(), _memory(), _memory_per_check(), _descriptors(), _scrape()]


def _cpu() -> Panel:
    return lines(
        "CPU",
        "Cores that the agent uses. Near 1: it can't check more than it does; give it fewer checks or longer "
        "intervals.",
        Query(CPU, EACH_AGENT),
        unit="none",
        red_from=[(0.7, ORANGE), (0.9, RED)],
        span=8,
    )


def _cpu_per_run() -> Panel:
    return lines(
        "CPU per run",
        "CPU time of the whole agent over the runs of checks: with many cheap HTTP checks, a tenth of a millisecond.",
        Query(f"{CPU} / ({RUNS} > 0)", EACH_AGENT),
        unit="s",
        span=8,
    )


def _memory() -> Panel:
    return lines(
        "Memory",
        "Resident memory of the agent. A line that only rises: a leak; restart it and report what it was doing.",
        Query(MEMORY, EACH_AGENT),
        unit="bytes",
        span=8,
    )


def _memory_per_check() -> Panel:
    return lines(
        "Memory per check",
        "Resident memory over the number of checks. With few checks this is the interpreter itself.",
        Query(f"{MEMORY} / {CHECKS}", EACH_AGENT),
        unit="bytes",
        span=8,
    )


def _descriptors() -> Panel:
    used, most = (f"process_{name}_fds{{{AGENTS}}}" for name in ("open", "max"))
    return lines(
        "File descriptors in use",
        "The part of its file descriptors that the agent uses. Red: probes will fail; raise LimitNOFILE in the unit.",
        Query(f"max by (instance) ({used} / {most})", EACH_AGENT),
        unit="percentunit",
        red_from=[(0.6, ORANGE), (0.8, RED)],
        span=8,
    )


def _scrape() -> Panel:
    return lines(
        "Duration of scrapes",
        "How long the agent takes to answer Prometheus. Near the scrape time-out (10 s by default): scrape less often.",
        Query(f"max by (instance) (scrape_duration_seconds{{{AGENTS}}})", EACH_AGENT),
        unit="s",
        red_from=[(2, ORANGE), (5, RED)],
        span=8,
    )
