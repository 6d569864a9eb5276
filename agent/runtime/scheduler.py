"""When checks run: APScheduler fires slots, not checks. A slot is every check with the same interval and phase."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from agent.core.schedule import SLOT, phase
from agent.runtime.calendar import CronSlots
from agent.runtime.clock import Clock
from agent.runtime.grid import Grid
from agent.runtime.probe import Probe

AT_ONCE = 25  # checks of a slot that start together: in a larger burst each would measure its wait for the others too
FIRST_ROUND = timedelta(seconds=10)  # after a start or a reload every new check has run once within this


class Slot:
    """All checks that share an interval and a phase; fired as one APScheduler job."""

    __slots__ = ("every", "last", "phase", "probes")

    def __init__(self, every: timedelta, offset: timedelta) -> None:
        self.every = every.total_seconds()
        self.phase = offset.total_seconds()
        self.probes: list[Probe] = []
        self.last = float("-inf")  # monotonic time of the last firing

    def lateness(self, wall: float, monotonic: float) -> float:
        """Seconds since this slot was due: by the wall's grid, or by its own stretched interval if that is more."""
        behind = (wall - self.phase) % self.every
        if behind > self.every / 2:
            behind = 0.0  # a hair early, by the slewing of the clock
        return max(behind, monotonic - self.last - self.every if self.last > 0 else 0.0)


class Scheduler:
    """Runs every probe on its cadence by calling `start`, and reports each slot's lateness.

    A slot's moments lie on a grid of the wall clock that is stable over restarts and reloads. A step of that clock,
    or a suspend, is answered by `realign`: no slot stops, and none fires twice within a quarter of its interval.
    """

    def __init__(self, clock: Clock, start: Callable[[Probe], None], late: Callable[[float, int], None]) -> None:
        self._clock = clock
        self._start = start
        self._late = late
        logger = logging.getLogger("codeblue.schedule")
        logger.setLevel(logging.ERROR)  # a chore that takes longer than its interval is late, as it may be
        self._aps = AsyncIOScheduler(
            logger=logger, timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 3}
        )
        self._slots: dict[tuple[timedelta, timedelta], Slot] = {}
        self._crons: dict[str, Probe] = {}
        self._first: set[asyncio.TimerHandle] = set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._stopping = False

    def start(self) -> None:
        self._aps.start()

    async def stop(self, grace: float = 0.0) -> None:
        """Fire nothing more. What was fired, chores above all, has `grace` seconds to come to its end."""
        for handle in self._first:
            handle.cancel()
        if not self._aps.running:
            return
        self._stopping = True
        self._aps.pause()
        await asyncio.sleep(0)  # what was fired in this very moment begins
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=grace)
        self._aps.shutdown(wait=False)

    def add_chore(self, name: str, every: timedelta, chore: Callable[[], Awaitable[object]]) -> None:
        """An ordinary periodic job beside the checks: retention, flushing. One at a time, late rather than never."""
        self._aps.add_job(self._to_its_end(chore), Grid(every), id=f"chore/{name}", name=name, max_instances=1)

    def add(self, probes: Iterable[Probe]) -> None:
        """Begin to run these. One whose first slot is far away runs once soon, spread like all others."""
        now = self._clock.now().timestamp()
        for probe in probes:
            probe.since = now
            if probe.cron is not None:
                self._add_cron(probe)
            elif probe.every is not None:
                self._add_to_slot(probe, probe.every)
                self._first_run(probe, probe.every)

    def remove(self, probes: Iterable[Probe]) -> None:
        for probe in probes:
            if self._crons.pop(probe.key, None) is not None:
                self._aps.remove_job(f"cron/{probe.key}")
            elif probe.every is not None:
                self._remove_from_slot(probe, probe.every)

    def realign(self) -> None:
        """Recompute every next moment from the clock as it is now."""
        now = self._clock.now()
        for job in self._aps.get_jobs():
            job.modify(next_run_time=job.trigger.get_next_fire_time(None, now))

    def _add_to_slot(self, probe: Probe, every: timedelta) -> None:
        offset = phase(probe.key, every)
        slot = self._slots.get((every, offset))
        if slot is None:
            slot = self._slots[every, offset] = Slot(every, offset)
            self._aps.add_job(self._to_its_end(self._fire), Grid(every, offset), args=[slot], id=_job_id(slot))
        slot.probes.append(probe)

    def _remove_from_slot(self, probe: Probe, every: timedelta) -> None:
        found = every, phase(probe.key, every)
        slot = self._slots.get(found)
        if slot is None or probe not in slot.probes:
            return
        slot.probes.remove(probe)
        if not slot.probes:
            del self._slots[found]
            self._aps.remove_job(_job_id(slot))

    def _add_cron(self, probe: Probe) -> None:
        expression, zone = probe.cron or ("", "UTC")
        self._aps.add_job(
            self._to_its_end(self._fire_cron), CronSlots(expression, zone), args=[probe], id=f"cron/{probe.key}"
        )
        self._crons[probe.key] = probe

    def _first_run(self, probe: Probe, every: timedelta) -> None:
        if every <= FIRST_ROUND:
            return
        loop = asyncio.get_running_loop()
        delay = phase(probe.key, FIRST_ROUND).total_seconds()

        def run() -> None:
            self._first.discard(handle)
            if not probe.removed:
                self._start(probe)

        handle = loop.call_later(delay, run)
        self._first.add(handle)

    def _to_its_end(self, work: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
        """The same, known while it is under way. That it is cut off by `stop` is no failure."""

        async def run(*arguments: object) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._under_way.add(task)
            try:
                await work(*arguments)
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
            finally:
                self._under_way.discard(task)

        return run

    async def _fire(self, slot: Slot) -> None:
        monotonic = self._clock.monotonic()
        if monotonic - slot.last < slot.every / 4:
            return  # the clock stepped: it has run a moment ago
        self._late(slot.lateness(self._clock.now().timestamp(), monotonic), len(slot.probes))
        slot.last = monotonic
        start = self._start
        probes = tuple(slot.probes)
        for begin in range(0, len(probes), AT_ONCE):
            if begin:
                await asyncio.sleep(SLOT.total_seconds() * AT_ONCE / len(probes))
            for probe in probes[begin : begin + AT_ONCE]:
                start(probe)

    async def _fire_cron(self, probe: Probe) -> None:
        self._start(probe)


def _job_id(slot: Slot) -> str:
    return f"slot/{slot.every!r}/{slot.phase!r}"
