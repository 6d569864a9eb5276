"""Reading files of /proc where a read may hang, without the event loop or anything else waiting for it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MOST = 48  # threads at a time, of which some may hang in the kernel for good


class TooMany(Exception):
    """So many earlier looks still hang that no further one is begun."""


_room = threading.Semaphore(MOST)


async def in_background(read: Callable[[], T]) -> T:
    """What a blocking function returns or raises. It runs in a thread of its own which, if it hangs, holds up neither
    others (as in a pool) nor the end of the agent. Raises TooMany. A cancelled call leaves the thread to its end."""
    if not _room.acquire(blocking=False):
        raise TooMany(f"{MOST} earlier looks have not come back")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    try:
        threading.Thread(target=_run, args=(read, loop, answer), name="evidence", daemon=True).start()
    except RuntimeError as error:  # our own lack of threads
        _room.release()
        raise TooMany(str(error)) from None
    return await answer


def _run(read: Callable[[], T], loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[T]") -> None:
    try:
        result = read()
    except Exception as error:  # noqa: BLE001 - passed on to who waits
        _tell(loop, _fail, answer, error)
    else:
        _tell(loop, _settle, answer, result)
    finally:
        _room.release()


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
        loop.call_soon_threadsafe(how, *arguments)


def _settle(answer: "asyncio.Future[T]", result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[T]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
