"""A world of many services, in which storms are watched for and pages are gathered."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from agent.core.commands import Notice, NoticeKind
from agent.core.events import Quiet
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.state import Stage
from agent.core.storm import StormRule
from agent.ports import ServiceRow, Store, Stored
from agent.runtime.recorder import Recorder
from agent.runtime.signals import Signals
from agent.runtime.together import Together
from tests.world import FakeChannel, World

RESTART = RestartPolicy(action="process", backoff=timedelta(0), jitter=0, verify=timedelta(seconds=30))


def policy(name: str, **more: object) -> Policy:
    settings: dict[str, object] = {
        "service": name,
        "checks": {"http": CheckPolicy()},
        "restart": RESTART,
        "page": ("oncall",),
    }
    return Policy(**{**settings, **more})  # type: ignore[arg-type]


def many(count: int, prefix: str = "s", **more: object) -> list[Policy]:
    return [policy(f"{prefix}{number:03}", **more) for number in range(count)]


class Crowd(World):
    """The loop that looks for storms and groups turns five times a second, as the agent's does."""

    def __init__(self, *policies: Policy, store: Store | None = None, rule: StormRule | None = None) -> None:
        super().__init__(*policies, store=store)
        self.rule = rule or StormRule()
        self.channels.setdefault("oncall", FakeChannel())
        self.silent: set[str] = set()  # services that somebody has silenced

    async def boot(self) -> None:
        self.rows: dict[str, ServiceRow] = {}
        await super().boot()
        self._tasks.append(asyncio.create_task(self._look()))

    async def before_watching(self) -> None:
        self.signals = Signals(self.engine, self.clock, self.rows, Recorder(self.store).record)
        self.together = Together(self.engine, self.clock, self.signals, self.rule)
        self.engine.contexts.quiet = self._quiet

    def restore(self, stored: Mapping[str, Stored]) -> None:
        self.signals.restore(stored)
        self.together.restore()

    def _quiet(self, row: ServiceRow, policy: Policy, at: datetime) -> Quiet | None:
        return Quiet(why="silenced") if row.name in self.silent else self.together.quiet(row, policy, at)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            self.together.look()

    def told(self, kind: NoticeKind, channel: str = "oncall") -> list[Notice]:
        return [notice for notice in self.channels[channel].sent if notice.kind is kind]

    def pages(self) -> list[str]:
        return [notice.service for notice in self.told(NoticeKind.OPENED)]

    @property
    def restarted(self) -> list[str]:
        return [order.service for each in self.remediators.values() for order in each.orders]

    def stages(self) -> Mapping[str, Stage]:
        """Of the services that have an open incident."""
        found = {name: self.state(name).incident for name in self.policies}
        return {name: incident.stage for name, incident in found.items() if incident}
