"""Promise 7: what a dependency suppresses is the sending. The state goes on, and is looked at again at the end."""

from dataclasses import replace
from datetime import timedelta

from agent.core.commands import NoticeKind
from agent.core.events import EventKind
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Health, Stage
from tests.core.story import START
from tests.virtual_time import in_virtual_time
from tests.world import World

RESTART = RestartPolicy(action="process", at_most=2, backoff=timedelta(seconds=5), verify=timedelta(seconds=20))


def service(name: str, **more: object) -> Policy:
    base = Policy(service=name, checks={"http": CheckPolicy()}, restart=None, page=("oncall",), notify=("quiet",))
    return replace(base, **more)  # type: ignore[arg-type]


def paged(world: World) -> list[str]:
    return [notice.service for notice in world.channels["oncall"].sent if notice.kind is NoticeKind.OPENED]


async def boot(*policies: Policy) -> World:
    world = World(*policies)
    await world.boot()
    await world.live(15)
    return world


class TestPromise7SuppressingSuppressesOnlyTheSending:
    def test_a_held_service_is_shown_down_with_an_incident_and_a_timeline(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",)))
            world.down |= {"db", "app"}
            await world.live(60)
            app = world.state("app")
            assert app.health is Health.DOWN
            assert app.incident is not None
            assert (app.incident.stage, app.incident.held_by) == (Stage.HELD, ("db",))
            history = [event.kind for event in await world.store.history("app", since=START)]
            assert {EventKind.MISSED, EventKind.OPENED, EventKind.HELD} <= set(history)
            assert paged(world) == ["db"]
            await world.die()

        in_virtual_time(night())

    def test_checks_of_a_held_service_go_on_and_a_second_one_that_fails_joins(self) -> None:
        async def night() -> None:
            world = await boot(
                service("db"), service("app", depends_on=("db",), checks={"http": CheckPolicy(), "tcp": CheckPolicy()})
            )
            world.down |= {"db", "app"}
            await world.live(60)
            incident = world.state("app").incident
            assert incident is not None
            assert set(incident.failing) == {"http", "tcp"}
            await world.die()

        in_virtual_time(night())

    def test_at_the_end_what_is_still_down_is_paged_within_a_check(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",)))
            world.down |= {"db", "app"}
            await world.live(600)
            world.down = {"app"}
            await world.live(25)
            assert paged(world) == ["db", "app"]
            await world.die()

        in_virtual_time(night())

    def test_and_what_is_well_again_is_closed_without_a_word_to_anybody(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",)))
            world.down |= {"db", "app"}
            await world.live(600)
            world.down.clear()
            await world.live(60)
            assert world.state("app").incident is None
            assert {notice.service for notice in world.channels["oncall"].sent} == {"db"}
            await world.die()

        in_virtual_time(night())

    def test_it_holds_down_a_chain_and_only_the_root_is_paged(self) -> None:
        async def night() -> None:
            world = await boot(service("disk"), service("db", depends_on=("disk",)), service("app", depends_on=("db",)))
            world.down |= {"disk", "db", "app"}
            await world.live(120)
            assert paged(world) == ["disk"]
            world.down = {"app"}
            await world.live(40)
            assert paged(world) == ["disk", "app"]
            await world.die()

        in_virtual_time(night())

    def test_a_dependency_that_fails_after_its_dependant_was_paged_takes_nothing_back(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",)))
            world.down.add("app")
            await world.live(30)
            world.down.add("db")
            await world.live(60)
            assert paged(world) == ["app", "db"]
            world.down.clear()
            await world.live(60)
            closed = [n.service for n in world.channels["oncall"].sent if n.kind is NoticeKind.RESOLVED]
            assert sorted(closed) == ["app", "db"]
            await world.die()

        in_virtual_time(night())

    def test_it_survives_a_kill_of_the_agent(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",)))
            world.down |= {"db", "app"}
            await world.live(60)
            await world.die()
            world.down = {"app"}
            await world.boot()
            await world.live(40)
            assert paged(world) == ["db", "app"]
            await world.die()

        in_virtual_time(night())

    def test_a_dependency_that_cannot_be_told_holds_nobody(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",)))
            world.verdict["db"] = Verdict.UNKNOWN
            await world.live(20)
            world.down.add("app")
            await world.live(30)
            assert paged(world) == ["app"]
            await world.die()

        in_virtual_time(night())

    def test_a_restart_that_was_held_back_is_made_when_the_dependency_is_well(self) -> None:
        async def night() -> None:
            world = await boot(service("db"), service("app", depends_on=("db",), restart=RESTART))
            world.remediators["app"].effect = lambda _: world.down.discard("app")
            world.down |= {"db", "app"}
            await world.live(60)
            assert world.remediators["app"].orders == []
            world.down.discard("db")
            await world.live(60)
            assert len(world.remediators["app"].orders) == 1
            assert paged(world) == ["db"]
            await world.die()

        in_virtual_time(night())
