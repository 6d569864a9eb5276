"""The budget that agents on one database share."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.core.events import Decision
from agent.core.model import Outcome, Restart, ServiceState
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


async def store_order(store: Store, one: Restart) -> None:
    stored = (await store.load()).get(one.service)
    state = ServiceState(service=one.service, restarts=(one.at,))
    await store.commit(one.service, stored.version if stored else 0, Decision(state=state, commands=(one,)))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shared.db"


async def test_what_another_agent_on_the_same_database_has_restarted_is_spent_here_too(file: str) -> None:
    here, there = SqlStore(file), SqlStore(file)
    fleet = FleetBudget(at_most=3, per=HOUR)
    await store_order(there, order("other-host-db", 1))
    assert fleet.left(at(2)) == 3
    await fleet.look(here, at(2))
    assert fleet.left(at(2)) == 2
    await here.close()
    await there.close()


async def test_of_two_that_order_at_once_the_one_that_was_stored_later_is_not_begun(file: str) -> None:
    here, there = SqlStore(file), SqlStore(file)
    fleets = {"a": FleetBudget(at_most=2, per=HOUR), "b": FleetBudget(at_most=2, per=HOUR)}
    await store_order(here, order("before", 0))
    for fleet in fleets.values():
        await fleet.look(here, at(1))
        assert fleet.left(at(1)) == 1  # each believes that there is one left
    first, second = order("a", 1), order("b", 1)
    await store_order(here, first)
    await store_order(there, second)
    assert await fleets["a"].refusal(here, first, at(1)) == ""
    assert await fleets["b"].refusal(there, second, at(1)) == (
        "the restart budget of the fleet is used up: 2 of 2 in 1 h"
    )
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
    one = order("a", 0)
    await store_order(store, one)
    await store.claim([one.key], at(1))
    await store.settle(one.key, at(2), outcome=ActionOutcome(outcome=outcome))
    fleet = FleetBudget(at_most=1, per=HOUR)
    await fleet.look(store, at(60))
    assert fleet.left(at(60)) == left
    await store.close()


async def test_the_window_moves_on(file: str) -> None:
    store = SqlStore(file)
    await store_order(store, order("a", 0))
    fleet = FleetBudget(at_most=1, per=HOUR)
    assert [one.service for one in await store.ordered(at(0))] == ["a"]
    assert await store.ordered(at(1)) == []
    late = order("b", 3700)
    await store_order(store, late)
    assert await fleet.refusal(store, late, at(3700)) == ""
    await store.close()


def test_what_a_host_spends_its_fleet_spends_at_once() -> None:
    fleet = FleetBudget(at_most=1, per=HOUR)
    host = HostBudget(5, HOUR, fleet)
    host.spend("a", [at(0)])
    assert (host.left(at(1)), host.left_in_fleet(at(1))) == (4, 0)
    host.give_back("a", [at(0)])
    assert (host.left(at(1)), host.left_in_fleet(at(1))) == (5, 1)


async def test_an_own_order_that_the_database_does_not_have_yet_still_counts() -> None:
    fleet = FleetBudget(at_most=1, per=HOUR)
    fleet.spend("a", [at(0)])
    await fleet.look(MemoryStore(), at(1))
    assert fleet.left(at(1)) == 0


class Away(MemoryStore):
    async def ordered(self, since: object) -> list[Restart]:
        raise StoreUnavailable("locked")


async def test_while_the_database_can_not_be_asked_the_last_answer_stands() -> None:
    store = MemoryStore()
    await store_order(store, order("a", 0))
    fleet = FleetBudget(at_most=2, per=HOUR)
    await fleet.look(store, at(60))
    await fleet.look(Away(), at(61))
    assert fleet.left(at(61)) == 1


async def test_without_a_limit_nothing_is_asked() -> None:
    fleet = FleetBudget(UNLIMITED, HOUR)
    assert await fleet.refusal(Away(), replace(order("a", 0)), at(0)) == ""
    await fleet.look(Away(), at(0))
    assert HostBudget(5, HOUR).left_in_fleet(at(0)) > 100_000
