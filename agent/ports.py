"""The contracts between the core and the world. Each says what is promised and what may be raised.

Whatever implements one of these may import this module and `agent.core`, and nothing of its siblings; `agent.app`
is the only place that knows every concrete class.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from agent.core.events import Decision, Event
from agent.core.model import (
    CheckResult,
    Health,
    Notice,
    Outcome,
    Restart,
    ServiceState,
    Verdict,
    no_figures,
    no_text,
)


class Options(BaseModel):
    """The options of one check, channel or action type: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


O = TypeVar("O", bound=Options)  # noqa: E741

# ---------------------------------------------------------------------------------------------------- HTTP client


@dataclass(slots=True, kw_only=True)
class HttpRequest:
    """One request on a connection of its own. `headers` are complete "Name: value" lines.

    `family` is 4, 6 or 0 for either. `max_redirects` 0 means that a redirect is an answer like any other; only
    http and https are ever followed. `connect_only` stops after the TLS handshake. `body_limit` is in bytes:
    more than that is cut off and marked. `resolve_to` sends the request to this address whatever DNS says.
    """

    url: str
    method: str = "GET"
    headers: Sequence[str] = ()
    body: bytes | None = None
    timeout: float = 3.0
    family: int = 0
    max_redirects: int = 0
    body_limit: int = 1_048_576
    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    userpwd: str | None = None
    server_name: str | None = None
    resolve_to: str | None = None
    connect_only: bool = False
    want_certificate: bool = False
    http_version: str = ""  # "", "1.1", "2"


