"""What the agent does for itself between the checks: its pulse, its vitals, flushing, healing, purging."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta

import structlog

from agent.ports import CheckRow, Store, StoreUnavailable, Vitals
from agent.runtime.beats import Beats
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.gate import Gate
from agent.runtime.host_trouble import host_trouble
from agent.runtime.notify import Notifier
from agent.runtime.outbox import Outbox
from agent.runtime.probe import Watched
from agent.runtime.recorder import Recorder
from agent.runtime.scheduler import Scheduler

log = structlog.get_logger()

TICK = 0.2  # seconds between two rounds of the decision loop
ALIVE = "alive_until"  # the store's note of when the agent was last known to live


class Pulse:
    """The decision loop: it wakes the core, watches the clock and its own lag, and feeds systemd's watchdog, so that a
    loop that hangs is a watchdog that starves. `rounds` are called in each round, and may fail;
    `steps` when the clock jumps."""

    def __init__(
        self,
        *,
        clock: Clock,
        gate: Gate,
        engine: Engine,
        scheduler: Scheduler,
        beats: Beats,
        notifier: Notifier,
        rounds: Sequence[Callable[[], None]] = (),
        steps: Sequence[Callable[[timedelta], None]] = (),
    ) -> None:
        self._clock = clock
        self._gate = gate
        self._engine = engine
        self._scheduler = scheduler
        self._beats = beats
        self._notifier = notifier
        self._rounds = rounds
        self._steps = steps

    async def beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self.beat()
            except Exception:
                log.exception("pulse_failed")  # the watchdog was not fed

    def beat(self) -> None:
        """One round."""
        self._gate.beat(TICK)
        by = self._clock.step()
        if by:
            self._clock_stepped(by)
        self._engine.tick()
        for each in self._rounds:
            try:
                each()
            except Exception:
                log.exception("round_failed", what=getattr(each, "__qualname__", ""))
        if self._notifier.watchdog:
            self._notifier.send(WATCHDOG=1)

    def _clock_stepped(self, by: timedelta) -> None:
        log.warning("clock_stepped", seconds=by.total_seconds())
        self._scheduler.realign()
        self._beats.shift(by)
        self._engine.stepped(by)
        for each in self._steps:
            each(by)
        for watched in self._engine.table.values():
            for probe in watched.probes.values():
                probe.since += by.total_seconds()
                if probe.row.at:
                    probe.row.at += by.total_seconds()
                    probe.row.run_since += by.total_seconds()


class Housekeeping:
    """Periodic work around the store. Whatever of it fails is said and tried again the next time."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: Store,
        heal: Callable[[], Awaitable[object]],
        vitals: Vitals,
        beats: Beats,
        recorder: Recorder,
        outbox: Outbox,
        gate: Gate,
        table: Mapping[str, Watched],
        retention: timedelta,
    ) -> None:
        self._clock = clock
        self._store = store
        self._heal = heal
        self._vitals = vitals
        self._beats = beats
        self._recorder = recorder
        self._outbox = outbox
        self._gate = gate
        self._table = table
        self.retention = retention
        self._look_at = float("-inf")

    def look_at_schedule(self) -> None:
        """Whether checks run in time; for every round of the decision loop, which goes on without the scheduler."""
        now = self._clock.monotonic()
        if now >= self._look_at:
            stalled = self._vitals.scheduler_stalled = self._stalled()
            self._look_at = now + (1.0 if stalled else 10.0)  # a freeze that is over is over

    async def every_second(self) -> None:
        self._vitals.oldest_page = self._outbox.lanes.oldest_page()
        await self._gate.look_again()
        await self._heal()
        changed = self._beats.changed()
        try:
            if changed:
                await self._store.save_beats(changed)
            await self._recorder.flush()
        except asyncio.CancelledError:
            self._beats.unsaved(changed)  # the agent stops, and waits no longer: they are saved at the very end
            raise
        except StoreUnavailable as error:
            self._beats.unsaved(changed)
            log.debug("store_unavailable", what="beats", error=str(error))

    async def every_ten_seconds(self) -> None:
        self._vitals.host_trouble = await asyncio.to_thread(host_trouble)
        await self.note_alive()

    async def note_alive(self) -> None:
        """Remember when this agent last lived: heartbeats are granted the time in which nobody could take them."""
        try:
            await self._store.set_note(ALIVE, self._clock.now().isoformat())
        except StoreUnavailable as error:
            log.debug("store_unavailable", what="note", error=str(error))

    async def every_hour(self) -> None:
        """Purge what is older than the retention, in small bites; count the dead letters that are left."""
        before = self._clock.now() - self.retention
        try:
            while await self._store.purge(before):  # noqa: ASYNC110 (a pause between bites, no waiting)
                await asyncio.sleep(0.05)
            self._vitals.dead_letters = len(await self._store.dead_letters())
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="purge", error=str(error))

    async def last(self, rows: Iterable[CheckRow]) -> None:
        """A clean end: nothing that is only in memory is lost."""
        changed = self._beats.changed()
        try:
            if changed:
                await self._store.save_beats(changed)
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="beats", error=str(error))
        await self._recorder.close(rows)
        await self.note_alive()

    def _stalled(self) -> float:
        """Seconds by which the most overdue check exceeds two of its intervals, counted from when it was scheduled; a
        running one is not overdue."""
        now = self._clock.now().timestamp()
        worst = 0.0
        for watched in self._table.values():
            for probe in watched.probes.values():
                late = now - probe.row.at - probe.patience
                if late > worst and not probe.running:
                    worst = max(worst, min(late, now - probe.since - probe.patience))
        return worst
