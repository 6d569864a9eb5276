"""Lives of an outbox over one store, each ended by a kill or in good order: what its tests share."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agent.core.commands import Command, Notice, NoticeKind, Restart
from agent.core.events import Decision, Input
from agent.core.state import Asked, Incident, ServiceState, Stage, Tried
from agent.ports import ActionOutcome, Outgoing, Receipt, StoreUnavailable, Vitals
from agent.runtime.clock import Clock
from agent.runtime.outbox import Outbox
from agent.stores.memory import MemoryStore
from tests.core.story import START
from tests.virtual_time import in_virtual_time
from tests.world import FakeChannel, FakeRemediator


def page(kind: NoticeKind = NoticeKind.OPENED, number: int = 1, channel: str = "oncall", note: str = "") -> Notice:
    return Notice(
        key=f"api-1/{channel}/{kind}/{number}",
        incident="api-1",
        service="api",
        channel=channel,
        kind=kind,
        title="api",
        summary="",
        at=START,
        opened_at=START,
        note=note,
    )


def order(number: int = 1, *, age: float = 0, service: str = "api") -> Restart:
    return Restart(
        key=f"{service}-1/restart/{number}",
        service=service,
        incident=f"{service}-1",
        action="process",
        attempt=number,
        at=START - timedelta(seconds=age),
    )


PAGE, ORDER = page(), order()


class Moody(MemoryStore):
    """A store whose methods of these names are unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()

    def _mind(self, what: str) -> None:
        if what in self.away:
            raise StoreUnavailable("disk full")

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        self._mind("claim")
        return await super().claim(keys, at)

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        self._mind("settle")
        await super().settle(key, at, receipt=receipt, outcome=outcome)

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        self._mind("postpone")
        await super().postpone(key, due_at, error)

    async def bury(self, key: str, at: datetime, error: str) -> None:
        self._mind("bury")
        await super().bury(key, at, error)

    async def retract(self, key: str, at: datetime) -> None:
        self._mind("retract")
        await super().retract(key, at)

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        self._mind("opening")
        return await super().opening(incident, channel)

    async def outgoing(self, keys: Sequence[str]) -> Any:
        self._mind("outgoing")
        return await super().outgoing(keys)


@dataclass
class Counted:
    """What was counted."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def notice(self, channel: str, kind: str, outcome: str) -> None:
        self.seen.append((kind, outcome))


class Life:
    """One life of the agent's outbox; the store, the channel and the remediator outlive it."""

    def __init__(self, store: Moody, channel: FakeChannel, remediator: FakeRemediator) -> None:
        loop = asyncio.get_running_loop()
        self.store, self.channel, self.remediator = store, channel, remediator
        self.told: list[tuple[str, Input]] = []
        self.counted = Counted()
        self.vitals = Vitals(started=START)
        clock = Clock(lambda: START.timestamp() + loop.time() - 1_000_000.0, loop.time)
        self.clock = clock
        self.outbox = Outbox(
            clock=clock,
            store=store,
            vitals=self.vitals,
            report=lambda service, event: self.told.append((service, event)),
            counts=self.counted,
        )
        self.outbox.use({"oncall": (channel, 25.0)}, {"api": remediator})

    async def commit(self, *commands: Command, cancelled: tuple[str, ...] = ()) -> None:
        stored = (await self.store.load()).get("api")
        state = stored.state if stored else ServiceState(service="api")
        decision = Decision(state=state, commands=commands, cancelled=cancelled)
        await self.store.commit("api", stored.version if stored else 0, decision)

    async def offer(self, *commands: Command) -> None:
        await self.commit(*commands)
        self.outbox.offer(commands)

    async def die(self) -> None:
        for task in self.outbox.restarts.tasks:
            task.cancel()
        await self.outbox.lanes.stop()

    async def became(self, command: Command) -> Outgoing:
        return (await MemoryStore.outgoing(self.store, [command.key]))[command.key]

    def heard(self, kind: type[Input]) -> list[Any]:
        return [event for _, event in self.told if isinstance(event, kind)]


def lived(story: Callable[[Life], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await story(Life(Moody(), FakeChannel(), FakeRemediator()))

    in_virtual_time(run())


def another(life: Life) -> Life:
    return Life(life.store, life.channel, life.remediator)


def incident(*, asked: tuple[Asked, ...] = (), tried: tuple[Tried, ...] = ()) -> ServiceState:
    return ServiceState(
        service="api",
        incident=Incident(
            id="api-1",
            service="api",
            opened_at=START,
            first_miss_at=START,
            check="http",
            reason="refused",
            summary="",
            stage=Stage.PAGED,
            failing=("http",),
            asked=asked,
            tried=tried,
        ),
    )


ASKED = incident(asked=(Asked(channel="oncall", key=PAGE.key, at=START),))
TRIED = incident(tried=(Tried(key=ORDER.key, at=START, action="process"),))
