"""The budget that the agents of a fleet share."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.core.commands import Outcome, Restart
from agent.ports import ActionOutcome, Store, StoreUnavailable
from agent.runtime.fleet_budget import FleetBudget
from agent.runtime.host_budget import UNLIMITED, HostBudget
from agent.stores import MemoryStore, SqlStore
from tests.core.story import at

HOUR = timedelta(hours=1)


def order(service: str, seconds: float) -> Restart:
    return Restart(
        key=f"{service}-{seconds:g}/restart/1", service=service, incident=service, action="x", attempt=1, at=at(seconds)
    )


async def order_in(fleet: FleetBudget, one: Restart, outcome: Outcome = Outcome.DONE) -> None:
    """What an agent does with an order."""
    if not await fleet.refusal(one, one.at):
        await fleet.settled(one, ActionOutcome(outcome=outcome), one.at)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shared.db"


async def test_what_another_agent_of_the_fleet_has_restarted_is_spent_here_too(file: str) -> None:
    here, there = (FleetBudget(3, HOUR, ledger=SqlStore(file), agent=name) for name in ("here", "there"))
    await order_in(there, order("other-host-db", 1))
    assert here.left(at(2)) == 3
    await here.look(at(2))
    assert here.left(at(2)) == 2
    await here.close()
    await there.close()


async def test_of_two_that_order_at_once_the_one_that_was_stored_later_is_not_begun(file: str) -> None:
    here, there = (FleetBudget(2, HOUR, ledger=SqlStore(file), agent=name) for name in ("here", "there"))
    await order_in(here, order("before", 0))
    for fleet in (here, there):
        await fleet.look(at(1))
        assert fleet.left(at(1)) == 1  # each believes that there is one left
    assert await here.refusal(order("web", 1), at(1)) == ""
    assert await there.refusal(order("web", 1), at(1)) == "the restart budget of the fleet is used up: 2 of 2 in 1 h"
    assert await here.refusal(order("web", 1), at(1)) == "", "asked again, the same order is no further one"
    await here.close()
    await there.close()


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        pytest.param(Outcome.DONE, 0, id="a restart that was made counts"),
        pytest.param(Outcome.REFUSED, 1, id="one that an operator's stop forbade does not"),
        pytest.param(Outcome.LATER, 1, id="nor one that was put off"),
        pytest.param(Outcome.EXPIRED, 1, id="nor one that came too late"),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_orders_that_came_to_nothing_cost_nothing(file: str, kind: str, outcome: Outcome, left: int) -> None:
    store: Store = SqlStore(file) if kind == "sqlite" else MemoryStore()
    fleet = FleetBudget(1, HOUR, ledger=store, agent="here")
    await order_in(fleet, order("a", 0), outcome)
    await fleet.look(at(60))
    assert fleet.left(at(60)) == left
    await fleet.close()


async def test_the_window_moves_on_and_what_lies_before_it_is_forgotten(file: str) -> None:
    store = SqlStore(file)
    fleet = FleetBudget(1, HOUR, ledger=store, agent="here")
    await order_in(fleet, order("a", 0))
    assert await fleet.refusal(order("b", 3700), at(3700)) == ""
    assert [one.service for one in await store.ordered(at(0))] == ["a", "b"]
    await fleet.purge(at(3700))
    assert [one.service for one in await store.ordered(at(0))] == ["b"]
    assert await store.load() == {}
    await fleet.close()


def test_what_a_host_spends_its_fleet_spends_at_once() -> None:
    fleet = FleetBudget(at_most=1, per=HOUR)
    host = HostBudget(5, HOUR, fleet)
    host.spend("a", [at(0)])
    assert (host.left(at(1)), host.left_in_fleet(at(1))) == (4, 0)
    host.give_back("a", [at(0)])
    assert (host.left(at(1)), host.left_in_fleet(at(1))) == (5, 1)


async def test_an_own_order_that_the_database_does_not_have_yet_still_counts() -> None:
    fleet = FleetBudget(at_most=1, per=HOUR, ledger=MemoryStore())
    fleet.spend("a", [at(0)])
    await fleet.look(at(1))
    assert fleet.left(at(1)) == 0


class Away(MemoryStore):
    async def ordered(self, since: object) -> list[Restart]:
        raise StoreUnavailable("locked")


async def test_while_the_database_can_not_be_asked_the_last_answer_stands_and_nothing_is_begun() -> None:
    fleet = FleetBudget(at_most=2, per=HOUR, ledger=MemoryStore())
    await order_in(fleet, order("a", 0))
    await fleet.look(at(60))
    fleet.ledger = Away()
    await fleet.look(at(61))
    assert fleet.left(at(61)) == 1
    said = await fleet.refusal(order("b", 61), at(61))
    assert said == "the restart budget of the fleet can't be asked for: locked"


async def test_without_a_limit_nothing_is_asked() -> None:
    fleet = FleetBudget(UNLIMITED, HOUR, ledger=Away())
    assert await fleet.refusal(order("a", 0), at(0)) == ""
    await fleet.look(at(0))
    assert HostBudget(5, HOUR).left_in_fleet(at(0)) > 100_000
