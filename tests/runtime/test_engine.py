"""Observe, decide, commit, tell: one input of a service after another, whatever the store and the clock do."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome
from agent.core.events import Decision, EventKind, NoticeFailed, PolicyChanged, Ticked
from agent.core.result import Verdict
from agent.core.state import Health, Stage
from agent.ports import CheckContext
from agent.stores.memory import MemoryStore
from tests.core.story import START, at
from tests.runtime.engine_world import MISSED, OPENED, RESTART, Moody, down_at, kinds, open_incident, service
from tests.virtual_time import in_virtual_time, virtually
from tests.world import FakeChannel, World


class TestWhatIsDecidedOn:
    def test_a_settled_check_that_passes_reaches_no_decision(self) -> None:
        async def story() -> None:
            store = Moody()
            world = World(service(), store=store)
            await world.boot()
            await world.live(5)
            before = store.commits
            await world.live(3600)
            assert store.commits == before
            await world.die()

        in_virtual_time(story())

    @virtually
    async def test_inputs_of_a_service_are_decided_in_the_order_in_which_they_came(self) -> None:
        async with World(service(restart=None, page=())).alive(5) as world:
            watched = world.engine.table["api"]
            probe = watched.probes["http"]
            ctx = CheckContext("api", "http", 3, None)  # type: ignore[arg-type]
            began = asyncio.get_running_loop().time()
            for result in (
                ctx.failed("refused", "one"),
                ctx.failed("refused", "two"),
                ctx.passed("ok"),
                ctx.passed("ok"),
            ):
                world.engine.observe(probe, result, began)
            await world.engine.quiesce()
            wanted = [MISSED, MISSED, OPENED, EventKind.CHECK_RECOVERED, EventKind.CLOSED]
            assert kinds(world) == wanted

    @virtually
    async def test_an_input_for_a_service_that_is_not_watched_is_dropped(self) -> None:
        async with World(service()).alive() as world:
            world.engine.tell("gone", Ticked(at=at(0)))
            world.engine.tell("gone", NoticeFailed(at=at(0), key="gone/1", reason="auth"))
            await world.engine.quiesce()
            assert "gone" not in world.engine.table

    @virtually
    async def test_a_run_of_a_check_that_config_has_replaced_meanwhile_counts_for_nothing(self) -> None:
        async with World(service()).alive(5) as world:
            probe = world.engine.table["api"].probes["http"]
            ctx = CheckContext("api", "http", 3, None)  # type: ignore[arg-type]
            world.engine.observe(probe, ctx.failed("refused", "queued before"), 0)
            probe.removed = True
            world.engine.observe(probe, ctx.failed("refused", "came after"), 0)
            await world.engine.quiesce()
            assert world.state("api").checks["http"].misses == 0


class TestAStartWithAnOpenIncident:
    def test_a_check_that_config_renamed_while_the_agent_was_dead_keeps_no_incident_open(self) -> None:
        async def story() -> None:
            store = MemoryStore()
            await store.commit("api", 0, Decision(state=open_incident("old-name", Stage.PAGED, page="oncall")))
            world = World(service(), store=store)
            await world.boot()
            await world.live(30)
            assert world.state("api").incident is None
            assert [notice.kind for notice in world.channels["oncall"].sent] == [NoticeKind.RESOLVED]
            await world.die()

        in_virtual_time(story())

    @pytest.mark.parametrize("stage", [Stage.VERIFYING, Stage.WAITING])
    def test_a_service_that_healed_while_the_agent_was_dead_is_not_restarted(self, stage: Stage) -> None:
        async def story() -> None:
            store = MemoryStore()
            await store.commit("api", 0, Decision(state=open_incident("http", stage, until=at(-300))))
            world = World(service(), store=store)
            await world.boot()
            await world.live(30)
            assert world.remediators["api"].orders == []
            assert world.state("api").incident is None
            await world.die()

        in_virtual_time(story())

    def test_one_that_is_still_down_is_restarted_within_seconds_of_the_first_look(self) -> None:
        async def story() -> None:
            store = MemoryStore()
            await store.commit("api", 0, Decision(state=open_incident("http", Stage.VERIFYING, until=at(-300))))
            world = World(service(), store=store)
            world.down.add("api")
            await world.boot()
            await world.live(10)
            assert len(world.remediators["api"].orders) == 1
            await world.die()

        in_virtual_time(story())

    def test_one_that_nobody_could_be_paged_about_is_paged_once_config_names_somebody(self) -> None:
        async def story() -> None:
            store = MemoryStore()
            await store.commit("api", 0, Decision(state=open_incident("http", Stage.WATCHING)))
            world = World(service(restart=None), store=store)
            world.down.add("api")
            await world.boot()
            await world.live(20)
            assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
            await world.die()

        in_virtual_time(story())


class TestReloadOfOneService:
    def test_a_page_list_that_was_empty_at_the_opening_is_used_when_a_reload_fills_it(self) -> None:
        async def story() -> None:
            world = World(service(restart=None, page=()))
            await down_at(world, "api")
            await world.live(30)
            incident = world.state("api").incident
            assert incident is not None
            assert incident.stage is Stage.WATCHING
            world.channels["oncall"] = FakeChannel()
            world.outbox.use({"oncall": (world.channels["oncall"], 25.0)}, world.remediators)
            watched = world.engine.table["api"]
            watched.policy = service(restart=None)
            world.engine.watch(watched)
            await world.live(5)
            assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
            await world.die()

        in_virtual_time(story())

    def test_a_known_service_keeps_its_state_its_version_and_its_spent_budget(self) -> None:
        async def story() -> None:
            world = World(service())
            await down_at(world, "api")
            await world.live(9)
            watched = world.engine.table["api"]
            version, state = watched.version, watched.row.state
            left = world.engine.commits.budget.left(world.clock.now())
            world.engine.watch(watched)
            await world.engine.quiesce()
            assert watched.row.state.incident == state.incident
            assert watched.version >= version
            assert world.engine.commits.budget.left(world.clock.now()) == left
            await world.die()

        in_virtual_time(story())

    def test_a_service_that_is_removed_is_closed_forgotten_and_hears_no_more(self) -> None:
        async def story() -> None:
            world = World(service(restart=None))
            await down_at(world, "api")
            await world.live(20)
            await world.engine.unwatch("api")
            assert "api" not in await world.store.load()
            await world.live(20)
            oncall = world.channels["oncall"]
            assert [n.kind for n in oncall.sent] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
            assert "no longer watched" in oncall.sent[1].title
            await world.die()

        in_virtual_time(story())

    def test_a_service_that_is_removed_while_its_restart_runs_is_not_started_over_and_closes_once(self) -> None:
        async def story() -> None:
            world = World(service())
            world.remediators["api"].takes = 30
            await down_at(world, "api")
            await world.live(9)
            await world.engine.unwatch("api")
            await world.live(60)
            assert len(world.remediators["api"].orders) == 1
            assert world.outbox.restarts.tasks == set()
            row = (await world.store.outgoing([world.remediators["api"].orders[0].key])).popitem()[1]
            assert row.status == "done"
            await world.die()

        in_virtual_time(story())


class TestPromise3WhatNobodyCouldTellBeforeTheStart:
    def test_a_check_that_could_not_tell_when_the_agent_died_pages_nobody_before_it_has_run(self) -> None:
        async def story() -> None:
            world = World(service(unknown_after=timedelta(minutes=1)))
            await world.boot()
            await world.live(15)
            world.verdict["api"] = Verdict.UNKNOWN
            await world.live(20)
            await world.die()
            await asyncio.sleep(600)
            del world.verdict["api"]
            await world.boot()
            world.engine.tick()  # before any check has run
            await world.live(60)
            assert world.channels["oncall"].sent == []
            await world.die()

        in_virtual_time(story())


class TestPromise8AStepOfTheClock:
    @pytest.mark.parametrize("hours", [-3, 3], ids=["back", "forward"])
    def test_what_waits_waits_as_long_as_before(self, hours: int) -> None:
        async def story() -> None:
            world = World(service(restart=replace(RESTART, at_most=1)))
            await down_at(world, "api")
            await world.live(9)  # verifying now, for 20 s
            by = timedelta(hours=hours)
            wall = world.clock._wall
            world.clock._wall = lambda: wall() + by.total_seconds()
            assert world.clock.step() == pytest.approx(by, abs=timedelta(seconds=0.1))
            world.engine.stepped(by)
            await world.live(10)
            assert world.channels["oncall"].sent == []
            await world.live(20)
            assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
            await world.die()

        in_virtual_time(story())

    def test_a_dependant_is_let_go_also_when_the_clock_is_set_back_just_after_its_dependency_recovered(self) -> None:
        async def story() -> None:
            world = World(service("db", restart=None), service("app", depends_on=("db",)))
            await down_at(world, "db", "app")
            await world.live(30)
            world.down = {"app"}
            probe = world.engine.table["app"].probes["http"]
            probe.running = True  # its next run comes after the step
            while world.state("db").health is not Health.UP:
                await world.live(0.1)
            by = timedelta(hours=-1)
            wall = world.clock._wall
            world.clock._wall = lambda: wall() + by.total_seconds()
            world.clock.step()
            world.engine.stepped(by)
            probe.running = False
            await world.live(15)
            assert len(world.remediators["app"].orders) == 1
            await world.die()

        in_virtual_time(story())


def test_a_wake_up_in_the_past_is_answered_with_the_next_round_of_the_loop() -> None:
    async def story() -> None:
        world = World(service(restart=None, remind=timedelta(minutes=10)))
        await down_at(world, "api")
        await world.live(10 * 60 + 20)
        assert len(world.channels["oncall"].keys(NoticeKind.REMINDER)) == 1
        await world.live(10 * 60)
        assert len(world.channels["oncall"].keys(NoticeKind.REMINDER)) == 2
        await world.die()

    in_virtual_time(story())


@virtually
async def test_an_input_that_cannot_be_decided_on_stops_neither_the_service_nor_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with World(service("a", restart=None), service("b", restart=None)).alive(5) as world:
        world.engine.tell("a", "nonsense")  # type: ignore[arg-type]
        await world.engine.quiesce()
        world.down |= {"a", "b"}
        await world.live(20)
        assert {n.service for n in world.channels["oncall"].sent} == {"a", "b"}


def test_a_policy_that_did_not_change_changes_nothing() -> None:
    async def story() -> None:
        world = World(service())
        await down_at(world, "api")
        await world.live(9)
        before = world.state("api")
        world.engine.tell("api", PolicyChanged(at=world.clock.now()))
        await world.engine.quiesce()
        assert world.state("api") is before
        await world.die()

    in_virtual_time(story())


def test_a_restart_of_unknown_outcome_is_reported_once_and_verified() -> None:
    async def story() -> None:
        world = World(service())
        world.remediators["api"].outcome = Outcome.TIMEOUT
        await down_at(world, "api")
        await world.live(120)
        assert len(world.remediators["api"].orders) == 2
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
        assert world.channels["oncall"].sent[0].at > START
        await world.die()

    in_virtual_time(story())
