"""What a check is, what it may use, and how one run of it says what it found."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Generic, Protocol

from agent.core.result import CheckResult, Verdict
from agent.ports.beats import BeatBook
from agent.ports.drills import DrillReport
from agent.ports.http import HttpClient, Resolver
from agent.ports.logs import LogBook
from agent.ports.options import O


@dataclass(slots=True, kw_only=True)
class Vitals:
    """The agent's own pulse, kept by the runtime, read by the `agent` check, /readyz and the blindness gate.
    Ages and lags in seconds."""

    started: datetime
    loop_lag: float = 0.0  # the worst of the last 10 s
    oldest_page: float = 0.0  # age of the oldest page that no channel has taken
    dead_letters: int = 0
    store_trouble: str = ""
    scheduler_stalled: float = 0.0  # by how much the most overdue enabled check exceeds two intervals
    blind: str = ""
    config_trouble: str = ""
    channel_trouble: Mapping[str, str] = field(default_factory=dict)
    oncall_trouble: Mapping[str, str] = field(default_factory=dict)  # by schedule
    calendar_ages: Mapping[str, float] = field(default_factory=dict)  # by schedule, since it was last read
    host_trouble: str = ""  # why no restart on this host can help
    drain_trouble: str = ""  # replicas that can't be put back after their restart
    drills: Mapping[str, DrillReport] = field(default_factory=dict)  # the last of each kind that came to its end
    ping_trouble: str = ""  # why nobody hears that the agent is well
    ping_at: datetime | None = None  # when somebody last did
    ready: bool = False


class Tools(Protocol):
    """What checks may use, shared by all runs. Built once by `agent.checking`."""

    http: HttpClient
    resolver: Resolver
    beats: BeatBook
    logs: LogBook
    vitals: Vitals


class CheckContext:
    """One run of one check: where it belongs, how long it may take, and how it says what it found.

    The four verdict methods stamp the start and the duration, so that no check does. A check must not keep the
    context, and must not keep any state of its own between runs.
    """

    __slots__ = ("began", "check", "service", "started", "timeout", "tools", "traceparent")

    def __init__(self, service: str, check: str, timeout: float, tools: Tools, traceparent: str = "") -> None:
        self.service = service
        self.check = check
        self.timeout = timeout  # seconds
        self.tools = tools
        self.traceparent = traceparent
        self.started = datetime.now(UTC)
        self.began = monotonic()

    def passed(self, summary: str, **more: Any) -> CheckResult:
        return self._result(Verdict.PASS, "ok", summary, more)

    def warned(self, reason: str, summary: str, **more: Any) -> CheckResult:
        return self._result(Verdict.WARN, reason, summary, more)

    def failed(self, reason: str, summary: str, **more: Any) -> CheckResult:
        return self._result(Verdict.FAIL, reason, summary, more)

    def unknown(self, reason: str, summary: str, **more: Any) -> CheckResult:
        return self._result(Verdict.UNKNOWN, reason, summary, more)

    def _result(self, verdict: Verdict, reason: str, summary: str, more: dict[str, Any]) -> CheckResult:
        took = timedelta(seconds=monotonic() - self.began)
        return CheckResult(verdict=verdict, reason=reason, summary=summary, at=self.started, took=took, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckType(Generic[O]):
    """One type of check: its name in config, its options, and the function that runs it once.

    `run` returns a result whatever the target does; an exception that leaves it is a bug and becomes UNKNOWN.
    `short` is the option that a bare scalar stands for (`- http: URL`). `keeps_time` promises that `run` ends by
    itself within `ctx.timeout`, so that the runtime need not watch it. `local` says that a result does not depend on
    the network, so that the blindness gate does not doubt it. `host` names the target's host for the per-host limit.
    `about` is one sentence for the listing and the reference page.
    """

    name: str
    options: type[O]
    run: Callable[[O, CheckContext], Awaitable[CheckResult]]
    about: str
    short: str | None = None
    keeps_time: bool = False
    local: bool = False
    pushed: bool = False  # beats come in over HTTP: the envelope may carry a token
    host: Callable[[O], str] | None = None
