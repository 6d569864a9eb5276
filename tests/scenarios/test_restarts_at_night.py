"""Nights on which restarts could make it worse, each as the timeline that the agent must have told afterwards."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome, Restart
from agent.core.events import EventKind
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.ports import ActionOutcome
from tests.scenarios.telling import lines, told
from tests.virtual_time import in_virtual_time
from tests.world import FakeRemediator, World

RESTART = RestartPolicy(
    action="command", at_most=3, backoff=timedelta(seconds=5), verify=timedelta(seconds=20), jitter=0.0
)
API = Policy(
    service="api", checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",), flapping=None
)
DECISIONS = (
    EventKind.OPENED,
    EventKind.RESTART_ORDERED,
    EventKind.RESTART_REFUSED,
    EventKind.PAGED,
    EventKind.CLOSED,
)


class Crashing(FakeRemediator):
    """A restart that heals; `lasts` seconds later the service dies again."""

    def __init__(self, world: World, lasts: float) -> None:
        super().__init__(effect=self._heal)
        self._world = world
        self._lasts = lasts

    def _heal(self, order: Restart) -> None:
        self._world.down.discard(order.service)
        asyncio.get_running_loop().call_later(self._lasts, self._world.down.add, order.service)


def test_a_crash_loop_ends_with_one_page_when_the_budget_of_the_hour_is_used_up() -> None:
    """Each restart heals, and a minute later it is down again: every incident for itself would look like a success."""

    async def night() -> None:
        world = World(API)
        world.remediators["api"] = Crashing(world, lasts=60)
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(600)
        assert told(world, DECISIONS) == lines("""
             22 api opened              # down at 20, the second miss at 22
             22 api restart_ordered     # the first of three: healed
             27 api closed
             92 api opened              # dead again after a minute
             92 api restart_ordered
             97 api closed
            162 api opened
            162 api restart_ordered     # the third of three
            167 api closed
            232 api opened
            232 api restart_refused     # no fourth within the hour
            232 api paged
        """)
        oncall = world.channels["oncall"]
        assert len(oncall.keys(NoticeKind.OPENED)) == 1
        assert "3" in oncall.sent[0].note, "the page says how often that was tried"
        await world.die()

    in_virtual_time(night())


def test_an_operator_who_stops_a_unit_is_not_fought_and_costs_no_budget() -> None:
    async def night() -> None:
        world = World(API)
        fake = world.remediators["api"] = FakeRemediator(outcome=Outcome.REFUSED, takes=0.1)
        await world.boot()
        await world.live(15)
        world.down.add("api")  # systemctl stop api
        await world.live(1800)
        world.down.clear()  # systemctl start api
        await world.live(60)
        assert told(world) == lines("""
              20 api missed
              22 api missed
              22 api opened
              22 api restart_ordered
              22 api restart_finished refused     # the unit says that it was stopped by hand
              22 api restart_refused
              22 api paged                        # people are told; nothing is started behind the operator's back
            1822 api closed
        """)
        assert len(fake.orders) == 1
        assert world.state("api").restarts == (), "nothing was done, so nothing was spent"
        assert [notice.kind for notice in world.channels["oncall"].sent] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
        await world.die()

    in_virtual_time(night())


def test_the_disk_fills_while_restarts_are_tried_and_they_end_at_once() -> None:
    async def night() -> None:
        world = World(API)
        trouble = ""
        await world.boot()
        world.engine.contexts.host_trouble = lambda: trouble
        await world.live(15)
        world.down.add("api")
        await world.live(20)
        trouble = "out of disk: / is 99.8 % full, 20 MiB left"
        await world.live(600)
        trouble = ""  # somebody made room
        await world.live(300)
        world.down.clear()  # and started it
        await world.live(60)
        assert told(world, (*DECISIONS, EventKind.VERIFY_FAILED)) == lines("""
             22 api opened
             22 api restart_ordered     # there was still room
             43 api verify_failed
             43 api restart_refused     # no second one: two of its budget are left, but they can't help
             43 api paged
            942 api closed
        """)
        note = world.channels["oncall"].sent[0].note
        assert "99.8 %" in note
        assert "20 MiB" in note
        await world.die()

    in_virtual_time(night())


def test_a_restart_command_that_hangs_is_ended_counts_against_the_budget_and_is_paged() -> None:
    """The real command and its process group are in tests/endtoend/test_hanging_restart.py."""

    async def night() -> None:
        world = World(replace(API, restart=replace(RESTART, at_most=2)))
        world.remediators["api"] = FakeRemediator(outcome=Outcome.TIMEOUT, takes=30)
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(300)
        assert told(world) == lines("""
             20 api missed
             22 api missed
             22 api opened
             22 api restart_ordered
             52 api restart_finished timeout
             52 api restart_ordered            # the backoff of 5 s is over since long
             82 api restart_finished timeout
             82 api restart_refused            # two per hour
             82 api paged
        """)
        await world.die()

    in_virtual_time(night())


@pytest.mark.parametrize(
    ("hanging", "waits"), [(3, 0), (4, 30)], ids=["three hang: no wait", "four hang: theirs to end"]
)
def test_restarts_that_hang_hold_up_another_services_for_their_time_limit_at_most(hanging: int, waits: int) -> None:
    async def night() -> None:
        stuck = [replace(API, service=f"stuck-{number}") for number in range(hanging)]
        world = World(*stuck, replace(API, service="well"))
        for policy in stuck:
            world.remediators[policy.service] = FakeRemediator(outcome=Outcome.TIMEOUT, takes=30)
        begun: list[float] = []
        loop = asyncio.get_running_loop()

        class Noting(FakeRemediator):
            async def perform(self, order: Restart) -> ActionOutcome:
                begun.append(loop.time())
                world.down.discard("well")
                return await super().perform(order)

        world.remediators["well"] = Noting()
        await world.boot()
        await world.live(15)
        world.down |= {policy.service for policy in stuck}
        await world.live(8)
        asked = loop.time()
        world.down.add("well")
        await world.live(60)
        due = asked + (22 + 10 - 23)  # its run at 30 misses, and the confirming one at 32
        began_hanging = asked - 1
        assert begun == [pytest.approx(max(due, began_hanging + waits), abs=0.1)]
        await world.die()

    in_virtual_time(night())


def test_the_agent_is_killed_between_doing_and_noting_and_the_next_life_looks_instead_of_doing_it_again() -> None:
    async def night() -> None:
        world = World(API)
        fake = world.remediators["api"] = FakeRemediator(takes=5)
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(10)  # ordered at 22, done at 27: killed in the middle of it
        assert told(world, DECISIONS) == lines("22 api opened\n22 api restart_ordered")
        await world.die()
        world.down.clear()  # what was done has helped
        await asyncio.sleep(5)
        await world.boot()
        await world.live(60)
        assert told(world) == lines("""
            30 api restart_finished interrupted    # never asked for twice: its checks are looked at
            32 api closed
        """)
        assert len(fake.orders) == 1
        assert world.channels["oncall"].sent == []
        assert world.state("api").incident is None
        await world.die()

    in_virtual_time(night())


def test_ten_replicas_die_at_once_and_the_canarys_failure_is_every_ones_answer() -> None:
    async def night() -> None:
        names = [f"web-{number}" for number in range(10)]
        restart = replace(RESTART, at_most=1)
        world = World(*(replace(API, service=name, group="web", restart=restart) for name in names))
        await world.boot()
        await world.live(15)
        world.down |= set(names)
        await world.live(120)
        tale = told(world, DECISIONS)
        canary = tale[1].split()[1]
        assert tale[:2] == [f"22 {canary} opened", f"22 {canary} restart_ordered"]
        assert [line for line in tale if line.endswith("restart_ordered")] == [f"22 {canary} restart_ordered"]
        paged = [line for line in tale if line.endswith("paged")]
        assert len(paged) == 10
        assert paged[0] == f"43 {canary} paged", "the canary's window of 20 s has ended"
        assert all(int(line.split()[0]) <= 43 + 5 for line in paged), "the others hear of it within one look"
        await world.die()

    in_virtual_time(night())
