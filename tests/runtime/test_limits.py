"""Limits make checks late, never wrong, and one host's crowd holds up nobody else."""

import asyncio

from agent.runtime.limits import Limits
from tests.virtual_time import in_virtual_time


def test_the_total_is_never_exceeded_and_everybody_gets_in_at_last() -> None:
    async def story() -> None:
        limits, inside, most, done = Limits(total=5, per_host=5), 0, 0, 0

        async def visit(host: str) -> None:
            nonlocal inside, most, done
            await limits.enter(host)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(1)
            inside -= 1
            done += 1
            limits.leave(host)

        await asyncio.gather(*(visit(f"h{number % 7}") for number in range(100)))
        assert (most, done, limits.inside, limits.waiting) == (5, 100, 0, 0)

    in_virtual_time(story())


def test_a_crowd_at_one_host_does_not_hold_up_another() -> None:
    async def story() -> None:
        limits = Limits(total=10, per_host=2)
        crowd = [asyncio.create_task(limits.enter("slow")) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.wait_for(limits.enter("quick"), timeout=0.001)
        assert (limits.inside, limits.waiting) == (3, 48)
        for task in crowd:
            task.cancel()

    in_virtual_time(story())


def test_a_cancelled_wait_gives_its_turn_up() -> None:
    async def story() -> None:
        limits = Limits(total=1, per_host=1)
        await limits.enter("a")
        first, second = (asyncio.create_task(limits.enter("a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        limits.leave("a")
        await asyncio.wait_for(second, timeout=0.001)
        assert limits.inside == 1

    in_virtual_time(story())


def test_a_turn_that_was_given_and_cancelled_in_the_same_moment_is_not_lost() -> None:
    async def story() -> None:
        limits = Limits(total=1, per_host=1)
        await limits.enter("a")
        waiting = asyncio.create_task(limits.enter("a"))
        await asyncio.sleep(0)
        limits.leave("a")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert limits.inside == 0

    in_virtual_time(story())


def test_more_room_lets_the_waiting_in_at_once() -> None:
    async def story() -> None:
        limits = Limits(total=1, per_host=1)
        await limits.enter("a")
        waiting = [asyncio.create_task(limits.enter(host)) for host in ("b", "c")]
        await asyncio.sleep(0)
        limits.resize(total=3, per_host=1)
        await asyncio.wait_for(asyncio.gather(*waiting), timeout=0.001)

    in_virtual_time(story())
