"""How soon a second miss is followed by a decision and a restart: nothing on the way waits, nothing costs much.

Waiting is seen on a virtual clock, on which computing takes no time, and computing as CPU time, which a busy machine
does not stretch much. `python -m bench decisions` measures both together, with a real agent.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from time import process_time

import pytest

from agent.core.events import Event, EventKind
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from tests.virtual_time import in_virtual_time, virtually
from tests.world import World

MANY = 500
BUDGET = 20
LATEST = timedelta(seconds=2)
SECOND_MISS = 20 + 2  # the run at second 20 misses, and the confirming one after 2 s
RESTART = RestartPolicy(action="process", at_most=1, verify=timedelta(seconds=20))
BASE = Policy(service="", checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",))


class Fleet(World):
    """Services whose evidence takes a while, as reading logs and /proc does."""

    def __init__(self, count: int, *, evidence_takes: float = 0.0) -> None:
        super().__init__(*(replace(BASE, service=f"s{number}") for number in range(count)))
        self.evidence_takes = evidence_takes
        for fake in self.remediators.values():
            fake.takes = 0.0

    async def _evidence(self, service: str, before: object) -> Mapping[str, str]:
        if self.evidence_takes:
            await asyncio.sleep(self.evidence_takes)
        return await super()._evidence(service, before)

    async def until_the_second_miss(self, budget: int = BUDGET) -> None:
        await self.boot()
        self.engine.budget(budget, timedelta(hours=1))
        await self.live(15)
        self.down |= set(self.policies)
        await self.live(SECOND_MISS - 15 - 0.01)
        assert not self.seen(EventKind.OPENED)

    def seen(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    def restarted(self) -> int:
        return sum(len(fake.orders) for fake in self.remediators.values())


@pytest.mark.parametrize("evidence_takes", [0.0, 0.3, 1.5], ids=["no evidence", "evidence in 0.3 s", "in 1.5 s"])
def test_five_hundred_in_one_second_are_decided_on_within_two_seconds_and_evidence(evidence_takes: float) -> None:
    async def night() -> None:
        fleet = Fleet(MANY, evidence_takes=evidence_takes)
        await fleet.until_the_second_miss()
        began = fleet.clock.now()
        await fleet.live(evidence_takes + 0.5)
        opened = fleet.seen(EventKind.OPENED)
        assert len(opened) == MANY
        late = max(event.at for event in opened) - began
        assert late < timedelta(seconds=evidence_takes + 0.2), "one's evidence is not waited for by the next"
        assert late < LATEST
        await fleet.die()

    in_virtual_time(night())


def test_five_hundred_in_one_second_are_restarted_within_the_hosts_budget_and_the_rest_are_paged() -> None:
    async def night() -> None:
        fleet = Fleet(MANY)
        await fleet.until_the_second_miss()
        await fleet.live(0.5)
        assert fleet.restarted() == BUDGET
        assert len(fleet.seen(EventKind.PAGED)) == MANY - BUDGET
        await fleet.live(1800)
        assert fleet.restarted() == BUDGET, "the budget's hour is not over"
        assert len(fleet.seen(EventKind.PAGED)) == MANY
        await fleet.die()

    in_virtual_time(night())


def test_five_hundred_decisions_and_restarts_cost_less_cpu_time_than_the_two_seconds_they_may_take() -> None:
    async def night() -> None:
        fleet = Fleet(MANY)
        await fleet.until_the_second_miss(budget=MANY)
        began = process_time()
        await fleet.live(0.5)
        assert process_time() - began < LATEST.total_seconds()
        assert fleet.restarted() == MANY
        await fleet.die()

    in_virtual_time(night())


@pytest.mark.parametrize("evidence_takes", [0.0, 0.3], ids=["no evidence", "evidence in 0.3 s"])
def test_a_restart_begins_as_soon_as_the_evidence_is_there(evidence_takes: float) -> None:
    async def night() -> None:
        fleet = Fleet(1, evidence_takes=evidence_takes)
        begun: list[float] = []
        loop = asyncio.get_running_loop()
        fleet.remediators["s0"].effect = lambda _: begun.append(loop.time())
        await fleet.until_the_second_miss()
        second_miss = loop.time() + 0.01
        await fleet.live(5)
        assert begun == [pytest.approx(second_miss + evidence_takes, abs=0.02)], "nothing is polled for on the way"
        await fleet.die()

    in_virtual_time(night())


@virtually
async def test_inputs_by_the_thousand_leave_nothing_behind() -> None:
    """Ten nights on which everything fails and comes back: what waits, what is ours, what is under way."""
    async with Fleet(100).alive() as fleet:
        for _ in range(10):
            fleet.down |= set(fleet.policies)
            await fleet.live(60)
            fleet.down.clear()
            await fleet.live(120)
        assert len(fleet.seen(EventKind.CLOSED)) == 1000
        assert all(not watched.inbox and watched.task is None for watched in fleet.engine.table.values())
        assert fleet.engine.wakes.waiting == {}
        assert fleet.engine.inboxes.tasks == set()
        assert fleet.outbox.lanes.waiting() == 0
        assert fleet.outbox.restarts.tasks == set()
        assert fleet.outbox.notices.ours == set()
        largest = max(len(state.restarts) + len(state.checks) for state in map(fleet.state, fleet.policies))
        assert largest <= 2, "its one check and its one restart of the hour"
