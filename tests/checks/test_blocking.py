import asyncio
from threading import Event
from time import monotonic

import pytest

from checks.blocking import Stuck, answer


async def test_an_answer_comes_back_from_its_thread() -> None:
    assert await answer("sum", lambda: 1 + 1, 5.0) == 2


async def test_what_the_call_raises_is_raised_even_when_the_kernel_itself_says_timed_out() -> None:
    def call() -> None:
        raise TimeoutError(110, "Connection timed out")

    with pytest.raises(TimeoutError):
        await answer("nfs", call, 5.0)


async def test_a_call_that_hangs_is_stuck_after_the_limit_and_does_not_stop_the_loop() -> None:
    release = Event()
    began = monotonic()
    with pytest.raises(Stuck):
        await answer("hang 1", release.wait, 0.05)
    assert monotonic() - began < 2.0
    release.set()


async def test_the_same_question_is_not_asked_again_while_it_hangs_and_others_are() -> None:
    release, asked = Event(), []

    def hang() -> None:
        asked.append(1)
        release.wait()

    for _ in range(5):
        with pytest.raises(Stuck):
            await answer("hang 2", hang, 0.02)
    assert len(asked) == 1
    assert await answer("other", lambda: "fine", 5.0) == "fine"
    release.set()


async def test_a_question_is_asked_again_once_it_no_longer_hangs() -> None:
    release, gone = Event(), Event()

    def hang() -> str:
        release.wait()
        gone.set()
        return "late"

    with pytest.raises(Stuck):
        await answer("hang 3", hang, 0.02)
    release.set()
    assert await asyncio.to_thread(gone.wait, 5.0)

    async def until_it_answers() -> str:
        while True:
            try:
                return await answer("hang 3", lambda: "again", 5.0)
            except Stuck:
                await asyncio.sleep(0)

    assert await asyncio.wait_for(until_it_answers(), 5.0) == "again"


async def test_a_cancelled_wait_leaves_the_question_hanging() -> None:
    release = Event()
    waiting = asyncio.create_task(answer("hang 4", release.wait, 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(Stuck):
        await answer("hang 4", release.wait, 60.0)
    release.set()
