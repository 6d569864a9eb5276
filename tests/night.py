"""A night that may end at any await: the real engine, outbox, store (a SQLite file), book of silences, storms and
gathered pages, with people who are asked step by step, and places that fail as Slack, mail and webhooks do."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from agent.core.commands import Notice, NoticeKind
from agent.core.contact import Contact
from agent.core.events import Acknowledged, Quiet
from agent.core.matchers import parse_all
from agent.core.policy import Escalation, Policy
from agent.core.storm import StormRule
from agent.core.windows import Once, Window
from agent.ports import DeliveryError, Receipt, ServiceRow, Store
from agent.quiet.book import Book, Subject
from agent.quiet.desk import Desk, Wanted, new_window_id
from agent.stores import open_store
from tests.crowd import Crowd

LOOK = 1.0  # seconds between two looks at storms, groups and silences


class Fate:
    """One life of the agent. It ends when `left` points were passed: the task that gets there goes no further, nor
    does any other that comes to a point afterwards."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.over = asyncio.Event()

    async def point(self) -> None:
        """A moment at which a kill makes a difference: before and after every write, send and read."""
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.over.set()
        if self.over.is_set():
            await asyncio.Event().wait()


class MortalStore:
    """The store as one life sees it. `busy` counts what the database's thread has not answered."""

    def __init__(self, inner: Store, fate: Fate, busy: list[int]) -> None:
        self._inner = inner
        self._fate = fate
        self._busy = busy

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def called(*given: Any, **named: Any) -> Any:
            await self._fate.point()
            self._busy[0] += 1
            try:
                found = await method(*given, **named)
            finally:
                self._busy[0] -= 1
            await self._fate.point()
            return found

        return called

    async def end(self) -> None:
        """What was handed over is still written, as by a kernel whose process is gone."""
        self._busy[0] += 1
        try:
            await self._inner.close()
        finally:
            self._busy[0] -= 1


@dataclass
class Place:
    """What a channel shows, over all lives of the agent. With `reads_back` a message that may be there already is
    looked for before it is posted, as in Slack; otherwise whoever receives it tells two of one key apart."""

    reads_back: bool = True
    posted: list[Notice] = field(default_factory=list)
    troubles: deque[str] = field(default_factory=deque)
    broken: str = ""
    fate: Fate = field(default_factory=Fate)
    made: datetime | None = None
    uncertain: set[str] = field(default_factory=set)

    def begin(self, fate: Fate, now: datetime) -> None:
        """A new life has built its channel."""
        self.fate, self.made, self.uncertain = fate, now, set()

    async def send(self, notice: Notice, _opening: Receipt | None) -> Receipt:
        await self.fate.point()
        doubted = notice.key in self.uncertain or (self.made is not None and notice.at < self.made)
        if self.reads_back and doubted and any(one.key == notice.key for one in self.posted):
            return Receipt(data={"key": notice.key})
        trouble = self.troubles.popleft() if self.troubles else self.broken
        await asyncio.sleep(0.05)
        if trouble == "temporary":
            raise DeliveryError("server", "503", retryable=True)
        if trouble == "permanent":
            raise DeliveryError("auth", "token revoked", retryable=False)
        if trouble == "limited":
            raise DeliveryError("rate_limited", "429", retryable=True, retry_after=timedelta(seconds=7))
        self.uncertain.add(notice.key)
        if trouble != "silent":
            await self.fate.point()
            self.posted.append(notice)
        await self.fate.point()
        if trouble in ("lost", "silent"):
            await asyncio.sleep(45)  # the lane loses patience before that
        self.uncertain.discard(notice.key)
        return Receipt(data={"key": notice.key})

    async def verify(self) -> None: ...

    async def close(self) -> None: ...

    def of(self, kind: NoticeKind) -> list[Notice]:
        return [notice for notice in self.posted if notice.kind is kind]


