"""One run: a system on its targets, from its start over a window of normal work to the detection of victims."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.access_log import AccessLog, Cadence, cadence
from bench.processes import Usage, usage
from bench.systems import EVERY, System
from bench.targets import Hanging, Nginx, Victims, free_port, make_targets
from bench.web import get

SCRAPE_EVERY = 15.0
FIRST_ROUND_LIMIT = 60.0
SETTLE = 15.0  # after the first round, before the window
DETECTION_LIMIT = 60.0
CLOSED_WITHIN = 10.0  # victims are switched off at random moments of this many seconds

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is about."""

    system: type[System]
    count: int
    hanging: float  # part of the targets that never answer
    seconds: float
    victims: int = 30

    @property
    def title(self) -> str:
        return f"{self.system.name}, {self.count} targets" + (f", {self.hanging:.0%} hanging" if self.hanging else "")


@dataclass(slots=True)
class Outcome:
    """What one run gave. Memory in KiB, times in seconds, CPU in milliseconds; None where it did not come to that."""

    plan: Plan
    first_round: float | None = None
    cpu: float = 0.0
    checks: int = 0
    rss: int = 0  # the most seen in the window
    peak: int = 0  # since the start, as the kernel counts it per process
    cadence: Cadence | None = None
    detection: list[float] = field(default_factory=list)
    load: float = 0.0  # the machine's, at the end of the window: what else ran here

    @property
    def cpu_per_check(self) -> float:
        return self.cpu / self.checks if self.checks else float("nan")

    @property
    def detection_median(self) -> float | None:
        return median(self.detection) if self.detection else None


async def measure(plan: Plan, folder: Path, say: Say) -> Outcome:
    """Run it, and leave nothing running whatever happens."""
    ports = (free_port(), free_port(), free_port())
    targets = make_targets(plan.count, plan.hanging, plan.victims, ports)
    nginx, hanging = Nginx(folder, ports[0]), Hanging(folder, ports[1])
    victims = Victims(list(targets.victims), ports[2])
    (folder / "system").mkdir()
    system = plan.system(folder / "system", targets)
    try:
        nginx.start()
        if targets.hanging:
            hanging.start()
        await victims.start()
        system.configure()
        return await _observe(plan, system, AccessLog(nginx.log), victims, say)
    finally:
        await system.stop()
        victims.stop()
        await hanging.stop()
        await nginx.stop()


async def _observe(plan: Plan, system: System, log: AccessLog, victims: Victims, say: Say) -> Outcome:
    outcome = Outcome(plan)
    started = time.time()
    system.start()
    async with _scraped(system):
        outcome.first_round = await _first_round(log, system, started)
        shown = f"{outcome.first_round:.1f} s" if outcome.first_round else f"not within {FIRST_ROUND_LIMIT:.0f} s"
        say(f"first full round: {shown}")
        await asyncio.sleep(SETTLE)
        await _window(outcome, system, log, victims)
        say(f"{outcome.checks} checks, {outcome.cpu_per_check:.3f} ms each, {outcome.rss / 1024:.0f} MiB")
        outcome.detection = await _detect(system, victims, say)
    return outcome


async def _first_round(log: AccessLog, system: System, started: float) -> float | None:
    while time.time() < started + FIRST_ROUND_LIMIT:
        await asyncio.sleep(1.0)
        system.ensure_alive()
        log.read()
        done = log.first_round(system.targets.answering)
        if done is not None:
            return done - started
    return None


async def _window(outcome: Outcome, system: System, log: AccessLog, victims: Victims) -> None:
    """Normal work. Checks of hanging targets cost CPU time too, but only answered ones are counted."""
    begin, before, served = time.time(), usage(system.pids), victims.served.total()
    samples: list[Usage] = [before]
    while time.time() < begin + outcome.plan.seconds:
        await asyncio.sleep(1.0)
        samples.append(usage(system.pids))
    system.ensure_alive()
    end, served = time.time(), victims.served.total() - served
    after = samples[-1]
    await asyncio.sleep(1.5)  # nginx writes its log once a second
    log.read()
    outcome.cadence = cadence(log.hits, begin, end)
    outcome.cpu = after.cpu - before.cpu
    outcome.checks = outcome.cadence.checks + served
    outcome.rss = max(sample.rss for sample in samples)
    outcome.peak = after.peak
    outcome.load = os.getloadavg()[0]


async def _detect(system: System, victims: Victims, say: Say) -> list[float]:
    """Seconds from the moment at which a port began to refuse to the moment at which the system calls it down.
    Victims are switched off one after another, each at a random moment."""
    order = list(system.targets.victims)
    random.shuffle(order)
    begin = time.monotonic()
    due = {host: begin + (number + random.random()) * CLOSED_WITHIN / len(order) for number, host in enumerate(order)}
    closed: dict[str, float] = {}
    found: dict[str, float] = {}
    while len(found) < len(order) and time.monotonic() < begin + CLOSED_WITHIN + DETECTION_LIMIT:
        now = time.monotonic()
        for host, moment in due.items():
            if host not in closed and now >= moment:
                victims.switch_off(host)
                closed[host] = time.monotonic()
        down = await system.down()
        now = time.monotonic()
        for host in closed.keys() & down - found.keys():
            found[host] = now - closed[host]
        await asyncio.sleep(0.1)
    if found:
        say(f"detection of {len(found)} of {len(order)} victims: median {median(found.values()):.1f} s")
    return sorted(found.values())


@asynccontextmanager
async def _scraped(system: System) -> AsyncIterator[None]:
    """Scrape it as Prometheus would, where it has something to scrape."""
    task = asyncio.create_task(_scrape(system.scraped)) if system.scraped else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _scrape(url: str) -> None:
    while True:
        await asyncio.sleep(SCRAPE_EVERY)
        with suppress(OSError):
            await get(url)


__all__ = ["EVERY", "Outcome", "Plan", "measure"]
