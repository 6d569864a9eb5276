"""What the HTTP side needs of the rest of the agent."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.core.events import Input
from agent.core.policy import Policy
from agent.operations import Operations
from agent.ports import AlertIntake, BeatIntake, DrillBook, Notifying, OnCall, Said, ServiceRow, Store, Vitals
from agent.quiet.desk import Desk


def utc_now() -> datetime:
    return datetime.now(UTC)


def _nobody(_service: str, _event: Input) -> None:
    """Nobody listens: for pages that only show."""


def _none_shared(_service: str) -> Mapping[str, int]:
    """No budget is known but the service's own."""
    return {}


def _no_secrets() -> Mapping[str, Callable[[Said], None]]:
    """Nothing that is posted is signed by anybody known."""
    return {}


def _no_tokens() -> tuple[str, ...]:
    """Whoever asks from this machine may pass."""
    return ()


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDeps:
    """Everything is read when it is asked for, so that a reload needs no new app.

    `metrics` is `Metrics.render`, `count_beat` is `Metrics.count_beat` (kind, outcome). `replay` makes dead letters
    with these keys pending, queues them and says how many there were. `policy` is None for a service that config does
    not name, `shared_budgets` are the restarts that are left to it and others together. `tell` hands the core an input
    of that service, `redact` takes registered secrets out of a text, `operations` is what people do about incidents,
    `desk` their silences and windows. `signed` says who takes what
    Slack posts, by the secret that it is signed with.
    `oncall` is the book of who is on call, `notifying` tries out channels, `drills` is where fire drills are held.
    """

    agent: str
    version: str
    table: Mapping[str, ServiceRow]
    vitals: Vitals
    store: Store
    beats: BeatIntake
    metrics: Callable[[str], tuple[str, Iterable[bytes]]]
    count_beat: Callable[[str, str], None]
    replay: Callable[[Sequence[str]], Awaitable[int]]
    policy: Callable[[str], Policy | None]
    shared_budgets: Callable[[str], Mapping[str, int]] = _none_shared
    tell: Callable[[str, Input], None] = _nobody
    signed: Callable[[], Mapping[str, Callable[[Said], None]]] = _no_secrets
    tokens: Callable[[], tuple[str, ...]] = _no_tokens
    redact: Callable[[str], str] = _unchanged
    operations: Operations | None = None
    alerts_in: AlertIntake | None = None
    oncall: OnCall | None = None
    desk: Desk | None = None
    notifying: Notifying | None = None
    drills: DrillBook | None = None
    now: Callable[[], datetime] = utc_now
