"""What a page has to wait for in the agent's own queues: the real outbox on a SQLite file, and a webhook over HTTP.

100,000 updates are queued before it; a channel beside it never answers; and everything is queued at once, in any order.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from agent.core.commands import Command, Notice, NoticeKind
from agent.core.events import Decision
from agent.core.state import ServiceState
from agent.ports import Vitals
from agent.runtime.clock import Clock
from agent.runtime.lane import AT_ONCE
from agent.runtime.outbox import Outbox
from agent.stores import open_store
from alerts.channels.webhook import WebhookChannel, WebhookOptions
from bench.access_log import percentile

ORDER = (NoticeKind.OPENED, NoticeKind.REMINDER, NoticeKind.RESOLVED, NoticeKind.UPDATE)
CHUNK = 1000  # notices a commit
PATIENCE = 30.0  # seconds for the last page to arrive


@dataclass(slots=True)
class Waits:
    """Seconds from the decision on each page to its arrival. `held` is a sentence on what else was seen."""

    title: str
    took: list[float] = field(default_factory=list)
    seen: str = ""

    def row(self) -> tuple[str, ...]:
        self.took.sort()
        figures = (percentile(self.took, 0.5), percentile(self.took, 0.99), self.took[-1]) if self.took else ()
        return (self.title, str(len(self.took)), " / ".join(f"{s * 1000:.0f}" for s in figures) or "-", self.seen)


def waits_table(outcomes: Sequence[Waits]) -> str:
    """A plain table that is Markdown too."""
    head = ("beside the pages", "pages", "decision to arrival ms p50/p99/max", "seen")
    rows = [head, tuple("---" for _ in head), *(outcome.row() for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


class Receiver:
    """Takes webhooks and notes when each key arrived, but for those below /silent, which it never answers."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        app.router.add_post("/silent", self._never)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        key = str((await request.json())["key"])
        self.arrived.setdefault(key, time.monotonic())
        return web.Response(text="ok")

    async def _never(self, _: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response(text="late")


class Desk:
    """An outbox as the agent has it, and the commit before each offer."""

    def __init__(self, folder: Path, receiver: Receiver, per_second: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store = open_store(f"sqlite:///{folder}/state.db", lambda _: None)
        self.asked: dict[str, float] = {}
        self._versions: dict[str, int] = {}
        clock = Clock()
        vitals = Vitals(started=datetime.now(UTC))
        self.outbox = Outbox(clock=clock, store=self.store, vitals=vitals, report=lambda *_: None, counts=_Uncounted())
        hook = WebhookChannel("hook", WebhookOptions.model_validate({"url": f"{receiver.url}/hook", "timeout": "10s"}))
        dead = WebhookChannel(
            "dead", WebhookOptions.model_validate({"url": f"{receiver.url}/silent", "timeout": "10s"})
        )
        self.outbox.use({"hook": (hook, per_second), "dead": (dead, per_second)}, {})

    async def begin(self) -> None:
        """Read what a life before has left."""
        self._versions = {name: stored.version for name, stored in (await self.store.load()).items()}

    async def decide(self, *commands: Command, service: str = "bench") -> None:
        """Commit and offer, as the engine does."""
        seen = self._versions.get(service, 0)
        decision = Decision(state=ServiceState(service=service), commands=commands)
        for command in commands:
            self.asked[command.key] = time.monotonic()
        self._versions[service] = await self.store.commit(service, seen, decision)
        self.outbox.offer(commands)

    async def close(self) -> None:
        await self.outbox.stop(0.0)
        await self.store.close()


class _Uncounted:
    def notice(self, channel: str, kind: str, outcome: str) -> None: ...


def notice(kind: NoticeKind, number: int, channel: str = "hook") -> Notice:
    """One of an incident of its own."""
    incident = f"{kind}-{number}"
    now = datetime.now(UTC)
    return Notice(
        key=f"{incident}/{channel}",
        incident=incident,
        service="bench",
        channel=channel,
        kind=kind,
        title=f"bench {number}",
        summary="http: connection refused",
        at=now,
        opened_at=now,
    )


async def waits(folder: Path, updates: int, pages: int) -> list[Waits]:
    """All of it."""
    return [
        await _behind_updates(folder / "updates", updates, pages),
        await _after_a_restart(folder / "updates", pages),
        await _beside_a_dead_channel(folder / "dead", pages),
        await _all_at_once(folder / "order", pages * 4),
    ]


@asynccontextmanager
async def _at_work(folder: Path, per_second: float = 25.0) -> AsyncIterator[tuple[Desk, Receiver]]:
    """A desk that has begun, and who takes its webhooks; closed at the end."""
    async with Receiver().serving() as receiver:
        desk = Desk(folder, receiver, per_second)
        await desk.begin()
        try:
            yield desk, receiver
        finally:
            await desk.close()


async def _behind_updates(folder: Path, updates: int, pages: int) -> Waits:
    async with _at_work(folder) as (desk, receiver):
        for first in range(0, updates, CHUNK):
            await desk.decide(*(notice(NoticeKind.UPDATE, n) for n in range(first, min(updates, first + CHUNK))))
        outcome = await _pages(desk, receiver, Waits(f"{updates:,} queued updates"), pages)
        outcome.seen = f"{desk.outbox.lanes.waiting():,} still waited at the end"
        return outcome


async def _after_a_restart(folder: Path, pages: int) -> Waits:
    """The same database in the hands of the next life of the agent."""
    async with _at_work(folder) as (desk, receiver):
        begin = time.monotonic()
        await desk.outbox.recover({})
        taken = time.monotonic() - begin
        outcome = await _pages(desk, receiver, Waits("the same after a restart of the agent"), pages, first=pages)
        outcome.seen = f"{desk.outbox.lanes.waiting():,} waiting at the end; taken up in {taken:.1f} s"
        return outcome


async def _beside_a_dead_channel(folder: Path, pages: int) -> Waits:
    async with _at_work(folder) as (desk, receiver):
        outcome = await _pages(desk, receiver, Waits("a channel that never answers"), pages, beside=("dead",))
        outcome.seen = f"{sum(key.endswith('/dead') for key in receiver.arrived)} arrived there"
        return outcome


async def _pages(
    desk: Desk, receiver: Receiver, outcome: Waits, count: int, *, first: int = 0, beside: Sequence[str] = ()
) -> Waits:
    """Ten a second, each decided on by itself."""
    numbers = range(first, first + count)
    for number in numbers:
        await desk.decide(*(notice(NoticeKind.OPENED, number, channel) for channel in (*beside, "hook")))
        await asyncio.sleep(0.1)
    keys = [notice(NoticeKind.OPENED, number).key for number in numbers]
    await _until_arrived(receiver, keys)
    outcome.took = [receiver.arrived[key] - desk.asked[key] for key in keys]
    return outcome


async def _until_arrived(receiver: Receiver, keys: Sequence[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not receiver.arrived.keys() >= set(keys):  # noqa: ASYNC110 - what arrives is told by no event
            await asyncio.sleep(0.05)


async def _all_at_once(folder: Path, count: int) -> Waits:
    """One decision with notices of all kinds in any order: who arrives before something more urgent?"""
    async with _at_work(folder, per_second=100.0) as (desk, receiver):
        mixed = [notice(ORDER[number % len(ORDER)], number) for number in range(count)]
        random.shuffle(mixed)
        await desk.decide(*mixed)
        await _until_arrived(receiver, [one.key for one in mixed])
        kinds = {one.key: ORDER.index(one.kind) for one in mixed}
        order = [kinds[key] for key in sorted(receiver.arrived, key=receiver.arrived.__getitem__)]
        pages = [one.key for one in mixed if one.kind is NoticeKind.OPENED]
        outcome = Waits(
            f"{count} of all kinds at once, 100 a second", [receiver.arrived[k] - desk.asked[k] for k in pages]
        )
        outcome.seen = f"{out_of_turn(order)} out of turn (page, reminder, closing, update)"
        return outcome


def out_of_turn(order: Sequence[int]) -> int:
    """How many arrived before something more urgent that had been queued with them; those that are under way at the
    same time may overtake each other."""
    return sum(min(order[place + AT_ONCE :], default=kind) < kind for place, kind in enumerate(order))
