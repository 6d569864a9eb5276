"""`python -m bench`: everything against everything, or a part of it."""

import argparse
import asyncio
import logging
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import structlog

from bench.decisions import decisions, decisions_table
from bench.heartbeats import heartbeats
from bench.measure import Outcome, Plan, measure
from bench.paging import paging, paging_table
from bench.queues import waits, waits_table
from bench.report import machine, table
from bench.soak.run import Soak, soak
from bench.systems import SYSTEMS
from bench.targets import NGINX

BEATS, DECISIONS, PAGING = "heartbeats", "decisions", "paging"
SOAK = "soak"  # only where it is asked for: it finds faults, and measures nothing
PARTS = (*SYSTEMS, BEATS, DECISIONS, PAGING)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("systems", nargs="*", default=[], help=f"of: {', '.join(PARTS)} (default: all), or {SOAK}")
    parser.add_argument("--targets", nargs="+", type=int, default=[1000, 10_000], help="numbers of targets")
    parser.add_argument("--hanging", nargs="+", type=float, default=[0.0, 0.05], help="parts that never answer")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the window that is measured")
    parser.add_argument("--victims", type=int, default=200, help="targets that are switched off after the window")
    parser.add_argument("--beats", type=float, default=3400.0, help="heartbeats a second, for 10 s")
    parser.add_argument("--alone", type=int, default=200, help="services that fail one after another")
    parser.add_argument("--together", type=int, default=500, help="services that fail in the same moment")
    parser.add_argument("--incidents", type=int, default=1000, help="services that go down within a minute, for paging")
    parser.add_argument("--updates", type=int, default=100_000, help="updates that are queued before the pages")
    parser.add_argument("--pages", type=int, default=50, help="pages behind them, one after another")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a soak")
    parser.add_argument("--seed", type=int, default=1, help="of a soak: the same one breaks the same things")
    parser.add_argument("--keep", type=Path, help="keep configurations and logs in this folder")
    chosen = parser.parse_args(given)
    unknown = [name for name in chosen.systems if name not in (*PARTS, SOAK)]
    if unknown:
        parser.error(f"unknown system {unknown[0]!r}: expected some of {', '.join((*PARTS, SOAK))}")
    chosen.systems = chosen.systems or [*PARTS]
    return chosen


def plans(chosen: argparse.Namespace) -> list[Plan]:
    """Every run that was asked for, smaller ones first."""
    names = [name for name in chosen.systems if name in SYSTEMS]
    return [
        Plan(SYSTEMS[name], count, hanging, chosen.seconds, chosen.victims)
        for count, hanging, name in product(chosen.targets, chosen.hanging, names)
    ]


async def bench(chosen: argparse.Namespace, folder: Path) -> int:
    """Run all plans, say how it goes, and print the tables. Returns how often a soak found a rule broken."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.0f} s] {text}", file=sys.stderr, flush=True)

    todo = plans(chosen)
    outcomes: list[Outcome] = []
    for number, plan in enumerate(todo, 1):
        say(f"{number}/{len(todo)}: {plan.title}")
        place = folder / f"{number:02d}"
        place.mkdir(parents=True)
        outcomes.append(await measure(plan, place, lambda text: say(f"    {text}")))
        await asyncio.sleep(2.0)  # what is left of the connections
    if outcomes:
        print(machine([SYSTEMS[name] for name in chosen.systems if name in SYSTEMS]))
        print(table(outcomes), flush=True)
    if BEATS in chosen.systems:
        say("heartbeats")
        place = folder / BEATS
        place.mkdir(parents=True)
        print(await heartbeats(place, chosen.beats, 10.0))
    if DECISIONS in chosen.systems:
        say("decisions")
        print(decisions_table(await decisions(folder / DECISIONS, chosen.alone, chosen.together)))
    if PAGING in chosen.systems:
        say("paging")
        place = folder / PAGING
        print(waits_table(await waits(place / "queues", chosen.updates, chosen.pages)), flush=True)
        print(paging_table(await paging(place / "slack", chosen.incidents)), flush=True)
    if SOAK not in chosen.systems:
        return 0
    report = await soak(Soak(seed=chosen.seed, seconds=chosen.minutes * 60), folder / SOAK, say)
    print(report, flush=True)
    return report.violations


def main() -> None:
    chosen = arguments()
    # parts of the agent run within this process: its log would stand between the tables
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if chosen.systems != [SOAK] and not Path(NGINX).exists():
        sys.exit(f"{NGINX} is missing: run tests/install-debian-packages bench as root")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="codeblue-bench-"))
    try:
        broken = asyncio.run(bench(chosen, folder.resolve()))
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
