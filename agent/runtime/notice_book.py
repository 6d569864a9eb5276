"""The bookkeeping of notices: claimed before they are sent, their ends told to store, core and counts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from agent.core.commands import Notice, NoticeKind
from agent.core.events import Input, NoticeDelivered, NoticeFailed
from agent.ports import DeliveryError, Receipt, Store, StoreUnavailable, Vitals
from agent.runtime.clock import Clock
from agent.runtime.lane import LaneCalls, lane_of

log = structlog.get_logger()


class Counts(Protocol):
    """What is told about each end of a delivery."""

    def notice(self, channel: str, kind: str, outcome: str) -> None: ...


class NoticeBook:
    """What lanes ask and tell (`calls`). Whatever the store cannot note is still sent: at worst twice under one key.
    `report` hands the core what became of a notice; `refused` and `taken` are for whoever minds the channels."""

    def __init__(
        self, clock: Clock, store: Store, vitals: Vitals, report: Callable[[str, Input], None], counts: Counts
    ) -> None:
        self.refused: Callable[[Notice, DeliveryError], None] = lambda *_: None  # for good, or too often
        self.taken: Callable[[Notice, Receipt], None] = lambda *_: None
        self.calls = LaneCalls(
            claim=self._claim,
            opening=self._opening,
            delivered=self._delivered,
            postponed=self._postponed,
            given_up=self._given_up,
            retracted=self._retracted,
        )
        self.ours: set[str] = set()  # notices that the store has as claimed by us
        self._clock = clock
        self._store = store
        self._vitals = vitals
        self._report = report
        self._counts = counts

    async def _claim(self, notice: Notice) -> bool:
        if notice.key in self.ours:
            return True
        try:
            ours = await self._store.claim([notice.key], self._clock.now())
            unheard_of = not ours and not await self._store.outgoing([notice.key])  # its commit was refused
        except StoreUnavailable as error:
            log.error("store_unavailable", what="claim", key=notice.key, error=str(error))
            return True
        self.ours |= ours
        return notice.key in ours or unheard_of

    async def _opening(self, notice: Notice) -> Receipt | None:
        if not notice.incident or notice.kind is NoticeKind.OPENED:
            return None
        try:
            return await self._store.opening(notice.incident, notice.channel)
        except StoreUnavailable:
            return None

    async def _delivered(self, notice: Notice, receipt: Receipt, tries: int) -> None:
        self.ours.discard(notice.key)
        log.info("notice_delivered", channel=notice.channel, key=notice.key, kind=notice.kind.value, tries=tries)
        self._count(notice, "delivered")
        try:
            await self._store.settle(notice.key, self._clock.now(), receipt=receipt)
        except StoreUnavailable as error:
            log.error("store_unavailable", what="settle", key=notice.key, error=str(error))
        self._report(notice.service, NoticeDelivered(at=self._clock.now(), key=notice.key))
        self.taken(notice, receipt)

    async def _postponed(self, notice: Notice, wait: timedelta, error: DeliveryError) -> None:
        self._count(notice, "retried")
        text = f"{error.reason}: {error}"
        try:
            await self._store.postpone(notice.key, self._clock.now() + wait, text)
            self.ours.discard(notice.key)
        except StoreUnavailable as trouble:
            log.error("store_unavailable", what="postpone", key=notice.key, error=str(trouble))

    async def _given_up(self, notice: Notice, error: DeliveryError) -> None:
        self.ours.discard(notice.key)
        log.error("notice_dead", channel=notice.channel, key=notice.key, reason=error.reason, error=str(error))
        self._count(notice, "dead")
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
        self.ours.discard(notice.key)
        self._count(notice, "retracted")
        try:
            await self._store.retract(notice.key, self._clock.now())
        except StoreUnavailable as trouble:
            log.error("store_unavailable", what="retract", key=notice.key, error=str(trouble))

    def _count(self, notice: Notice, outcome: str) -> None:
        """Drills apart from what is real."""
        self._counts.notice(lane_of(notice.channel), "drill" if notice.drill else notice.kind.value, outcome)
