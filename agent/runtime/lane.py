"""One channel's queue: urgent first, one at a time, at the channel's pace, and never in another channel's way."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count

import structlog

from agent.core.model import Notice, NoticeKind
from agent.core.notices import UNDELIVERED
from agent.core.schedule import MAX_TRIES, delay_before_try
from agent.ports import Channel, DeliveryError, Receipt

log = structlog.get_logger()

URGENCY = {kind: number for number, kind in enumerate(NoticeKind)}
SEND_TIMEOUT = 30.0


@dataclass(slots=True, eq=False)
class Item:
    """A notice on its way. `due`, and `since` when it has waited, are on the loop's clock: wall clocks jump."""

    notice: Notice
    due: float
    since: float
    tries: int = 0
    order: int = field(default_factory=count().__next__)

    def __lt__(self, other: "Item") -> bool:
        return (URGENCY[self.notice.kind], self.order) < (URGENCY[other.notice.kind], other.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCalls:
    """What a lane tells its outbox. `claim` and `opening` may raise what they like: the item is tried again."""

    claim: Callable[[Notice], Awaitable[bool]]
    opening: Callable[[Notice], Awaitable[Receipt | None]]
    delivered: Callable[[Notice, Receipt, int], Awaitable[None]]
    postponed: Callable[[Notice, timedelta, DeliveryError], Awaitable[None]]
    given_up: Callable[[Notice, DeliveryError], Awaitable[None]]
    retracted: Callable[[Notice], Awaitable[None]]


class Lane:
    """Sends the notices of one channel. A closing message waits for its own opening one while that is on its way."""

    def __init__(self, name: str, channel: Channel | None, per_second: float, calls: LaneCalls) -> None:
        self.name = name
        self.channel = channel
        self.pause = 1.0 / per_second
        self._calls = calls
        self._ready: list[Item] = []
        self._later: list[tuple[float, int, Item]] = []
        self._items: dict[str, Item] = {}
        self._cancelled: set[str] = set()
        self._closed_until = 0.0  # the channel asked for silence until then (429)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._stopping = False

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> list[Item]:
        """What shall still be sent: not what was taken back and only waits to be dropped."""
        return [item for key, item in self._items.items() if key not in self._cancelled]

    def put(self, notice: Notice, *, delay: float = 0.0, tries: int = 0, age: float = 0.0) -> None:
        """Queue a notice; one whose key is already here is the same one. `age` is what it has waited elsewhere."""
        if notice.key in self._items:
            return
        now = asyncio.get_running_loop().time()
        item = Item(notice, now + delay, now - age, tries)
        self._items[notice.key] = item
        self._push(item)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"lane {self.name}")

    def cancel(self, key: str) -> None:
        """Take a notice back. One that is being sent just now is not tried again if that fails."""
        if key in self._items:
            self._cancelled.add(key)
            self._news.set()

    async def stop(self, grace: float = 0.0) -> None:
        """Begin nothing more; a message that is being sent has `grace` seconds to come to its end."""
        self._stopping = True
        if self._task is not None:
            if self._busy and grace > 0:
                await asyncio.wait([self._task], timeout=grace)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _push(self, item: Item) -> None:
        if item.due <= asyncio.get_running_loop().time():
            heapq.heappush(self._ready, item)
        else:
            heapq.heappush(self._later, (item.due, item.order, item))
        self._news.set()

    async def _work(self) -> None:
        while not self._stopping:
            item = await self._next()
            self._busy = True
            try:
                await self._deal_with(item)
            except Exception:
                log.exception("delivery_crashed", channel=self.name, key=item.notice.key)
                item.due = asyncio.get_running_loop().time() + 5.0
                self._push(item)
            finally:
                self._busy = False
            if not self._stopping:
                await asyncio.sleep(self.pause)

    async def _next(self) -> Item:
        """The most urgent notice that is due, once there is one and the channel may be used."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            now = loop.time()
            while self._later and self._later[0][0] <= now:
                heapq.heappush(self._ready, heapq.heappop(self._later)[2])
            if self._ready and now >= self._closed_until:
                item = heapq.heappop(self._ready)
                if not self._must_wait(item):
                    return item
                item.due = now + 0.2
                heapq.heappush(self._later, (item.due, item.order, item))
                continue
            waits = [self._later[0][0]] if self._later else []
            if self._ready:
                waits.append(self._closed_until)
            try:
                async with asyncio.timeout(max(0.001, min(waits) - now) if waits else None):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _must_wait(self, item: Item) -> bool:
        if item.notice.kind is not NoticeKind.RESOLVED:
            return False
        return any(
            other.notice.incident == item.notice.incident
            and other.notice.kind is NoticeKind.OPENED
            and other.notice.key not in self._cancelled
            for other in self._items.values()
        )

    async def _deal_with(self, item: Item) -> None:
        notice = item.notice
        if self._items.get(notice.key) is not item:
            return  # it was dealt with: only what came after its end has failed
        if notice.key in self._cancelled:
            self._drop(notice.key)
            await self._calls.retracted(notice)  # one that a life before had begun to send is not cancelled by a commit
            return
        if not await self._calls.claim(notice):
            self._drop(notice.key)
            return
        try:
            receipt = await self._send(notice)
        except DeliveryError as error:
            await self._failed(item, error)
            return
        self._drop(notice.key)
        await self._calls.delivered(notice, receipt, item.tries + 1)

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
        if notice.key in self._cancelled:
            self._drop(notice.key)
            await self._calls.retracted(notice)
            return
        if not error.retryable or item.tries >= MAX_TRIES:
            self._drop(notice.key)
            await self._calls.given_up(notice, error)
            return
        wait = delay_before_try(item.tries, error.retry_after)
        now = asyncio.get_running_loop().time()
        if error.reason == "rate_limited":
            self._closed_until = now + wait.total_seconds()
        item.due = now + wait.total_seconds()
        self._push(item)
        await self._calls.postponed(notice, wait, error)

    def _drop(self, key: str) -> None:
        self._items.pop(key, None)
        self._cancelled.discard(key)
