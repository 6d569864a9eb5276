"""Drills on a virtual clock: a world of real services, with the drills that are held in it."""

from collections.abc import Mapping
from typing import Any, cast

from agent.config.model import AgentSpec, ChannelSpec, Config, DrillSpec, ServiceSpec
from agent.core.commands import Notice, NoticeKind
from agent.core.events import Event, Input
from agent.core.policy import Policy
from agent.drills.book import Drills
from agent.drills.course import Ground
from agent.ports import DrillReport, ServiceRow, Store, Stored
from agent.runtime.recorder import Recorder
from agent.runtime.signals import Signals
from tests.world import FakeChannel, World


class Counted:
    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def drill(self, outcome: str) -> None:
        self.outcomes.append(outcome)


class Town(World):
    """`drill` is how drills are held; services have no checks in its configuration, since nothing here reads them."""

    def __init__(self, *policies: Policy, drill: DrillSpec | None = None, store: Store | None = None) -> None:
        super().__init__(*policies, store=store)
        self.drill = drill or DrillSpec()
        self.rows: dict[str, ServiceRow] = {}
        self.counted = Counted()

    def channel(self, name: str) -> FakeChannel:
        return self.channels.setdefault(name, FakeChannel())

    @property
    def config(self) -> Config:
        services = {name: ServiceSpec(name=name, policy=policy, checks=()) for name, policy in self.policies.items()}
        nothing = cast(Any, None)
        channels = {name: ChannelSpec(name=name, type=nothing, options=nothing) for name in self.channels}
        return Config(agent=AgentSpec(name="test"), services=services, channels=channels, drill=self.drill)

    def restore(self, stored: Mapping[str, Stored]) -> None:
        unseen = Signals(self.engine, self.clock, {}, lambda *_: None)
        real = Signals(self.engine, self.clock, self.rows, Recorder(self.store).record)
        ground = Ground(
            engine=self.engine,
            signals=unseen,
            store=self.store,
            clock=self.clock,
            channel=lambda name: self.channels.get(name),
        )
        self.drills = Drills(ground, real, self.vitals, self.config, self.counted)
        self.bus.subscribe(self.on_event)
        real.restore(stored)
        self.drills.restore(stored)

    def on_event(self, event: Event) -> None:
        self.drills.on_event(event)

    def report(self, service: str, event: Input) -> None:
        super().report(service, event)
        self.drills.heard(service, event)

    async def boot(self) -> None:
        await super().boot()
        await self.drills.load()
        await self.drills.finish()

    async def die(self) -> None:
        await self.drills.stop()
        await super().die()

    async def ended(self, drill: str, within: float = 3600.0) -> DrillReport:
        for _ in range(int(within)):
            report = self.drills.report(drill)
            assert report is not None
            if report.outcome.value != "running":
                return report
            await self.live(1)
        raise AssertionError(f"{drill} goes on")

    def sent(self, channel: str, *, drills: bool) -> list[Notice]:
        return [notice for notice in self.channels[channel].sent if notice.drill is drills]

    def kinds(self, channel: str, *, drills: bool) -> list[NoticeKind]:
        return [notice.kind for notice in self.sent(channel, drills=drills)]
