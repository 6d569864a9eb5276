import asyncio
import threading

import pytest

from agent.threads import Busy, OwnThreads


async def test_it_returns_what_the_call_returns() -> None:
    assert await OwnThreads("t", at_most=1).run(lambda: 7, 5.0) == 7


async def test_it_raises_what_the_call_raises() -> None:
    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await OwnThreads("t", at_most=1).run(fail, 5.0)


async def test_a_call_that_hangs_is_left_behind_and_counted_until_it_ends() -> None:
    threads, release = OwnThreads("t", at_most=1), threading.Event()
    with pytest.raises(TimeoutError):
        await threads.run(release.wait, 0.02)
    with pytest.raises(Busy):
        await threads.run(lambda: 7, 5.0)
    release.set()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await threads.run(lambda: 7, 5.0) == 7
            except Busy:
                await asyncio.sleep(0)
            else:
                return


async def test_the_threads_never_hold_up_the_end_of_the_process() -> None:
    assert await OwnThreads("named", at_most=1).run(lambda: threading.current_thread().daemon, 5.0)


async def test_a_thread_that_the_system_would_not_give_is_not_counted_as_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = OwnThreads("t", at_most=1)
    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await threads.run(lambda: 7, 5.0)
    assert await threads.run(lambda: 7, 5.0) == 7


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
