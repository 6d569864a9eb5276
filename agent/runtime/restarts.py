"""Carries out restarts: each is claimed before it is begun, and begun at most once, ever."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import structlog

from agent.core.commands import Outcome, Restart
from agent.core.events import Input, RestartFinished
from agent.ports import ActionOutcome, Remediator, Store, StoreUnavailable
from agent.runtime.clock import Clock

log = structlog.get_logger()

STALE_ORDER = timedelta(seconds=60)  # an order that could not start within this is no longer what anybody wants
AT_ONCE = 4  # restarts under way at the same time on this host


async def _none(_: Restart) -> str:
    """Nothing speaks against it at the last moment."""
    return ""


async def _nothing(_: Restart, __: ActionOutcome) -> None:
    """Nobody else has to know what became of it."""


class Restarts:
    """Orders under way. One whose claim cannot be noted is not started. `report` hands the core what became of each,
    without what `redact` takes out of texts; `refusal` is asked at the last moment, `settled` is told the end."""

    def __init__(
        self, clock: Clock, store: Store, report: Callable[[str, Input], None], redact: Callable[[str], str]
    ) -> None:
        self.remediators: Mapping[str, Remediator] = {}
        self.refusal: Callable[[Restart], Awaitable[str]] = _none
        self.settled: Callable[[Restart, ActionOutcome], Awaitable[None]] = _nothing
        self.tasks: set[asyncio.Task[None]] = set()
        self._clock = clock
        self._store = store
        self._report = report
        self._redact = redact
        self._awaited: dict[str, asyncio.Future[ActionOutcome]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    def begin(self, order: Restart) -> None:
        task = asyncio.get_running_loop().create_task(self._carry_out(order))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def outcome_of(self, key: str) -> asyncio.Future[ActionOutcome]:
        """What will have become of a restart that is about to be ordered. Cancel it when it is no longer waited for."""
        future = self._awaited[key] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._awaited.pop(key, None))
        return future

    def finished(self, order: Restart, outcome: ActionOutcome) -> None:
        """Tell whoever waits for it, and the core."""
        if (awaited := self._awaited.get(order.key)) is not None and not awaited.done():
            awaited.set_result(outcome)
        self._report(
            order.service,
            RestartFinished(
                at=self._clock.now(),
                key=order.key,
                outcome=outcome.outcome,
                detail=outcome.detail,
                evidence=outcome.evidence,
                action=order.action,
                order=order if order.part_of else None,
            ),
        )

    async def stop(self, grace: float) -> None:
        """Those under way have `grace` seconds to come to their ends."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _carry_out(self, order: Restart) -> None:
        async with self._turn if not order.part_of else nullcontext():  # within the turn of its dependant
            try:
                now = self._clock.now()
                if order.key not in await self._store.claim([order.key], now):
                    if await self._store.outgoing([order.key]):
                        return
                    raise StoreUnavailable("the order itself could not be stored")
                nobody_waits = bool(order.part_of) and order.key not in self._awaited
                outcome = await self._perform(order, expired=nobody_waits or now - order.at > STALE_ORDER)
            except StoreUnavailable as error:
                log.error("restart_not_started", key=order.key, why="its claim cannot be stored", error=str(error))
                outcome = ActionOutcome(outcome=Outcome.FAILED, detail="not started: the store is unavailable")
            outcome = _told(outcome, self._redact)
            try:
                await self._store.settle(order.key, self._clock.now(), outcome=outcome)
            except StoreUnavailable as error:
                log.error("store_unavailable", what="settle", key=order.key, error=str(error))
            await self.settled(order, outcome)
        self.finished(order, outcome)

    async def _perform(self, order: Restart, *, expired: bool) -> ActionOutcome:
        if expired:
            return ActionOutcome(outcome=Outcome.EXPIRED, detail="the order was too old when it could start")
        remediator = self.remediators.get(order.service)
        if remediator is None:
            return ActionOutcome(outcome=Outcome.EXPIRED, detail="config no longer says how to restart it")
        if refused := await self.refusal(order):
            return ActionOutcome(outcome=Outcome.REFUSED, detail=refused)
        log.warning("restart_begins", service=order.service, action=order.action, key=order.key)
        try:
            return await remediator.perform(order)
        except Exception as error:
            log.exception("remediator_crashed", service=order.service, key=order.key)
            return ActionOutcome(outcome=Outcome.FAILED, detail=f"{type(error).__name__}: {error}")


def _told(outcome: ActionOutcome, redact: Callable[[str], str]) -> ActionOutcome:
    evidence = {name: redact(text) for name, text in outcome.evidence.items()}
    return replace(outcome, detail=redact(outcome.detail), evidence=evidence)
