"""An event loop whose clock jumps: hours of waiting pass in no time, in the right order, without sleeping."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Whenever nothing is ready to run, time moves on to the next timer. Real I/O is not waited for, but for what
    `busy` says: as long as it is true, time stands still."""

    def __init__(self, busy: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._now = 1_000_000.0
        self._busy = busy

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and not self._busy():  # type: ignore[attr-defined]
            waiting = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            self._now = max(self._now, min(waiting, default=self._now))
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(story: Coroutine[Any, Any, T], busy: Callable[[], bool] = lambda: False) -> T:
    """Run a coroutine to its end on a virtual clock, and clean up what it leaves."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(busy)) as runner:
        return runner.run(story)


def virtually(story: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """The same as a function that runs it in virtual time: what stands above a test that is a story."""

    @functools.wraps(story)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return in_virtual_time(story(*args, **kwargs))

    return run
