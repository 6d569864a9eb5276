"""A whole agent without its edges, on a virtual clock: engine, outbox, prober, and fake checks, channels, restarts."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self, cast

from agent.core.commands import Notice, NoticeKind, Outcome, Restart
from agent.core.events import Input
from agent.core.policy import CheckPolicy, GroupRule, Policy
from agent.core.result import CheckResult, Verdict
from agent.core.state import ServiceState
from agent.ports import (
    ActionOutcome,
    CheckContext,
    CheckRow,
    CheckType,
    DeliveryError,
    Options,
    Receipt,
    ServiceRow,
    Store,
    Stored,
    Tools,
    Vitals,
)
from agent.runtime.bus import Bus
from agent.runtime.clock import Clock
from agent.runtime.drains import Drained, Drains, Hook
from agent.runtime.engine import Engine
from agent.runtime.gate import Gate
from agent.runtime.host_budget import HostBudget
from agent.runtime.limits import Limits
from agent.runtime.outbox import Outbox
from agent.runtime.probe import Probe, Watched
from agent.runtime.prober import Prober
from agent.runtime.reach import AgentReach
from agent.runtime.relations import related
from agent.stores.memory import MemoryStore
from tests.core.story import START

EVERY = 10.0
PULSE = 0.5


class NoOptions(Options):
    """A fake check needs none."""


@dataclass
class FakeChannel:
    """Takes notices; fails with what `errors` hold, first to last, or always with `broken`."""

    sent: list[Notice] = field(default_factory=list)
    errors: deque[DeliveryError] = field(default_factory=deque)
    broken: DeliveryError | None = None

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        if self.broken is not None:
            raise self.broken
        if self.errors:
            raise self.errors.popleft()
        self.sent.append(notice)
        return Receipt(data={"key": notice.key})

    async def verify(self) -> None: ...

    async def close(self) -> None: ...

    def keys(self, kind: NoticeKind) -> list[str]:
        return [notice.key for notice in self.sent if notice.kind is kind]


@dataclass
class FakeRemediator:
    """Restarts: calls `effect`, takes `takes` seconds."""

    effect: Callable[[Restart], None] = lambda _: None
    outcome: Outcome = Outcome.DONE
    takes: float = 0.5
    orders: list[Restart] = field(default_factory=list)

    async def perform(self, order: Restart) -> ActionOutcome:
        self.orders.append(order)
        await asyncio.sleep(self.takes)
        self.effect(order)
        return ActionOutcome(outcome=self.outcome)


@dataclass(frozen=True)
class Trace:
    trace_id: str = "0" * 32
    sampled: bool = False
    traceparent: str = ""


class Counts:
    def notice(self, channel: str, kind: str, outcome: str) -> None: ...


class World:
    """Services that are up or down as `down` says. Everything that a life of the agent holds is made by `boot`; the
    store, the channels and the remediators outlive it, as the disk and Slack would."""

    def __init__(self, *policies: Policy, store: Store | None = None) -> None:
        self.policies = {policy.service: policy for policy in policies}
        self.store: Store = store or MemoryStore()
        self.down: set[str] = set()
        self.groups: dict[str, GroupRule] = {}
        self.hooks: dict[str, Hook] = {}
        self.verdict: dict[str, Verdict] = {}
        self.channels: dict[str, FakeChannel] = {}
        self.remediators: dict[str, FakeRemediator] = {name: FakeRemediator() for name in self.policies}
        for policy in policies:
            for name in (*policy.page, *policy.notify, *(c for f in policy.fallback.values() for c in f)):
                self.channels.setdefault(name, FakeChannel())

    async def boot(self) -> None:
        """Begin a life, as the app does it: load, watch, recover, run."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.clock = Clock(lambda: START.timestamp() + loop.time() - 1_000_000.0, loop.time)
        self.vitals = Vitals(started=self.clock.now())
        self.gate = Gate(self.clock, self.vitals, routes=lambda: True)
        self.bus = Bus()
        self.events: list[Any] = []
        self.bus.subscribe(self.events.append)
        self.engine = Engine(
            clock=self.clock,
            store=self.store,
            gate=self.gate,
            bus=self.bus,
            budget=HostBudget(1000, timedelta(hours=1)),
            evidence=self._evidence,
        )
        self.outbox = Outbox(
            clock=self.clock, store=self.store, vitals=self.vitals, report=self.report, counts=Counts()
        )
        self.drains = Drains(self.store, self.clock, self.engine.table)
        self.drains.use(self.hooks)
        remediators = {name: Drained(name, inner, self.drains) for name, inner in self.remediators.items()}
        self.outbox.use({name: (channel, 25.0) for name, channel in self.channels.items()}, remediators)
        self.prober = Prober(
            cast(Tools, None), Limits(100, 100), lambda _: Trace(), lambda p, r, began, _: self._observe(p, r, began)
        )
        self.reach = AgentReach(self.clock, self.engine, self.outbox.restarts, self.prober, self.drains)
        self.engine.outlet = self.outbox
        self.engine.budget(1000, timedelta(hours=1), self.groups)
        self.engine.run_again = self.prober.start_confirming
        stored = await self.store.load()
        await self.drains.load()
        await self.before_watching()
        relations = related({name: policy.depends_on for name, policy in self.policies.items()})
        for name, policy in self.policies.items():
            known = stored.get(name)
            row = ServiceRow(name=name, state=known.state if known else ServiceState(service=name))
            probes = {check: self._probe(name, check, rule) for check, rule in policy.checks.items()}
            self.engine.watch(
                Watched(
                    row=row,
                    policy=policy,
                    probes=probes,
                    version=known.version if known else 0,
                    upstream=relations[name][0],
                    downstream=relations[name][1],
                )
            )
        self.restore(stored)
        await self.outbox.recover({name: watched.row.state for name, watched in self.engine.table.items()})
        self._tasks = [asyncio.create_task(self._pulse()), asyncio.create_task(self._cadence(start))]

    async def before_watching(self) -> None:
        """Part of `boot`: what withholds pages is there before anything is decided."""

    def restore(self, stored: Mapping[str, Stored]) -> None:
        """For whoever has services beside those with probes: all is built, and nothing recovered yet."""

    def report(self, service: str, event: Input) -> None:
        """What became of a command."""
        self.engine.tell(service, event)

    async def die(self) -> None:
        """kill -9: nothing is finished, nothing is noted."""
        for task in [
            *self._tasks,
            *self.engine.inboxes.tasks,
            *self.prober._tasks.values(),
            *self.outbox.restarts.tasks,
        ]:
            task.cancel()
        await self.outbox.lanes.stop()
        await asyncio.sleep(0)
        self.engine.table.clear()

    @asynccontextmanager
    async def alive(self, seconds: float = 0.0) -> AsyncIterator[Self]:
        """A life that is so old when its story begins, and ends with it."""
        await self.boot()
        await self.live(seconds)
        try:
            yield self
        finally:
            await self.die()

    async def live(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def state(self, service: str) -> ServiceState:
        return self.engine.table[service].row.state

    def _probe(self, service: str, check: str, policy: CheckPolicy) -> Probe:
        async def run(_: NoOptions, context: CheckContext) -> CheckResult:
            await asyncio.sleep(0.001)
            if (verdict := self.verdict.get(service)) is not None:
                return self._stamped(
                    context.unknown("local", "told to")
                    if verdict is Verdict.UNKNOWN
                    else context.warned("slow", "slow")
                )
            if service in self.down:
                return self._stamped(context.failed("refused", "connection refused"))
            return self._stamped(context.passed("200 OK"))

        kind = CheckType(name="fake", options=NoOptions, run=run, about="", keeps_time=True, local=True)
        row = CheckRow(service=service, check=check, type="fake")
        return Probe(service, check, kind, NoOptions(), 3.0, policy, row, every=timedelta(seconds=EVERY))

    def _stamped(self, result: CheckResult) -> CheckResult:
        from dataclasses import replace

        return replace(result, at=self.clock.now())

    def _observe(self, probe: Probe, result: CheckResult, began: float) -> None:
        loop = asyncio.get_running_loop()
        self.engine.observe(probe, result, loop.time())

    async def _evidence(self, service: str, before: object) -> Mapping[str, str]:
        return {"Last log lines": f"{service}: something went wrong"}

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(PULSE)
            self.gate.beat(PULSE)
            self.engine.tick()
            await self.drains.look()

    async def _cadence(self, start: float) -> None:
        while True:
            for watched in list(self.engine.table.values()):
                for probe in watched.probes.values():
                    self.prober.start(probe)
            await asyncio.sleep(EVERY)
