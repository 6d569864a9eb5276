"""One check of the running configuration, and the service that it belongs to, as the runtime holds them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import Any

from agent.core.events import Input
from agent.core.policy import CheckPolicy, Policy
from agent.core.result import CheckResult
from agent.ports import CheckRow, CheckType, Options, ServiceRow


@dataclass(slots=True, eq=False)
class Probe:
    """A check that runs. Either `every` or `cron` (expression and zone) is set. `settled` says that the core has
    nothing left to decide about it as long as it passes: the one flag that the path of a passing check looks at."""

    service: str
    name: str
    type: CheckType[Any]
    options: Options
    timeout: float
    policy: CheckPolicy
    row: CheckRow
    every: timedelta | None = None
    cron: tuple[str, str] | None = None
    host: str = ""
    settled: bool = False
    since: float = 0.0  # seconds since the epoch: when it was scheduled
    seen: bool = False  # a run of it was decided on
    running: bool = False
    removed: bool = False
    patience: float = field(init=False)  # seconds without a run after which it is overdue; it is asked for very often

    def __post_init__(self) -> None:
        self.patience = 2 * self.every.total_seconds() + self.timeout if self.every else inf

    @property
    def key(self) -> str:
        return f"{self.service}/{self.name}"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An observation on its way to a decision: what was seen, by which probe, since which monotonic moment."""

    probe: Probe
    result: CheckResult
    began: float


@dataclass(slots=True, eq=False)
class Watched:
    """A service under watch. Its inputs are handled one after another, in the order in which they came."""

    row: ServiceRow
    policy: Policy
    probes: Mapping[str, Probe]
    version: int = 0
    upstream: tuple[str, ...] = ()  # everything it depends on, near and far
    downstream: tuple[str, ...] = ()  # everything that depends on it
    remote: bool = False  # some check needs the network
    inbox: tuple[Input | Sighting, ...] = ()
    task: asyncio.Task[None] | None = None  # works off the inbox
    being_looked_at: frozenset[str] = frozenset()  # checks run afresh because a dependant missed a beat
    look_began: float = 0.0  # monotonic
    look_ends: asyncio.TimerHandle | None = None
