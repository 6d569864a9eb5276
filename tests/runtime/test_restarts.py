"""Restarts: claimed before they are begun, and begun at most once, whatever is killed or away."""

import asyncio

import pytest

from agent.core.commands import Outcome, Restart
from agent.core.events import RestartFinished
from agent.ports import ActionOutcome
from agent.runtime.restarts import AT_ONCE, STALE_ORDER
from tests.core.story import START
from tests.runtime.outbox_life import (
    ORDER,
    TRIED,
    Life,
    another,
    lived,
    order,
)
from tests.world import FakeRemediator


class TestPromise6ARestartOverAKill:
    @pytest.mark.parametrize(
        ("reached", "runs", "outcome"),
        [
            pytest.param("committed", 1, Outcome.DONE, id="never begun: it is carried out"),
            pytest.param("claimed", 0, Outcome.INTERRUPTED, id="begun: never again by itself"),
            pytest.param("settled", 0, Outcome.DONE, id="done and not told to the core: told now"),
            pytest.param("cancelled", 0, None, id="taken back"),
        ],
    )
    def test_each_point_has_its_way_on(self, reached: str, runs: int, outcome: Outcome | None) -> None:
        async def story(life: Life) -> None:
            await life.commit(ORDER)
            if reached in ("claimed", "settled"):
                await life.store.claim([ORDER.key], START)
            if reached == "settled":
                await life.store.settle(ORDER.key, START, outcome=ActionOutcome(outcome=Outcome.DONE))
            if reached == "cancelled":
                await life.commit(cancelled=(ORDER.key,))
            for _ in range(2):  # and over a second kill, too
                life = another(life)
                await life.outbox.recover({"api": TRIED})
                await asyncio.sleep(5)
                if outcome is not None:
                    assert [event.outcome for event in life.heard(RestartFinished)] == [outcome]
                else:
                    assert life.heard(RestartFinished) == []
                await life.die()
            assert len(life.remediator.orders) == runs

        lived(story)

    def test_an_order_that_is_too_old_when_it_can_start_is_not_started(self) -> None:
        async def story(life: Life) -> None:
            late = order(age=STALE_ORDER.total_seconds() + 1)
            await life.commit(late)
            await life.outbox.recover({"api": TRIED})
            await asyncio.sleep(1)
            assert life.remediator.orders == []
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.EXPIRED]
            assert (await life.became(late)).status == "done"
            await life.die()

        lived(story)


class TestRestarts:
    def test_only_so_many_are_under_way_at_once_and_the_rest_wait_their_turn(self) -> None:
        async def story(life: Life) -> None:
            slow = {f"s{n}": FakeRemediator(takes=10) for n in range(AT_ONCE + 2)}
            life.outbox.use({}, slow)
            orders = [order(service=name) for name in slow]
            await life.offer(*orders)
            await asyncio.sleep(5)
            assert sum(len(fake.orders) for fake in slow.values()) == AT_ONCE
            await asyncio.sleep(10)
            assert sum(len(fake.orders) for fake in slow.values()) == AT_ONCE + 2
            await life.die()

        lived(story)

    def test_one_that_is_taken_back_while_it_waits_its_turn_is_never_begun(self) -> None:
        async def story(life: Life) -> None:
            slow = {f"s{n}": FakeRemediator(takes=10) for n in range(AT_ONCE + 1)}
            life.outbox.use({}, slow)
            orders = [order(service=name) for name in slow]
            await life.offer(*orders)
            await asyncio.sleep(1)
            await life.commit(cancelled=(orders[-1].key,))
            life.outbox.cancel([orders[-1].key])
            await asyncio.sleep(30)
            assert slow[f"s{AT_ONCE}"].orders == []
            await life.die()

        lived(story)

    def test_a_service_that_config_dropped_meanwhile_is_not_restarted(self) -> None:
        async def story(life: Life) -> None:
            life.outbox.use({}, {})
            await life.offer(ORDER)
            await asyncio.sleep(1)
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.EXPIRED]
            await life.die()

        lived(story)

    def test_a_remediator_that_crashes_is_a_restart_that_failed(self) -> None:
        async def story(life: Life) -> None:
            def crash(_: Restart) -> None:
                raise KeyError("unit")

            life.remediator.effect = crash
            await life.offer(ORDER)
            await asyncio.sleep(1)
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.FAILED]
            outcome = (await life.became(ORDER)).outcome
            assert outcome is not None
            assert "KeyError" in outcome.detail
            await life.die()

        lived(story)

    def test_an_order_is_carried_out_once_however_often_it_is_offered(self) -> None:
        async def story(life: Life) -> None:
            await life.offer(ORDER)
            life.outbox.offer([ORDER, ORDER])
            await life.outbox.adopt([], await life.store.pending())
            await asyncio.sleep(5)
            assert len(life.remediator.orders) == 1
            assert len(life.heard(RestartFinished)) == 1
            await life.die()

        lived(story)
