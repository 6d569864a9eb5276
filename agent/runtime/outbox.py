"""Carries out committed commands: notices at least once through a lane per channel, restarts at most once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import structlog

from agent.core.commands import Command, Notice, NoticeKind, Outcome, Restart
from agent.core.events import Input, NoticeDelivered, NoticeFailed, RestartFinished
from agent.core.schedule import LONGEST_WAIT
from agent.core.state import Incident, ServiceState
from agent.ports import (
    ActionOutcome,
    Channel,
    DeliveryError,
    Outgoing,
    Receipt,
    Remediator,
    Repeating,
    Store,
    StoreUnavailable,
    Vitals,
)
from agent.runtime.clock import Clock
from agent.runtime.deliveries import TEST, Deliveries, Trial
from agent.runtime.lane import Lane, LaneCalls, lane_of

log = structlog.get_logger()

STALE_ORDER = timedelta(seconds=60)  # an order that could not start within this is no longer what anybody wants
AT_ONCE = 4  # restarts under way at the same time on this host


class Counts(Protocol):
    """What the outbox tells about each end of a delivery or a restart."""

    def notice(self, channel: str, kind: str, outcome: str) -> None: ...


class Outbox:
    """Everything that leaves the core goes through here, after its commit and never before.

    `report` hands the core what became of its commands, without what `redact` takes out of texts. Whatever the store
    cannot note is still carried out: at worst a notice goes out twice under one key. A restart whose claim cannot be
    noted is not started.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        store: Store,
        vitals: Vitals,
        report: Callable[[str, Input], None],
        counts: Counts,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.remediators: Mapping[str, Remediator] = {}
        self.refusal: Callable[[Restart], Awaitable[str]] = _none
        self.settled: Callable[[Restart, ActionOutcome], Awaitable[None]] = _nothing
        self.refused: Callable[[Notice, DeliveryError], None] = lambda *_: None  # for good, or too often
        self.taken: Callable[[Notice, Receipt], None] = lambda *_: None
        self._clock = clock
        self._store = store
        self._vitals = vitals
        self._report = report
        self._counts = counts
        self._redact = redact
        self._lanes: dict[str, Lane] = {}
        self._ours: set[str] = set()  # notices that the store has as claimed by us
        self._orders: set[asyncio.Task[None]] = set()
        self._awaited: dict[str, asyncio.Future[ActionOutcome]] = {}
        self._stopping = False
        self._turn = asyncio.Semaphore(AT_ONCE)
        self.deliveries = Deliveries(clock.now, lambda channel, outcome: counts.notice(channel, TEST, outcome))
        self._calls = self.deliveries.around(
            LaneCalls(
                claim=self._claim,
                opening=self._opening,
                delivered=self._delivered,
                postponed=self._postponed,
                given_up=self._given_up,
                retracted=self._retracted,
            )
        )

    # ------------------------------------------------------------------------------------------ set up

    def use(self, channels: Mapping[str, tuple[Channel, float]], remediators: Mapping[str, Remediator]) -> None:
        """Take these channels (with their rate per second) and remediators. A channel that config no longer names keeps
        its lane, so that what was asked of it can still be closed."""
        self.remediators = remediators
        for name, (channel, per_second) in channels.items():
            lane = self._lane(name)
            before, lane.channel, lane.pause = lane.channel, channel, 1.0 / per_second
            if before is not channel and isinstance(before, Repeating):
                held = before.release()
                if isinstance(channel, Repeating):
                    channel.resume(held)

    async def recover(self, states: Mapping[str, ServiceState]) -> None:
        """Boot: take up what the last life left in the store."""
        interrupted = await self._store.interrupted()
        for state in states.values():
            if state.incident is not None:
                await self._reconcile(state.incident)
                await self._go_on_repeating(state.incident)
        await self.adopt(interrupted, await self._store.pending())

    async def adopt(self, interrupted: Iterable[Restart], pending: Iterable[Outgoing]) -> None:
        """Interrupted restarts are reported and never run again; notices go on, under their keys."""
        now = self._clock.now()
        for order in interrupted:
            outcome = ActionOutcome(outcome=Outcome.INTERRUPTED, detail="the agent was restarted during it")
            await self._store.settle(order.key, now, outcome=outcome)
            self._finished(order, outcome)
        for outgoing in pending:
            if outgoing.status == "claimed":
                if not await self._store.reclaim(outgoing.command.key, now):
                    continue
                self._ours.add(outgoing.command.key)
            self._offer_again(outgoing)
        self._vitals.dead_letters = len(await self._store.dead_letters())

    async def _reconcile(self, incident: Incident) -> None:
        keys = [asked.key for asked in incident.asked if not asked.delivered and not asked.failed]
        keys += [tried.key for tried in incident.tried if tried.outcome is None]
        for key, outgoing in (await self._store.outgoing(keys)).items():
            if outgoing.status == "done" and isinstance(outgoing.command, Notice):
                self._report(incident.service, NoticeDelivered(at=self._clock.now(), key=key))
            elif outgoing.status == "done" and isinstance(outgoing.command, Restart) and outgoing.outcome:
                self._finished(outgoing.command, outgoing.outcome)
            elif outgoing.status == "dead":
                self._report(incident.service, NoticeFailed(at=self._clock.now(), key=key, reason=outgoing.error))

    async def _go_on_repeating(self, incident: Incident) -> None:
        for asked in incident.asked:
            channel = self._lane(asked.channel).channel
            if isinstance(channel, Repeating):
                opening = await self._store.opening(incident.id, asked.channel)
                channel.resume({f"{incident.id}/{asked.channel}": opening} if opening else {})

    def _offer_again(self, outgoing: Outgoing) -> None:
        if isinstance(outgoing.command, Restart):
            self.offer([outgoing.command])
            return
        now = self._clock.now()
        delay = min(max(outgoing.due_at - now, timedelta(0)), LONGEST_WAIT)
        age = max(now - outgoing.command.at, timedelta(0))
        lane = self._lane(outgoing.command.channel)
        lane.put(outgoing.command, delay=delay.total_seconds(), tries=outgoing.tries, age=age.total_seconds())

    async def replayed(self, keys: Iterable[str]) -> None:
        """Dead letters that a person has made pending again are queued at once."""
        for outgoing in (await self._store.outgoing(list(keys))).values():
            if outgoing.status == "pending":
                self._offer_again(outgoing)
        self._vitals.dead_letters = len(await self._store.dead_letters())

    async def stop(self, grace: float = 3.0) -> None:
        """Let a running restart and a message that is being sent come to their ends, `grace` seconds at most. What is
        left stays in the store for the next life, and so does what is offered from here on."""
        self._stopping = True
        self.deliveries.stop()
        await asyncio.gather(self._stop_orders(grace), *(lane.stop(grace) for lane in self._lanes.values()))

    async def _stop_orders(self, grace: float) -> None:
        if self._orders:
            await asyncio.wait(self._orders, timeout=grace)
        for task in self._orders:
            task.cancel()
        await asyncio.gather(*self._orders, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ from the engine

    def offer(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if self._stopping:
                log.info("left_for_the_next_life", key=command.key)
            elif isinstance(command, Notice):
                self._lane(command.channel).put(command)
            else:
                task = asyncio.get_running_loop().create_task(self._carry_out(command))
                self._orders.add(task)
                task.add_done_callback(self._orders.discard)

    def cancel(self, keys: Iterable[str]) -> None:
        for key in keys:
            for lane in self._lanes.values():
                lane.cancel(key)

    def oldest_page(self) -> float:
        """Age in seconds of the oldest page or reminder that its channel has not taken; 0 when there is none."""
        now = asyncio.get_running_loop().time()
        return max((now - item.since for lane in self._lanes.values() for item in lane.urgent()), default=0.0)

    def waiting(self, channel: str = "") -> int:
        """How many messages have not come to their ends, of all channels or of one."""
        return sum(len(lane) for name, lane in self._lanes.items() if channel in ("", name))

    async def try_out(self, notice: Notice, within: float) -> Trial:
        """Send a test message through its channel's lane, as `Deliveries.send` says."""
        return await self.deliveries.send(self._lane(notice.channel), notice, within)

    def _lane(self, channel: str) -> Lane:
        """The addresses of one configured channel share its lane."""
        name = lane_of(channel)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, None, 25.0, self._calls)
        return lane

    # ------------------------------------------------------------------------------------------ notices

    async def _claim(self, notice: Notice) -> bool:
        if notice.key in self._ours:
            return True
        try:
            ours = await self._store.claim([notice.key], self._clock.now())
            unheard_of = not ours and not await self._store.outgoing([notice.key])  # its commit was refused
        except StoreUnavailable as error:
            log.error("store_unavailable", what="claim", key=notice.key, error=str(error))
            return True
        self._ours |= ours
        return notice.key in ours or unheard_of

    async def _opening(self, notice: Notice) -> Receipt | None:
        if not notice.incident or notice.kind is NoticeKind.OPENED:
            return None
        try:
            return await self._store.opening(notice.incident, notice.channel)
        except StoreUnavailable:
            return None

    async def _delivered(self, notice: Notice, receipt: Receipt, tries: int) -> None:
        self._ours.discard(notice.key)
        log.info("notice_delivered", channel=notice.channel, key=notice.key, kind=notice.kind.value, tries=tries)
        self._counts.notice(lane_of(notice.channel), _kind(notice), "delivered")
        try:
            await self._store.settle(notice.key, self._clock.now(), receipt=receipt)
        except StoreUnavailable as error:
            log.error("store_unavailable", what="settle", key=notice.key, error=str(error))
        self._report(notice.service, NoticeDelivered(at=self._clock.now(), key=notice.key))
        self.taken(notice, receipt)

    async def _postponed(self, notice: Notice, wait: timedelta, error: DeliveryError) -> None:
        self._counts.notice(lane_of(notice.channel), _kind(notice), "retried")
        text = f"{error.reason}: {error}"
        try:
            await self._store.postpone(notice.key, self._clock.now() + wait, text)
            self._ours.discard(notice.key)
        except StoreUnavailable as trouble:
            log.error("store_unavailable", what="postpone", key=notice.key, error=str(trouble))

    async def _given_up(self, notice: Notice, error: DeliveryError) -> None:
        self._ours.discard(notice.key)
        log.error("notice_dead", channel=notice.channel, key=notice.key, reason=error.reason, error=str(error))
        self._counts.notice(lane_of(notice.channel), _kind(notice), "dead")
        now = self._clock.now()
        try:
            if notice.drill:  # the drill itself says that it failed: there is nothing for a person to replay
                await self._store.retract(notice.key, now)
            else:
                self._vitals.dead_letters += 1
                await self._store.bury(notice.key, now, f"{error.reason}: {error}")
        except StoreUnavailable as trouble:
            log.error("store_unavailable", what="bury", key=notice.key, error=str(trouble))
        self._report(notice.service, NoticeFailed(at=self._clock.now(), key=notice.key, reason=error.reason))
        self.refused(notice, error)

    async def _retracted(self, notice: Notice) -> None:
        self._ours.discard(notice.key)
        self._counts.notice(lane_of(notice.channel), _kind(notice), "retracted")
        try:
            await self._store.retract(notice.key, self._clock.now())
        except StoreUnavailable as trouble:
            log.error("store_unavailable", what="retract", key=notice.key, error=str(trouble))

    # ------------------------------------------------------------------------------------------ restarts

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
        self._finished(order, outcome)

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

    def outcome_of(self, key: str) -> asyncio.Future[ActionOutcome]:
        """What will have become of a restart that is about to be ordered. Cancel it when it is no longer waited for."""
        future = self._awaited[key] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._awaited.pop(key, None))
        return future

    def _finished(self, order: Restart, outcome: ActionOutcome) -> None:
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


def _kind(notice: Notice) -> str:
    """As it is counted: drills apart from what is real."""
    return "drill" if notice.drill else notice.kind.value


async def _none(_: Restart) -> str:
    """Nothing speaks against it at the last moment."""
    return ""


async def _nothing(_: Restart, __: ActionOutcome) -> None:
    """Nobody else has to know what became of it."""


def _told(outcome: ActionOutcome, redact: Callable[[str], str]) -> ActionOutcome:
    evidence = {name: redact(text) for name, text in outcome.evidence.items()}
    return replace(outcome, detail=redact(outcome.detail), evidence=evidence)
