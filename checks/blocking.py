"""Calls into the kernel that may hang for ever (a dead NFS server), kept away from the event loop.

Each runs in a daemon thread of its own: a hanging one neither fills a shared pool, so that others wait for it, nor
keeps the agent from stopping. As long as one hangs, the same question is not asked again: one thread per question at
most.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """No answer within the time limit, or none yet from an earlier run."""


# Which questions hang is a fact of the process, not of a check's run: it must outlive the run that gave up on it.
_hanging: dict[str, Thread] = {}


async def answer(question: str, call: Callable[[], T], timeout: float) -> T:
    """What `call` returns, or raises, within `timeout` seconds. `question` is what tells it from other calls.

    Raises Stuck when it takes longer, and at once while an earlier call for the same question still hangs.
    """
    earlier = _hanging.pop(question, None)
    if earlier is not None and earlier.is_alive():
        _hanging[question] = earlier
        raise Stuck(question)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def report(setter: Callable[[Any], None], value: object) -> None:
        if not found.done():
            setter(value)

    def ask() -> None:
        setter: Callable[[Any], None] = found.set_result
        value: object
        try:
            value = call()
        except Exception as error:  # noqa: BLE001  (whatever it raised is raised where it is awaited)
            setter, value = found.set_exception, error
        with suppress(RuntimeError):  # the loop was closed while this call hung: nobody is waiting any more
            loop.call_soon_threadsafe(report, setter, value)

    thread = Thread(target=ask, name=f"ask {question}", daemon=True)
    thread.start()
    try:
        await asyncio.wait({found}, timeout=timeout)
    finally:
        if not found.done():
            found.cancel()
            _hanging[question] = thread
    if found.cancelled():
        raise Stuck(question)
    return found.result()
