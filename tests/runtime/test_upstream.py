"""What is upstream of a service: asked first, and what waits for the answer."""

import asyncio
from dataclasses import replace

from agent.core.state import Health
from agent.ports import CheckContext
from agent.runtime.relations import related
from tests.runtime.engine_world import down_at, service
from tests.virtual_time import in_virtual_time, virtually
from tests.world import World


class TestPromise3ParentsAreAskedFirst:
    def test_a_dependency_is_looked_at_on_the_first_miss_and_not_waited_for_longer_than_it_takes(self) -> None:
        async def story() -> None:
            world = World(service("db"), service("app", depends_on=("db",)))
            await down_at(world, "app")
            await world.live(5.1)
            db = world.engine.table["db"]
            assert world.state("app").health is Health.SUSPECT
            assert db.being_looked_at == set(), "it answered at once"
            assert db.probes["http"].settled
            await world.live(2.5)
            assert len(world.remediators["app"].orders) == 1, "two seconds after the first miss, no later"
            await world.die()

        in_virtual_time(story())

    def test_a_dependency_that_died_unseen_is_found_before_its_dependant_is_blamed(self) -> None:
        async def story() -> None:
            world = World(service("db", restart=None), service("app", depends_on=("db",)))
            world.policies = {"app": world.policies["app"], "db": world.policies["db"]}  # the app is checked first
            await down_at(world, "app", "db")
            await world.live(60)
            assert world.remediators["app"].orders == []
            assert {notice.service for notice in world.channels["oncall"].sent} == {"db"}
            await world.die()

        in_virtual_time(story())

    @virtually
    async def test_a_look_that_never_ends_is_waited_for_no_longer_than_its_timeout(self) -> None:
        async with World(service("db"), service("app", depends_on=("db",))).alive(15) as world:
            world.engine.table["db"].probes["http"].running = True  # hangs
            world.down.add("app")
            await world.live(8)
            assert world.engine.table["db"].being_looked_at
            assert world.remediators["app"].orders == []
            await world.live(6)
            assert not world.engine.table["db"].being_looked_at
            assert len(world.remediators["app"].orders) == 1

    @virtually
    async def test_a_run_that_was_under_way_already_is_no_look_at_what_is_now(self) -> None:
        async with World(service("db", restart=None), service("app", depends_on=("db",))).alive(15) as world:
            probe = world.engine.table["db"].probes["http"]
            probe.running, began = True, asyncio.get_running_loop().time()
            world.down.update({"app", "db"})  # as soon as that run has seen that all is well
            while world.state("app").health is not Health.SUSPECT:
                await world.live(0.1)
            probe.running = False
            ctx = CheckContext("db", "http", 3, None)  # type: ignore[arg-type]
            world.engine.observe(probe, ctx.passed("ok"), began)
            await world.live(1)
            assert world.state("db").health is Health.SUSPECT, "it was looked at once more"
            await world.live(60)
            assert world.remediators["app"].orders == []

    def test_relations_reach_near_and_far_and_a_cycle_ends(self) -> None:
        found = related({"web": ("api",), "api": ("db",), "db": (), "a": ("b",), "b": ("a",)})
        assert found["web"] == (("api", "db"), ())
        assert found["db"] == ((), ("web", "api"))
        assert found["a"] == (("b",), ("b",))


class TestPromise3WhileADecisionIsPendingEveryMissIsDoubted:
    def test_the_network_is_lost_after_the_restart_and_no_second_restart_is_ordered(self) -> None:
        async def story() -> None:
            world = World(service())
            await world.boot()
            watched = world.engine.table["api"]
            watched.remote = True
            for probe in watched.probes.values():
                probe.type = replace(probe.type, local=False)
                run = probe.type.run

                async def remote(options, context, run=run):  # type: ignore[no-untyped-def]
                    return replace(await run(options, context), target="192.0.2.1")

                probe.type = replace(probe.type, run=remote)
            await world.live(15)
            world.down.add("api")
            await world.live(9)
            assert len(world.remediators["api"].orders) == 1
            world.gate._routes = lambda: False
            await world.live(300)
            assert len(world.remediators["api"].orders) == 1
            assert world.channels["oncall"].sent == []
            world.gate._routes = lambda: True
            world.gate._vitals.blind = ""
            await world.live(60)
            assert len(world.remediators["api"].orders) == 2
            await world.die()

        in_virtual_time(story())
