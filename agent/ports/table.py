"""The live table: what scrapes and pages read of checks and services."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.few import no_figures
from agent.core.result import Verdict
from agent.core.state import Health, ServiceState


@dataclass(slots=True, kw_only=True, eq=False)
class CheckRow:
    """The live figures of one check, written on every run and read by scrapes and pages. Mutable on purpose: it is
    the one thing on the path of a passing check. Times in seconds since the epoch; `runs` are counts by verdict in the
    order PASS, WARN, FAIL, UNKNOWN. `misses` counts FAILs in a row without limit. `tail` are the last verdicts, two
    bits each (their places in that order), the newest lowest."""

    service: str
    check: str
    type: str
    verdict: Verdict | None = None
    reason: str = ""
    summary: str = ""
    at: float = 0.0
    took: float = 0.0
    phases: Mapping[str, float] = field(default_factory=no_figures)
    values: Mapping[str, float] = field(default_factory=no_figures)
    misses: int = 0
    runs: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    run_since: float = 0.0  # the present run of equal verdict and reason began
    run_count: int = 0
    tail: int = 0
    series: bytes | None = None  # the metric renderer's prebuilt labels


@dataclass(slots=True, kw_only=True, eq=False)
class ServiceRow:
    """The live view of one service: its state as last committed, and its checks."""

    name: str
    state: ServiceState
    checks: Mapping[str, CheckRow] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()

    @property
    def health(self) -> Health:
        return self.state.health
