"""Nights on which a restart would have made it worse, told from start to end on a virtual clock."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from agent.core.commands import NoticeKind, Outcome, Restart
from agent.core.policy import CheckPolicy, GroupRule, Policy, RestartPolicy
from agent.ports import ActionOutcome
from tests.virtual_time import in_virtual_time
from tests.world import FakeRemediator, World

RESTART = RestartPolicy(action="systemd", at_most=3, backoff=timedelta(0), verify=timedelta(minutes=2), jitter=0)


def service(name: str = "api", **more: object) -> Policy:
    base = Policy(service=name, checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",))
    return replace(base, **more)  # type: ignore[arg-type]


class Starting(FakeRemediator):
    """A unit that an operator has just started, as the action sees it: starting for `needs` seconds, then up."""

    def __init__(self, world: World, needs: float) -> None:
        super().__init__()
        self.world = world
        self.needs = needs
        self.up_at = 0.0
        self.restarted = 0

    def start(self) -> None:
        self.up_at = asyncio.get_running_loop().time() + self.needs
        self.world.down.add("api")
        asyncio.get_running_loop().call_later(self.needs, self.world.down.discard, "api")

    async def perform(self, order: Restart) -> ActionOutcome:
        self.orders.append(order)
        if asyncio.get_running_loop().time() < self.up_at:
            return ActionOutcome(outcome=Outcome.LATER, detail="api.service is activating: it is still starting")
        self.restarted += 1
        self.start()
        return ActionOutcome(outcome=Outcome.DONE)


def test_a_service_that_needs_90_s_to_start_is_neither_restarted_nor_paged_while_it_does() -> None:
    async def night() -> None:
        world = World(service())
        world.remediators["api"] = unit = Starting(world, needs=90)
        await world.boot()
        await world.live(15)
        unit.start()  # 00:15 an operator restarts it; 00:20 and 00:22 are missed: the agent looks, and waits
        await world.live(20)
        assert len(unit.orders) == 1
        assert world.state("api").incident is not None
        await world.live(80)  # 01:45 it is up, 01:50 and 01:52 pass
        assert (unit.restarted, len(unit.orders)) == (0, 1)
        assert world.state("api").incident is None
        assert world.state("api").restarts == ()
        assert world.channels["oncall"].sent == []
        await world.die()

    in_virtual_time(night())


def test_a_service_that_is_still_starting_after_its_verify_window_is_paged_and_still_not_restarted() -> None:
    async def night() -> None:
        world = World(service(restart=replace(RESTART, verify=timedelta(seconds=30))))
        world.remediators["api"] = unit = Starting(world, needs=90)
        await world.boot()
        await world.live(15)
        unit.start()
        await world.live(40)
        pages = [notice for notice in world.channels["oncall"].sent if notice.kind is NoticeKind.OPENED]
        assert ["still starting" in page.note for page in pages] == [True]
        await world.live(80)
        assert unit.restarted == 0
        assert len(world.channels["oncall"].keys(NoticeKind.RESOLVED)) == 1
        await world.die()

    in_virtual_time(night())


def test_the_agents_own_restart_of_a_service_that_needs_90_s_is_given_its_time() -> None:
    async def night() -> None:
        world = World(service())
        world.remediators["api"] = unit = Starting(world, needs=90)
        await world.boot()
        await world.live(15)
        world.down.add("api")  # it crashed; 00:22 the agent restarts it, which takes until 01:52
        await world.live(150)
        assert (unit.restarted, len(unit.orders)) == (1, 1)
        assert world.state("api").health == "up"
        assert world.channels["oncall"].sent == []
        await world.die()

    in_virtual_time(night())


def web(number: int) -> Policy:
    return service(f"web-{number}", group="web", restart=replace(RESTART, verify=timedelta(seconds=10)))


def test_the_restarts_of_a_group_are_counted_together_and_over_a_restart_of_the_agent() -> None:
    async def night() -> None:
        world = World(*(web(number) for number in range(1, 5)))
        world.groups = {"web": GroupRule(share=1.0, at_most=2)}
        for name, remediator in world.remediators.items():
            remediator.effect = lambda _, name=name: world.down.discard(name)
        await world.boot()
        await world.live(15)
        for number in range(1, 3):  # two crashes, minutes apart, are healed
            world.down.add(f"web-{number}")
            await world.live(60)
        await world.die()
        await world.boot()  # the host was rebooted: the budget was not
        await world.live(15)
        world.down.add("web-3")
        await world.live(60)
        assert [len(world.remediators[f"web-{number}"].orders) for number in range(1, 4)] == [1, 1, 0]
        pages = [notice for notice in world.channels["oncall"].sent if notice.kind is NoticeKind.OPENED]
        assert ["budget of the group web is used up" in page.note for page in pages] == [True]
        await world.die()

    in_virtual_time(night())