@dataclass(slots=True, kw_only=True)
class HttpAnswer:
    """What came back. `error` is a bounded slug, empty when a whole answer was read: "refused", "timeout", "dns",
    "tls", "certificate" (it did not verify), "unreachable", "reset", "redirects", "scheme", "protocol", "local" (our
    own lack of something: never the target's fault). A certificate is reported also when its verification failed."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=no_text)  # names in lower case, repeated ones joined with ", "
    body: bytes = b""
    truncated: bool = False
    error: str = ""
    message: str = ""
    phases: Mapping[str, float] = field(
        default_factory=no_figures
    )  # seconds spent in dns, connect, tls, first_byte, transfer
    total: float = 0.0
    address: str = ""
    url: str = ""  # the last one, after redirects
    redirects: int = 0
    http_version: str = ""
    certificate_expires: datetime | None = None
    certificate: Mapping[str, str] = field(default_factory=no_text)  # subject, issuer, names, as text


class ResolveError(Exception):
    """A name has no address now. `reason` is "dns" (the resolver said so), "timeout" (it said nothing in time) or
    "local" (our own lack of something: never the target's fault)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Resolver(Protocol):
    """Names to addresses, without a cache: a check looks anew each time. One name that hangs delays no other."""

    async def resolve(self, host: str, *, family: int = 0, timeout: float) -> Sequence[str]:
        """Addresses as text, best first, never empty. `family` is 4, 6 or 0 for either. Raises ResolveError."""
        ...


class HttpClient(Protocol):
    """A probe engine. Never raises for anything that the network or the server does."""

    async def fetch(self, request: HttpRequest) -> HttpAnswer: ...


# ---------------------------------------------------------------------------------------------------- checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One pushed heartbeat. `kind` is "start", "success", "fail" or "log"; an exit code other than 0 is a fail."""

    at: datetime
    kind: str
    exit_code: int | None = None
    body: str = ""
    run_id: str = ""


@dataclass(slots=True, kw_only=True)
class BeatState:
    """What is remembered of one heartbeat check: the last of each kind. `start` is the run in progress: None when
    there is none, because the beat that ends a run takes it away."""

    first_at: datetime  # since when beats are expected at all (check first configured)
    success: Beat | None = None
    fail: Beat | None = None
    start: Beat | None = None
    log: Beat | None = None
    last: Beat | None = None
    took: timedelta | None = None  # of the last run that had a start and an end
    total: int = 0


class BeatBook(Protocol):
    """Where pushed heartbeats are kept. Reading never blocks."""

    def state(self, service: str, check: str) -> BeatState: ...

    def blind_since(self) -> tuple[datetime, datetime]:
        """The last time span in which beats could not be taken in: from the end of the last agent's life to the
        start of this one. Empty (both the same) on a first start."""
        ...


class BeatIntake(Protocol):
    """The other side of the same book: where the HTTP layer hands in what was pushed. Nothing here blocks."""

    def knows(self, service: str, check: str) -> bool:
        """Whether config has a heartbeat check of that name."""
        ...

    def admits(self, service: str, check: str, token: str | None) -> bool:
        """Whether that token opens the check; any does where config sets none. Compared in constant time."""
        ...

    def take(self, service: str, check: str, beat: Beat, body: bytes = b"") -> bool:
        """Take one beat in. `body` is what the sender pushed, as it came: at most 10 KiB of it are kept, decoded,
        as the beat's body, so there is no need to read more than a byte beyond that. False, and nothing is kept, for a
        check that is not known. Raises ValueError for a kind that is none of the four."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log, parsed as far as its format allows. `source` is "file:/path", "journal:unit",
    "process:name"; `level` is debug, info, warning, error, critical or "" where the line has none."""

    at: datetime
    source: str
    service: str
    level: str
    text: str
    trace_id: str = ""
    fields: Mapping[str, str] = field(default_factory=no_text)


class LogBook(Protocol):
    """The embedded log store, as checks and pages see it. Raises nothing: no answer is an empty one."""

    async def tail(self, service: str, *, before: datetime, lines: int = 20) -> list[LogLine]:
        """The last lines of a service before that moment, oldest first."""
        ...

    def count(self, service: str, pattern: str, since: datetime, level: str = "") -> int:
        """How many lines of the service, of at least that level where one is given, matched the registered pattern (a
        regular expression, searched for; empty matches every line) since then. Patterns are counted from the moment
        on which they are first asked for."""
        ...

    def watched_since(self, service: str, pattern: str, level: str = "") -> datetime:
        """From when on such lines are counted: the moment of the first question. Asking this is asking."""
        ...

    def last_match(self, service: str, pattern: str, level: str = "") -> LogLine | None: ...

    def pattern_trouble(self, service: str, pattern: str, level: str = "") -> str:
        """Why a pattern counts nothing, "" while it does: it is no regular expression, or far too slow a one."""
        ...


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
    host_trouble: str = ""  # why no restart on this host can help
    ready: bool = False


class Tools(Protocol):
    """What checks may use, shared by all runs. Built once by `agent.app`."""

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


# ---------------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """How an action ended, with the evidence taken just before it (at most 256 KiB in all)."""

    outcome: Outcome
    detail: str = ""
    evidence: Mapping[str, str] = field(default_factory=no_text)


class Remediator(Protocol):
    """Restarts one service. Never raises for "it did not work", and ends by itself within its own timeout."""

    async def perform(self, order: Restart) -> ActionOutcome: ...


class ChildProcesses(Protocol):
    """The processes that the agent supervises, by the name that config gives them."""

    async def restart(self, name: str, *, timeout: float) -> ActionOutcome: ...

    def pid(self, name: str) -> int | None:
        """The running process, None when it is not running or not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionType(Generic[O]):
    """One type of restart: `build` makes the remediator for one service's options. `short` as in CheckType."""

    name: str
    options: type[O]
    build: Callable[[O, ChildProcesses], Remediator]
    about: str
    short: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process that the agent starts at boot, restarts on order and stops with itself. `command` is an argv."""

    name: str
    command: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stop_timeout: float = 5.0  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpec:
    """One source of log lines: files by glob, or journald units; the lines belong to `service`."""

    service: str
    files: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------- channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a channel remembers of a delivered notice, e.g. Slack's channel id and message timestamp."""

    data: Mapping[str, str] = field(default_factory=no_text)


class DeliveryError(Exception):
    """A notice was not taken. `reason` is a bounded slug (auth, rate_limited, not_found, archived, invalid,
    server, network, timeout); a `retryable` one is tried again, no sooner than `retry_after` seconds."""

    def __init__(self, reason: str, message: str = "", *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after


class Channel(Protocol):
    """A way to people. One is made per configured channel; it may hold clients."""

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        """Deliver one notice. `opening` is the receipt of the same incident's opening notice on this channel, None
        if it never arrived (a closing notice then says so). Raises DeliveryError, and nothing else, when it could
        not; may be called again with the same notice (same key) after a crash."""
        ...

    async def verify(self) -> None:
        """Prove that the credentials work, without sending anything. Raises DeliveryError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelType(Generic[O]):
    """One type of channel: `build` makes it from its name and options. `per_second` is its default rate limit."""

    name: str
    options: type[O]
    build: Callable[[str, O], Channel]
    about: str
    per_second: float = 25.0


# ---------------------------------------------------------------------------------------------------- store


class StoreUnavailable(Exception):
    """The store could not do it now (missing, locked, full, read-only). Nothing was changed; only where the text says
    that it did not answer is that not known."""


class VersionConflict(Exception):
    """Somebody else has changed the service since it was read. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A service's state and its version, which counts commits from 1; 0 is a service that was never stored."""

    version: int
    state: ServiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A command in the outbox. `status` is "pending", "claimed", "done", "dead" or "cancelled"; `tries` counts
    the attempts made; `due_at` is when the next may start; `error` is the last one's reason and message."""

    command: Restart | Notice
    status: str
    tries: int
    due_at: datetime
    error: str = ""
    receipt: Receipt | None = None
    outcome: ActionOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive runs of one check with the same verdict and reason: `count` of them, from first to last."""

    service: str
    check: str
    verdict: Verdict
    reason: str
    first_at: datetime
    last_at: datetime
    count: int


class Store(Protocol):
    """The only truth after a kill -9. Every method may raise StoreUnavailable; each write is all or nothing."""

    async def load(self) -> Mapping[str, Stored]:
        """Every stored service by name."""
        ...

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        """ONE transaction: the new state, new commands (pending, due at once), cancelled ones (only where still
        pending), timeline rows. Returns the new version. Raises VersionConflict if the stored version is not
        `seen_version`. A command whose key is already there is not added again, whatever became of it."""
        ...

    async def forget(self, service: str) -> None:
        """Drop the state of a service that config no longer names. Outbox and timeline stay."""
        ...

    async def pending(self) -> Sequence[Outgoing]:
        """Every command that is pending, oldest first, and every notice that an agent claimed and did not settle
        (it may have been sent: it goes again, under the same key)."""
        ...

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        """Mark pending commands as claimed and started, in one statement. Returns those that are now ours; the
        others were cancelled, settled or claimed by somebody else."""
        ...

    async def reclaim(self, key: str, at: datetime) -> bool:
        """Boot only: take over a notice that a dead agent had claimed. False for a restart, always."""
        ...

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        """It is done: a delivered notice with its receipt, or a restart with its outcome. Settled is settled. Ends the
        attempt that a claim began, and counts it; so does `bury`."""
        ...

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        """It failed and is tried again: back to pending, one more try counted. A claimed restart stays claimed."""
        ...

    async def bury(self, key: str, at: datetime, error: str) -> None:
        """It is a dead letter, for a person to replay."""
        ...

    async def retract(self, key: str, at: datetime) -> None:
        """Cancel a notice that is pending or claimed by us: it was overtaken while it failed. Settled ones stay."""
        ...

    async def interrupted(self) -> Sequence[Restart]:
        """Restarts that were claimed and never settled: the agent died in them. They are never run again."""
        ...

    async def outgoing(self, keys: Sequence[str]) -> Mapping[str, Outgoing]:
        """What became of these commands; unknown keys are left out."""
        ...

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        """The receipt of that incident's delivered opening notice on that channel."""
        ...

    async def dead_letters(self) -> Sequence[Outgoing]: ...

    async def replay(self, keys: Sequence[str], at: datetime) -> int:
        """Make dead notices pending again with their tries at zero. Returns how many there were. Never a restart."""
        ...

    async def history(self, service: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Event]:
        """The newest `limit` timeline rows since then, oldest first; of every service when None."""
        ...

    async def save_beats(self, beats: Mapping[tuple[str, str], BeatState]) -> None: ...

    async def load_beats(self) -> Mapping[tuple[str, str], BeatState]: ...

    async def save_runs(self, runs: Iterable[Run]) -> None:
        """A run of the same check that began at the same time is the same one, grown longer."""
        ...

    async def runs(self, service: str, check: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Run]: ...

    async def get_note(self, name: str) -> str | None:
        """A small named text that the agent keeps for itself (when it was last alive)."""
        ...

    async def set_note(self, name: str, text: str) -> None: ...

    async def purge(self, before: datetime) -> int:
        """Delete settled commands, timeline rows and runs older than that, a bounded number at a time, never one that
        belongs to an open incident. Returns how many; call again until it says 0."""
        ...

    async def close(self) -> None: ...


# ---------------------------------------------------------------------------------------------------- the live table


@dataclass(slots=True, kw_only=True, eq=False)
class CheckRow:
    """The live figures of one check, written on every run and read by scrapes and pages. Mutable on purpose: it is
    the one thing on the path of a passing check. Times in seconds since the epoch; `runs` are counts by verdict in the
    order PASS, WARN, FAIL, UNKNOWN. `misses` counts FAILs in a row without limit."""

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
    series: tuple[bytes, ...] | None = None  # the metric renderer's prebuilt prefixes


@dataclass(slots=True, kw_only=True, eq=False)
class ServiceRow:
    """The live view of one service: its state as last committed, and its checks."""

    name: str
    state: ServiceState
    checks: dict[str, CheckRow] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    series: tuple[bytes, ...] | None = None

    @property
    def health(self) -> Health:
        return self.state.health
