"""One channel's lane: urgent first, at the channel's pace, a few at a time, and never in another channel's way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from agent.core.commands import Notice
from agent.core.notices import UNDELIVERED
from agent.core.schedule import MAX_TRIES, delay_before_try
from agent.ports import Channel, DeliveryError, Receipt
from agent.runtime.queue import Item, Queue

log = structlog.get_logger()

SEND_TIMEOUT = 30.0
AT_ONCE = 6  # messages under way at the same time; the last place is kept for pages and reminders


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCalls:
    """What a lane tells its outbox. `claim` and `opening` may raise what they like: the item is tried again."""

    claim: Callable[[Notice], Awaitable[bool]]
    opening: Callable[[Notice], Awaitable[Receipt | None]]
    delivered: Callable[[Notice, Receipt, int], Awaitable[None]]
    postponed: Callable[[Notice, timedelta, DeliveryError], Awaitable[None]]
    given_up: Callable[[Notice, DeliveryError], Awaitable[None]]
    retracted: Callable[[Notice], Awaitable[None]]


def lane_of(channel: str) -> str:
    """The configured channel that a notice goes through: "sms" for the address "sms/alice"."""
    return channel.partition("/")[0]


class Lane:
    """Sends the notices of one channel. Everything of an incident waits for its opening while that is on its way, and
    goes one at a time; an update that had to wait and that a newer one or the end has overtaken is not sent."""

    def __init__(self, name: str, channel: Channel | None, per_second: float, calls: LaneCalls) -> None:
        self.name = name
        self.channel = channel
        self.pause = 1.0 / per_second
        self._calls = calls
        self._queue = Queue()
        self._closed_until = 0.0  # the channel asked for silence until then (429)
        self._next_start = 0.0  # the earliest moment for the next message at the channel's pace
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def urgent(self) -> list[Item]:
        """Pages and reminders that shall still be sent."""
        return self._queue.urgent()

    def put(self, notice: Notice, *, delay: float = 0.0, tries: int = 0, age: float = 0.0) -> None:
        """Queue a notice; one whose key is already here is the same one. `age` is what it has waited elsewhere."""
        if self._queue.has(notice.key):
            return
        now = asyncio.get_running_loop().time()
        self._queue.put(Item(notice, now + delay, now - age, tries), now)
        self._news.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"lane {self.name}")

    def cancel(self, key: str) -> None:
        """Take a notice back. One that is being sent just now is not tried again if that fails."""
        self._queue.cancel(key)
        self._news.set()

    async def stop(self, grace: float = 0.0) -> None:
        """Begin nothing more; messages that are being sent have `grace` seconds to come to their ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._under_way and grace > 0:
            await asyncio.wait(self._under_way, timeout=grace)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ what is next

    async def _work(self) -> None:
        while True:
            try:
                await self._begin(await self._next())
            except Exception:  # a bug of ours, which must not silence a channel
                log.exception("lane_crashed", channel=self.name)
                await asyncio.sleep(1.0)

    async def _begin(self, item: Item) -> None:
        loop = asyncio.get_running_loop()
        if item.cancelled or self._queue.overtaken(item, loop.time()):
            await self._guarded(item, self._retract)
            return
        self._next_start = max(self._next_start, loop.time()) + self.pause
        task = loop.create_task(self._guarded(item, self._deal_with), name=f"lane {self.name}: {item.notice.key}")
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._news.set()

    async def _next(self) -> Item:
        """The most urgent notice that is due, once there is one and the channel may be used."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            now = loop.time()
            waits = []
            head = self._queue.head(now)
            if head is not None:
                starts = self._may_start(head, now)
                if starts is not None and starts <= now:
                    return self._queue.take()
                waits += [starts] if starts is not None else []
            due = self._queue.next_due()
            waits += [due] if due is not None else []
            try:
                async with asyncio.timeout(max(0.001, min(waits) - now) if waits else None):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _may_start(self, item: Item, now: float) -> float | None:
        """From when on it may be sent; None when something under way has to end first. The pace is kept over all
        messages, and an urgent one may take its turn one message early."""
        if item.cancelled or self._queue.overtaken(item, now):
            return now
        if len(self._under_way) >= (AT_ONCE if item.urgent else AT_ONCE - 1):
            return None
        return max(self._closed_until, self._next_start - (self.pause if item.urgent else 0.0))

    # ------------------------------------------------------------------------------------------ one notice

    async def _guarded(self, item: Item, what: Callable[[Item], Awaitable[None]]) -> None:
        """Whatever fails beside the delivery itself is a bug, which must not lose a page."""
        try:
            await what(item)
        except Exception:
            log.exception("delivery_crashed", channel=self.name, key=item.notice.key)
            if self._queue.holds(item):  # otherwise only what came after its end has failed
                now = asyncio.get_running_loop().time()
                item.due = now + 5.0
                self._queue.put_back(item, now)

    async def _retract(self, item: Item) -> None:
        """One that a life before had begun to send is not cancelled by a commit: the store is told."""
        self._queue.drop(item)
        await self._calls.retracted(item.notice)

    async def _deal_with(self, item: Item) -> None:
        notice = item.notice
        if not await self._calls.claim(notice):
            self._queue.drop(item)
            return
        try:
            receipt = await self._send(notice)
        except DeliveryError as error:
            await self._failed(item, error)
            return
        try:
            await self._calls.delivered(notice, receipt, item.tries + 1)
        finally:
            self._queue.drop(item)

    async def _send(self, notice: Notice) -> Receipt:
        if self.channel is None:
            raise DeliveryError("not_found", f"config names no channel {self.name}", retryable=False)
        opening = await self._calls.opening(notice)
        if opening is not None and UNDELIVERED in notice.note:  # it arrived after all, after that was written
            notice = replace(notice, note=notice.note.replace(UNDELIVERED, "").strip())
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                return await self.channel.send(notice, opening)
        except TimeoutError:
            raise DeliveryError("timeout", f"no answer within {SEND_TIMEOUT:g} s", retryable=True) from None
        except DeliveryError:
            raise
        except Exception as error:
            log.exception("channel_crashed", channel=self.name, key=notice.key)
            raise DeliveryError("bug", f"{type(error).__name__}: {error}", retryable=True) from error

    async def _failed(self, item: Item, error: DeliveryError) -> None:
        notice = item.notice
        item.tries += 1
        log.warning(
            "delivery_failed",
            channel=self.name,
            key=notice.key,
            reason=error.reason,
            tries=item.tries,
            error=str(error),
        )
        if item.cancelled:
            await self._retract(item)
            return
        if not error.retryable or item.tries >= MAX_TRIES:
            self._queue.drop(item)
            await self._calls.given_up(notice, error)
            return
        wait = delay_before_try(item.tries, error.retry_after)
        now = asyncio.get_running_loop().time()
        item.due = now + wait.total_seconds()
        if error.reason == "rate_limited":
            self._closed_until = item.due
        await self._calls.postponed(notice, wait, error)
        self._queue.put_back(item, now)
