"""Inputs wait for their service: one is handled at a time, by a task that lives as long as there are any."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from agent.core.events import Input
from agent.runtime.probe import Sighting, Watched

log = structlog.get_logger()

Item = Input | Sighting


class Inboxes:
    """Calls `handle` with each input of a service in the order in which they came, and `lost` when that raised."""

    def __init__(self, handle: Callable[[Watched, Item], Awaitable[None]], lost: Callable[[Watched], None]) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._handle = handle
        self._lost = lost

    def put(self, watched: Watched, item: Item) -> None:
        watched.inbox = (*watched.inbox, item)
        if watched.task is None:
            watched.task = asyncio.get_running_loop().create_task(self._drain(watched))
            self.tasks.add(watched.task)
            watched.task.add_done_callback(self.tasks.discard)

    async def quiesce(self) -> None:
        """Wait until every input that is queued has been handled."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    async def _drain(self, watched: Watched) -> None:
        try:
            while watched.inbox:
                item, watched.inbox = watched.inbox[0], watched.inbox[1:]
                try:
                    await self._handle(watched, item)
                except Exception:
                    log.exception("decision_failed", service=watched.row.name, input=type(item).__name__)
                    self._lost(watched)
        finally:
            watched.task = None
