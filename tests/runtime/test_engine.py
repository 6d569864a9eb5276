"""Observe, decide, commit, tell: one input of a service after another, whatever the store and the clock do."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome
from agent.core.events import Decision, EventKind, NoticeFailed, PolicyChanged, Ticked
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Asked, CheckState, Health, Incident, ServiceState, Stage
from agent.ports import CheckContext, ServiceRow, StoreUnavailable, VersionConflict
from agent.runtime.host_budget import HostBudget
from agent.runtime.probe import Watched
from agent.runtime.relations import related
from agent.stores.memory import MemoryStore
from tests.core.story import START, at
from tests.virtual_time import in_virtual_time, virtually
from tests.world import FakeChannel, World

RESTART = RestartPolicy(action="process", at_most=2, backoff=timedelta(seconds=5), verify=timedelta(seconds=20))
MISSED, OPENED = EventKind.MISSED, EventKind.OPENED


def service(name: str = "api", **more: object) -> Policy:
    base = Policy(service=name, checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",))
    return replace(base, **more)  # type: ignore[arg-type]


def kinds(world: World) -> list[EventKind]:
    return [event.kind for event in world.events]


async def down_at(world: World, *names: str) -> None:
    """Boot, a quiet quarter of a minute, and then these are down; the next runs are at second 20."""
    await world.boot()
    await world.live(15)
    world.down |= set(names)


class Moody(MemoryStore):
    """A store that refuses the commits that it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: list[Exception | None] = []
        self.load_mood: Exception | None = None
        self.commits = 0

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        self.commits += 1
        await asyncio.sleep(0.01)
        if self.moods and (mood := self.moods.pop(0)) is not None:
            raise mood
        return await super().commit(service, seen_version, decision)

    async def load(self):  # type: ignore[no-untyped-def]
        if self.load_mood is not None:
            raise self.load_mood
        return await super().load()


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


def open_incident(check: str, stage: Stage, *, page: str = "", until: datetime | None = None) -> ServiceState:
    incident = Incident(
        id="api-1",
        service="api",
        opened_at=at(-600),
        first_miss_at=at(-602),
        check=check,
        reason="refused",
        summary="connection refused",
        stage=stage,
        failing=(check,),
        asked=(Asked(channel=page, key="api-1/oncall/opened/1", at=at(-600), delivered=True),) if page else (),
        until=until,
        notices=1,
    )
    down = CheckState(verdict=Verdict.FAIL, misses=2, down=True, first_miss_at=at(-602), since=at(-602))
    return ServiceState(
        service="api", checks={check: down}, incident=incident, health=Health.DOWN, since=at(-600), wake_at=until
    )


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
