"""Replicas that are taken out for their restart: put back when they are well, or given up, and by the next agent."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from agent.core.commands import Outcome
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.ports import NotDrained, StoreUnavailable
from agent.runtime.drains import NOTE, Hook
from agent.stores.memory import MemoryStore
from tests.virtual_time import in_virtual_time
from tests.world import World

RESTART = RestartPolicy(action="systemd", at_most=1, backoff=timedelta(0), verify=timedelta(seconds=20), jitter=0)


def service(name: str = "web-1") -> Policy:
    return Policy(service=name, checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",))


@dataclass
class FakeDrain:
    """A place in a balancer that outlives agents. `refuses` is why it can't be put back just now."""

    out: bool = False
    by_hand: str = ""
    refuses: str = ""
    said: list[str] = field(default_factory=list)

    async def held(self) -> str:
        return self.by_hand

    async def drain(self) -> str:
        self.said.append("drain")
        self.out = True
        await asyncio.sleep(1)
        return "drained"

    async def undrain(self) -> str:
        self.said.append("undrain")
        if self.refuses:
            raise NotDrained(self.refuses)
        self.out = False
        return "back"


def world(drain: FakeDrain, *, stays_out: bool = False, store: MemoryStore | None = None) -> World:
    made = World(service(), store=store)
    made.hooks = {"web-1": Hook(drain, stays_out)}
    return made


async def goes_down(here: World, seconds: float) -> None:
    """It was well for a while, then the first replica fails, and that long ago."""
    await here.boot()
    await here.live(15)
    here.down.add("web-1")
    await here.live(seconds)


def night(story: Callable[[], Coroutine[None, None, None]]) -> None:
    in_virtual_time(story())


def test_it_is_out_while_it_is_restarted_and_verified_and_back_when_its_checks_pass() -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = world(drain)
        out_at_restart = []
        here.remediators["web-1"].effect = lambda _: (out_at_restart.append(drain.out), here.down.clear())  # type: ignore[func-returns-value]
        await here.boot()
        await here.live(15)
        here.down.add("web-1")
        await here.live(8.5)  # 00:20 and 00:22 are missed: it is drained for a second, and restarted
        assert drain.out
        await here.live(20)
        assert out_at_restart == [True]
        assert drain.said == ["drain", "undrain"]
        assert await here.store.get_note(NOTE) == "{}"
        await here.die()

    night(story)


@pytest.mark.parametrize(
    ("stays_out", "said"),
    [
        pytest.param(False, ["drain", "undrain"], id="undrain: the balancer's own checks judge it from here on"),
        pytest.param(True, ["drain"], id="leave: it stays out until it is well"),
    ],
)
def test_one_that_no_restart_heals_is_put_back_or_left_out_as_config_says(stays_out: bool, said: list[str]) -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = world(drain, stays_out=stays_out)
        await goes_down(here, 60)
        assert [page.evidence["drain"] for page in here.channels["oncall"].sent] == ["drained"]
        assert drain.said == said
        here.down.clear()
        await here.live(30)
        assert not drain.out
        await here.die()

    night(story)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(7.6, id="killed while it is drained, before the restart"),
        pytest.param(8.3, id="killed in the restart"),
        pytest.param(12.0, id="killed while it is verified"),
    ],
)
def test_an_agent_that_is_killed_in_between_leaves_the_debt_to_the_next_one(seconds: float) -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = world(drain)
        await goes_down(here, seconds)
        assert drain.out
        await here.die()
        here.down.clear()  # whatever became of it: it is well when the next agent comes
        await here.live(5)
        assert drain.out
        await here.boot()
        await here.live(60)
        assert not drain.out
        assert await here.store.get_note(NOTE) == "{}"
        await here.die()

    night(story)


def test_what_an_operator_took_out_is_neither_drained_nor_put_back_and_is_restarted_all_the_same() -> None:
    async def story() -> None:
        drain = FakeDrain(out=True, by_hand="web/web-1 is in maintenance by somebody's command")
        here = world(drain)
        here.remediators["web-1"].effect = lambda _: here.down.clear()
        await goes_down(here, 60)
        assert len(here.remediators["web-1"].orders) == 1
        assert (drain.said, drain.out) == ([], True)
        await here.die()

    night(story)


def test_a_balancer_that_does_not_put_it_back_is_asked_again_and_again_and_becomes_the_agents_trouble() -> None:
    async def story() -> None:
        drain = FakeDrain(refuses="HAProxy can't be asked")
        here = world(drain)
        here.remediators["web-1"].effect = lambda _: here.down.clear()
        await goes_down(here, 60)
        assert drain.out
        assert here.drains.trouble() == ""
        await here.live(60)
        assert here.drains.trouble() == "web-1 (HAProxy can't be asked)"
        drain.refuses = ""
        await here.live(40)
        assert (drain.out, here.drains.trouble()) == (False, "")
        await here.die()

    night(story)


def test_a_clock_that_is_set_back_puts_off_nothing() -> None:
    async def story() -> None:
        drain = FakeDrain(refuses="HAProxy can't be asked")
        here = world(drain)
        here.remediators["web-1"].effect = lambda _: here.down.clear()
        await goes_down(here, 90)
        drain.refuses = ""
        here.drains.owed["web-1"].again_at = here.clock.now() + timedelta(hours=2)  # as it was before the step
        await here.live(2)
        assert not drain.out
        await here.die()

    night(story)


def test_a_replica_whose_drain_config_no_longer_names_is_put_back_by_the_one_it_was_taken_out_with() -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = world(drain)
        await goes_down(here, 10)
        assert drain.out
        here.drains.use({})
        here.down.clear()
        await here.live(60)
        assert not drain.out
        await here.die()

    night(story)


def test_one_that_nobody_knows_how_to_put_back_is_said_until_config_names_it_again() -> None:
    async def story() -> None:
        drain = FakeDrain(out=True)
        store = MemoryStore()
        await store.set_note(NOTE, '{"web-1": "2026-03-01T02:00:00+00:00"}')
        here = world(drain, store=store)
        hooks, here.hooks = here.hooks, {}
        await here.boot()
        await here.live(120)
        assert here.drains.trouble() == "web-1 (config no longer says how to put it back)"
        here.drains.use(hooks)
        await here.live(60)
        assert not drain.out
        await here.die()

    night(story)


class Forgetful(MemoryStore):
    async def set_note(self, name: str, text: str) -> None:
        raise StoreUnavailable("full")


def test_nothing_is_drained_that_nobody_would_remember_to_put_back() -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = world(drain, store=Forgetful())
        await goes_down(here, 10)
        assert drain.said == []
        assert len(here.remediators["web-1"].orders) == 1
        await here.die()

    night(story)


def test_a_restart_that_an_action_refuses_puts_it_back() -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = world(drain)
        here.remediators["web-1"].outcome = Outcome.REFUSED
        await goes_down(here, 30)
        assert drain.said == ["drain", "undrain"]
        await here.die()

    night(story)


def test_a_ladder_drains_once_more_for_its_next_step_and_owes_one_undrain() -> None:
    async def story() -> None:
        drain = FakeDrain()
        here = World(replace(service(), restart=replace(RESTART, at_most=2, verify=timedelta(seconds=5))))
        here.hooks = {"web-1": Hook(drain)}
        here.remediators["web-1"].effect = lambda order: here.down.clear() if order.attempt == 2 else None
        await goes_down(here, 60)
        assert drain.said == ["drain", "drain", "undrain"]
        await here.die()

    night(story)
