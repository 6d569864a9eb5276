"""What all parts of an agent stand on."""

from dataclasses import dataclass

from agent.config.model import Config
from agent.ports import ServiceRow, Vitals
from agent.runtime.bus import Bus
from agent.runtime.clock import Clock
from agent.stores import ResilientStore
from agent.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Foundation:
    """`config` is the one that the agent was started with. `rows` are the services that everybody sees."""

    config: Config
    clock: Clock
    store: ResilientStore
    vitals: Vitals
    metrics: Metrics
    rows: dict[str, ServiceRow]
    bus: Bus
