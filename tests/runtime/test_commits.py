"""Commits: versions, a store that is away, and the budgets that are spent with them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind
from agent.core.events import Decision
from agent.core.state import ServiceState, Stage
from agent.ports import ServiceRow, StoreUnavailable, VersionConflict
from agent.runtime.host_budget import HostBudget
from agent.runtime.probe import Watched
from tests.core.story import at
from tests.runtime.engine_world import RESTART, Moody, down_at, service
from tests.virtual_time import in_virtual_time
from tests.world import World


class TestPromise6TheStoreAndTheVersions:
    def test_a_commit_that_the_store_cannot_take_is_decided_on_all_the_same(self) -> None:
        async def story() -> None:
            store = Moody()
            world = World(service(restart=None), store=store)
            await down_at(world, "api")
            store.moods = [StoreUnavailable("full")] * 20
            await world.live(30)
            assert world.state("api").incident is not None
            assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
            await world.die()

        in_virtual_time(story())

    def test_after_a_conflict_the_decision_is_made_anew_on_what_the_other_left(self) -> None:
        async def story() -> None:
            store = Moody()
            world = World(service(restart=None), store=store)
            await down_at(world, "api")
            await world.live(6)
            other = replace(world.state("api"), restarts=(at(1),))
            version = world.engine.table["api"].version
            await store.commit("api", version, Decision(state=other))
            await world.live(5)
            assert world.state("api").restarts == (at(1),)
            assert world.state("api").incident is not None
            assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
            await world.die()

        in_virtual_time(story())

    @pytest.mark.parametrize(
        "load_mood", [None, StoreUnavailable("gone between the two")], ids=["conflict twice", "cannot even be read"]
    )
    def test_an_input_that_is_lost_to_conflicts_does_not_take_the_wake_up_with_it(
        self, load_mood: Exception | None
    ) -> None:
        """The verify window ends in just that moment: without being woken again the service would never be paged."""

        async def story() -> None:
            store = Moody()
            world = World(service(restart=replace(RESTART, at_most=1)), store=store)
            await down_at(world, "api")
            await world.live(9)
            incident = world.state("api").incident
            assert incident is not None
            assert incident.stage is Stage.VERIFYING
            store.moods = [VersionConflict("somebody"), VersionConflict("somebody")]
            store.load_mood = load_mood
            # no run comes to help: only time can
            for probe in world.engine.table["api"].probes.values():
                probe.running = True
            await world.live(22)
            store.load_mood = None
            store.moods.clear()
            await world.live(20)
            assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
            await world.die()

        in_virtual_time(story())

    def test_a_service_is_known_by_its_stored_version_after_a_restart_and_does_not_conflict(self) -> None:
        async def story() -> None:
            store = Moody()
            world = World(service(restart=None), store=store)
            await down_at(world, "api")
            await world.live(20)
            version = world.engine.table["api"].version
            assert version > 0
            await world.die()
            await world.boot()
            assert world.engine.table["api"].version >= version
            world.down.clear()
            await world.live(30)
            assert world.state("api").incident is None
            assert (await store.load())["api"].version == world.engine.table["api"].version
            await world.die()

        in_virtual_time(story())


class TestPromise2TheBudgetOfTheHost:
    def test_it_counts_within_its_window_and_each_restart_once(self) -> None:
        budget = HostBudget(3, timedelta(hours=1))
        budget.spend("a", [at(0), at(10)])
        budget.spend("a", [at(0), at(10)])  # a reload tells it again
        budget.spend("b", [at(10)])  # another service in the same moment is another restart
        assert budget.left(at(20)) == 0
        assert budget.left(at(3601)) == 1
        assert budget.left(at(3611)) == 3

    def test_a_restart_that_never_came_to_be_is_given_back(self) -> None:
        budget = HostBudget(3, timedelta(hours=1))
        budget.spend("a", [at(0)])
        budget.give_back("a", [at(0), at(5)])
        assert budget.left(at(1)) == 3

    def test_a_clock_that_is_set_back_does_not_lengthen_the_window(self) -> None:
        budget = HostBudget(1, timedelta(hours=1))
        budget.spend("a", [at(0)])
        budget.shift(timedelta(hours=-5))
        assert budget.left(at(-5 * 3600 + 3601)) == 1

    def test_it_remembers_no_more_than_it_needs(self) -> None:
        budget = HostBudget(3, timedelta(hours=1))
        for day in range(1000):
            budget.spend("a", [at(day * 86_400.0)])
        assert len(budget._spent) <= 2

    def test_it_holds_over_all_services_and_over_the_agents_life(self) -> None:
        async def story() -> None:
            world = World(*(service(f"s{n}") for n in range(6)))
            await world.boot()
            world.engine.budget(3, timedelta(hours=1))
            await world.live(15)
            world.down |= set(world.policies)
            await world.live(300)
            ordered = sum(len(fake.orders) for fake in world.remediators.values())
            assert ordered == 3
            await world.die()
            await world.boot()
            world.engine.budget(3, timedelta(hours=1))
            world.down.clear()
            await world.live(60)
            world.down |= set(world.policies)
            await world.live(120)
            assert sum(len(fake.orders) for fake in world.remediators.values()) == 3
            await world.die()

        in_virtual_time(story())

    def test_a_restart_that_a_service_no_longer_counts_is_still_counted_for_the_host_after_a_start(self) -> None:
        async def story() -> None:
            quick = replace(RESTART, at_most=1, per=timedelta(minutes=1), verify=timedelta(seconds=5))
            world = World(service(restart=quick))
            world.remediators["api"].effect = lambda _: world.down.clear()
            await down_at(world, "api")
            await world.live(120)
            world.down.add("api")
            await world.live(120)
            assert len(world.remediators["api"].orders) == 2
            await world.die()
            await world.boot()
            world.engine.budget(2, timedelta(hours=1))
            world.down.add("api")
            await world.live(120)
            assert len(world.remediators["api"].orders) == 2
            await world.die()

        in_virtual_time(story())

    def test_an_order_that_expired_costs_the_host_nothing(self) -> None:
        async def story() -> None:
            world = World(service())
            del world.remediators["api"]  # config no longer says how
            await world.boot()
            world.engine.budget(1, timedelta(hours=1))
            await world.live(15)
            world.down.add("api")
            await world.live(9)
            assert world.engine.commits.budget.left(world.clock.now()) == 1 - len(world.state("api").restarts)
            await world.die()

        in_virtual_time(story())


class TestPromise2TheBudgetOfAServiceThatComesBack:
    def test_one_that_config_left_out_for_a_while_has_no_new_budget(self) -> None:
        """Files that are deleted and written anew are seen in between, too."""

        async def story() -> None:
            world = World(service(restart=replace(RESTART, at_most=1)))
            await down_at(world, "api")
            await world.live(40)
            assert len(world.remediators["api"].orders) == 1
            probes = world.engine.table["api"].probes
            await world.engine.unwatch("api")
            fresh = ServiceRow(name="api", state=ServiceState(service="api"))
            world.engine.watch(Watched(row=fresh, policy=world.policies["api"], probes=probes))
            await world.live(40)
            assert len(world.remediators["api"].orders) == 1
            assert "budget" in world.channels["oncall"].sent[-1].note
            await world.die()

        in_virtual_time(story())