class Night(Crowd):
    """Every life opens the same database. `reach` is who is asked by which target of an escalation."""

    def __init__(self, *policies: Policy, path: Path, rule: StormRule | None, places: Mapping[str, Place]) -> None:
        super().__init__(*policies, rule=rule or StormRule(services=1_000_000))
        self.url = f"sqlite:///{path}"
        self.places = places
        self.channels = cast(Any, dict(places))
        self.reach_now: dict[str, tuple[Contact, ...]] = {}
        self.busy = [0]
        self.fate = Fate()
        self.lives = 0
        self.killed_at: list[datetime] = []

    # ------------------------------------------------------------------------------------------ life and death

    async def begin(self) -> None:
        """A life, and another one as often as it ends before it has begun."""
        while True:
            self.fate = Fate()
            self.lives += 1
            self.mortal = MortalStore(open_store(self.url, lambda _: None), self.fate, self.busy)
            self.store = cast(Store, self.mortal)
            if await self._lived_through(self.boot()):
                return
            await self._bury()

    async def before_watching(self) -> None:
        await super().before_watching()
        for place in self.places.values():
            place.begin(self.fate, self.clock.now())
        self.engine.contexts.reach = self._reach
        self.engine.contexts.contacts = {"alice": {"sms": "+1", "mail": "a@example.org"}, "bob": {"sms": "+2"}}
        self.book = Book(
            store=self.store, now=self.clock.now, services=self._subjects, changed=lambda: self.engine.review()
        )
        self.bus.subscribe(self.book.on_event)
        self.desk = Desk(self.book, self.engine.tell)
        await self.book.load()

    async def _lived_through(self, what: Coroutine[Any, Any, Any]) -> bool:
        """Whether the life lasted until that was done. What fails in it fails the night."""
        task, over = asyncio.create_task(what), asyncio.create_task(self.fate.over.wait())
        await asyncio.wait([task, over], return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not self.fate.over.is_set() or (task.done() and not task.cancelled() and task.exception()):
            await task
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False

    async def do(self, what: Coroutine[Any, Any, Any]) -> None:
        """Something that people do; where the agent dies of it, it is started again."""
        if not await self._lived_through(what):
            await self.die_and_begin()

    async def live(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            try:
                async with asyncio.timeout(end - loop.time()):
                    await self.fate.over.wait()
            except TimeoutError:
                return
            await self.die_and_begin()

    async def die_and_begin(self) -> None:
        await self._bury()
        await self.begin()

    async def _bury(self) -> None:
        self.fate.over.set()
        self.killed_at.append(self.clock.now())
        if hasattr(self, "_tasks"):
            await self.die()
        await self.mortal.end()

    async def end(self) -> None:
        await self.die()
        await self.mortal.end()

    # ------------------------------------------------------------------------------------------ what people do

    async def silence(self, service: str, seconds: float | None) -> None:
        incident = self.state(service).incident
        if seconds is None and incident is None:
            return
        span = timedelta(seconds=seconds) if seconds is not None else None
        wanted = Wanted(matchers=parse_all([f"service={service}"]), by="bob", span=span, until_resolved=seconds is None)
        await self.desk.add_silence(wanted)

    async def maintain(self, service: str, seconds: float) -> None:
        await self.desk.add_window(
            Window(
                id=new_window_id(),
                matchers=parse_all([f"service={service}"]),
                recurrence=Once(at=self.clock.now()),
                length=timedelta(seconds=seconds),
                made_at=self.clock.now(),
                by="bob",
            )
        )

    async def loud_again(self) -> None:
        """Every silence and window is over."""
        now = self.clock.now()
        active = [one.id for one in self.book.silences.values() if one.state(now) != "expired"]
        await self.desk.expire(active, "bob")
        for name in list(self.book.by_hand):
            await self.desk.end_window(name, "bob")

    def acknowledge(self, service: str) -> None:
        self.engine.tell(service, Acknowledged(at=self.clock.now(), by="alice"))

    # ------------------------------------------------------------------------------------------ hooks

    def _quiet(self, row: ServiceRow, policy: Policy, at: datetime) -> Quiet | None:
        return self.book.quiet(row, policy, at) or self.together.quiet(row, policy, at)

    def _subjects(self) -> list[Subject]:
        found = ((one.policy, one.row.state.incident) for one in self.engine.table.values())
        return [Subject(policy, incident.id if incident else "") for policy, incident in found]

    def _reach(self, escalation: Escalation, _at: datetime) -> Mapping[str, tuple[Contact, ...]]:
        return {target: self.reach_now.get(target, ()) for step in escalation.steps for target in step.notify}

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            self.together.look()
            await self.book.tick()
