"""What the agent does for itself between the checks, on a clock that the test moves."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.chores import ALIVE, TICK, Housekeeping, Pulse
from agent.core.commands import Notice, NoticeKind
from agent.core.events import Decision
from agent.core.policy import Policy
from agent.core.state import ServiceState
from agent.ports import ServiceRow, StoreUnavailable, Vitals
from agent.runtime.beats import Beats
from agent.runtime.bus import Bus
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.gate import Gate
from agent.runtime.host_budget import HostBudget
from agent.runtime.notify import Notifier
from agent.runtime.outbox import Outbox
from agent.runtime.probe import Watched
from agent.runtime.recorder import Recorder
from agent.runtime.scheduler import Scheduler
from agent.stores.memory import MemoryStore
from tests.runtime.test_scheduler import probe
from tests.virtual_time import in_virtual_time
from tests.world import Counts

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Moody(MemoryStore):
    """A store that is away while it is told to be."""

    away = False

    async def save_beats(self, beats: Any) -> None:
        self._mind()
        await super().save_beats(beats)

    async def set_note(self, name: str, text: str) -> None:
        self._mind()
        await super().set_note(name, text)

    async def purge(self, before: datetime) -> int:
        self._mind()
        return await super().purge(before)

    def _mind(self) -> None:
        if self.away:
            raise StoreUnavailable("full")


class Told(Notifier):
    """A service manager that remembers."""

    def __init__(self) -> None:
        super().__init__({"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "1000000"})
        self.fed = 0

    def send(self, **fields: str | int) -> None:
        self.fed += "WATCHDOG" in fields


class Bench:
    """All that the chores look after, with real parts and hands for the clock."""

    def __init__(self) -> None:
        self.wall, self.mono = START.timestamp(), 1000.0
        self.clock = Clock(lambda: self.wall, lambda: self.mono)
        self.vitals = Vitals(started=START)
        self.store = Moody()
        self.gate = Gate(self.clock, self.vitals, routes=lambda: self.routed)
        self.routed = True
        self.engine = Engine(
            clock=self.clock,
            store=self.store,
            gate=self.gate,
            bus=Bus(),
            budget=HostBudget(10, timedelta(hours=1)),
            evidence=self._no_evidence,
        )
        self.started: list[str] = []
        self.scheduler = Scheduler(self.clock, lambda each: self.started.append(each.name), lambda *_: None)
        self.beats = Beats(self.clock.now)
        self.notifier = Told()
        self.healed = 0
        self.pulse = Pulse(
            clock=self.clock,
            gate=self.gate,
            engine=self.engine,
            scheduler=self.scheduler,
            beats=self.beats,
            notifier=self.notifier,
        )
        self.chores = Housekeeping(
            clock=self.clock,
            store=self.store,
            heal=self._heal,
            vitals=self.vitals,
            beats=self.beats,
            recorder=Recorder(self.store),
            outbox=Outbox(
                clock=self.clock, store=self.store, vitals=self.vitals, report=self.engine.tell, counts=Counts()
            ),
            gate=self.gate,
            table=self.engine.table,
            retention=timedelta(days=90),
        )

    async def _no_evidence(self, service: str, before: datetime) -> dict[str, str]:
        return {}

    async def _heal(self) -> None:
        self.healed += 1

    def watch(self, *probes: Any) -> None:
        row = ServiceRow(name="api", state=ServiceState(service="api"))
        self.engine.watch(Watched(row=row, policy=Policy(service="api"), probes={p.name: p for p in probes}))
        self.scheduler.add(probes)

    def passes(self, seconds: float, step: float = 0.0) -> None:
        self.mono += seconds
        self.wall += seconds + step


def on(story: Callable[[Bench], Any]) -> None:
    async def run() -> None:
        await story(Bench())

    in_virtual_time(run())


class TestThePulse:
    def test_every_round_feeds_the_watchdog_and_one_that_fails_does_not_and_is_not_the_last(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def story(bench: Bench) -> None:
            tick = bench.engine.tick
            monkeypatch.setattr(bench.engine, "tick", lambda: 1 / 0)
            task = asyncio.create_task(bench.pulse.beat_for_ever())
            await asyncio.sleep(10 * TICK + 0.01)
            assert bench.notifier.fed == 0
            monkeypatch.setattr(bench.engine, "tick", tick)
            await asyncio.sleep(10 * TICK)
            assert bench.notifier.fed == 10
            task.cancel()

        on(story)

    def test_a_step_of_the_clock_moves_the_rows_the_beats_and_the_schedule(self) -> None:
        async def story(bench: Bench) -> None:
            http = probe("http")
            bench.watch(http)
            bench.beats.configure({("api", "worker"): None}, bench.clock.now())
            http.row.at = http.row.run_since = bench.wall
            before = bench.beats.changed()
            bench.pulse.beat()
            bench.passes(0.2, step=-3600)
            bench.pulse.beat()
            assert http.row.at == START.timestamp() - 3600
            assert http.since == START.timestamp() - 3600
            after = bench.beats.changed()
            key = ("api", "worker")
            assert after[key].first_at - before[key].first_at == pytest.approx(
                timedelta(hours=-1), abs=timedelta(seconds=0.001)
            )
            due = bench.scheduler._aps.get_jobs()[0].next_run_time
            assert due - bench.clock.now() <= timedelta(seconds=10)

        on(story)

    def test_a_late_round_is_a_lag_for_ten_seconds(self) -> None:
        async def story(bench: Bench) -> None:
            bench.passes(3.2)
            bench.pulse.beat()
            assert bench.vitals.loop_lag == pytest.approx(3.0)
            for _ in range(60):
                bench.passes(0.2)
                bench.pulse.beat()
            assert bench.vitals.loop_lag == 0.0

        on(story)


class TestStalling:
    """What /readyz and the agent check call a scheduler that stalls."""

    async def _stall(self, bench: Bench) -> float:
        bench.passes(1)
        bench.chores.look_at_schedule()
        return bench.vitals.scheduler_stalled

    def test_a_check_that_has_not_run_for_more_than_two_intervals_stalls(self) -> None:
        async def story(bench: Bench) -> None:
            http = probe("http", 10)
            bench.watch(http)
            bench.passes(21)
            assert await self._stall(bench) == 0
            bench.passes(9)
            assert await self._stall(bench) == pytest.approx(32 - 20 - 3)
            http.row.at = bench.wall
            assert await self._stall(bench) == 0

        on(story)

    def test_one_that_is_running_does_not(self) -> None:
        async def story(bench: Bench) -> None:
            http = probe("http", 10)
            bench.watch(http)
            http.running = True
            bench.passes(300)
            assert await self._stall(bench) == 0

        on(story)

    def test_one_that_a_reload_has_just_added_to_an_old_agent_does_not(self) -> None:
        async def story(bench: Bench) -> None:
            bench.passes(86_400)
            bench.watch(probe("new", 10))
            assert await self._stall(bench) == 0

        on(story)

    def test_nor_one_that_a_reload_made_more_frequent(self) -> None:
        async def story(bench: Bench) -> None:
            before = probe("http", 3600)
            bench.watch(before)
            before.row.at = bench.wall
            bench.passes(3000)
            after = probe("http", 10)
            after.row = before.row
            bench.watch(after)
            assert await self._stall(bench) == 0

        on(story)

    def test_a_step_of_the_clock_does_not_look_like_one(self) -> None:
        async def story(bench: Bench) -> None:
            bench.watch(probe("http", 10))
            bench.passes(1, step=86_400)
            bench.pulse.beat()
            assert await self._stall(bench) == 0

        on(story)


class TestHousekeeping:
    def test_beats_that_could_not_be_saved_are_saved_the_next_time(self) -> None:
        async def story(bench: Bench) -> None:
            bench.beats.configure({("api", "worker"): None}, bench.clock.now())
            bench.store.away = True
            await bench.chores.every_second()
            assert await bench.store.load_beats() == {}
            bench.store.away = False
            await bench.chores.every_second()
            assert set(await bench.store.load_beats()) == {("api", "worker")}
            assert bench.healed == 2

        on(story)

    def test_beats_that_were_being_saved_when_the_agent_stopped_are_saved_at_the_very_end(self) -> None:
        async def story(bench: Bench) -> None:
            bench.beats.configure({("api", "worker"): None}, bench.clock.now())

            async def hangs(_: object) -> None:
                await asyncio.Event().wait()

            with pytest.MonkeyPatch.context() as slow:
                slow.setattr(bench.store, "save_beats", hangs)
                chore = asyncio.ensure_future(bench.chores.every_second())
                await asyncio.sleep(0.01)
                chore.cancel()
                await asyncio.gather(chore, return_exceptions=True)
            await bench.chores.last([])
            assert set(await bench.store.load_beats()) == {("api", "worker")}

        on(story)

    def test_sight_that_was_lost_is_looked_for_every_second(self) -> None:
        async def story(bench: Bench) -> None:
            bench.routed = False
            bench.vitals.blind = "no route"
            bench.passes(2)
            await bench.chores.every_second()
            assert bench.gate.blind
            bench.routed = True
            bench.passes(2)
            await bench.chores.every_second()
            assert bench.gate.blind == ""

        on(story)

    def test_the_agent_notes_until_when_it_lived(self) -> None:
        async def story(bench: Bench) -> None:
            await bench.chores.every_ten_seconds()
            bench.passes(10)
            bench.store.away = True
            await bench.chores.every_ten_seconds()
            assert await bench.store.get_note(ALIVE) == START.isoformat()

        on(story)

    def test_a_purge_goes_on_until_nothing_old_is_left_and_the_dead_letters_are_counted_anew(self) -> None:
        async def story(bench: Bench) -> None:
            letter = Notice(
                key="api-1/oncall/opened/1",
                incident="api-1",
                service="api",
                channel="oncall",
                kind=NoticeKind.OPENED,
                title="",
                summary="",
                at=START,
                opened_at=START,
            )
            await bench.store.commit("api", 0, Decision(state=ServiceState(service="api"), commands=(letter,)))
            await bench.store.bury(letter.key, START, "auth")
            bench.vitals.dead_letters = 1
            await bench.chores.every_hour()
            assert bench.vitals.dead_letters == 1
            bench.passes(91 * 86_400)
            await bench.chores.every_hour()
            assert await bench.store.dead_letters() == []
            assert bench.vitals.dead_letters == 0

        on(story)

    def test_a_store_that_is_away_fails_no_chore(self) -> None:
        async def story(bench: Bench) -> None:
            bench.beats.configure({("api", "worker"): None}, bench.clock.now())
            bench.store.away = True
            await bench.chores.every_second()
            await bench.chores.every_ten_seconds()
            await bench.chores.every_hour()
            await bench.chores.last([])
            bench.store.away = False
            await bench.chores.every_second()

        on(story)
