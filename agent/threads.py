"""Blocking calls in threads of their own, so that one that hangs holds up nobody else."""

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Busy(Exception):
    """As many calls as may hang are hanging already."""


class OwnThreads:
    """Runs blocking calls, each in a daemon thread: not in the pool that the whole process shares, whose few threads
    a black hole would use up, and never waited for when the process ends."""

    def __init__(self, name: str, at_most: int) -> None:
        self._name = name
        self._at_most = at_most
        self._alive = 0

    async def run(self, call: Callable[[], T], timeout: float) -> T:
        """What `call` returns or raises. Raises TimeoutError when it takes more than `timeout` seconds (the thread is
        left behind until it ends by itself), Busy when `at_most` are left behind, and RuntimeError when the system has
        no thread to give."""
        if self._alive >= self._at_most:
            raise Busy(f"{self._alive} calls hang")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            self._alive -= 1
            if done.done():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        Thread(target=_work, args=(call, loop, settle), name=self._name, daemon=True).start()
        self._alive += 1  # `settle` can't have run yet: it waits for this very loop
        async with asyncio.timeout(timeout):
            return await done


def _work(call: Callable[[], Any], loop: asyncio.AbstractEventLoop, settle: Callable[..., None]) -> None:
    result, error = None, None
    try:
        result = call()
    except BaseException as e:  # noqa: BLE001 - it is raised again where it is awaited
        error = e
    try:
        loop.call_soon_threadsafe(settle, result, error)
    except RuntimeError:
        return  # the loop was closed while the call hung: nobody waits any more
