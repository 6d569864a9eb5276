"""What goes into a decision (inputs), and what comes out of it (a `Decision` with commands and events)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from agent.core.commands import Command, Outcome, Restart
from agent.core.contact import Contact
from agent.core.few import no_text
from agent.core.result import CheckResult
from agent.core.state import Health, ServiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A check ran. `evidence` is what the shell gathered for a page (last log lines before the first miss)."""

    at: datetime
    check: str
    result: CheckResult
    evidence: Mapping[str, str] = field(default_factory=no_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """The time that the state asked for (`wake_at`) has come, or a parent's health changed."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartFinished:
    """An ordered restart ended; `evidence` was taken just before it (exit code, last output). `action` says by what,
    for an order whose incident is over."""

    at: datetime
    key: str
    outcome: Outcome
    detail: str = ""
    evidence: Mapping[str, str] = field(default_factory=no_text)
    action: str = ""
    order: Restart | None = None  # the order itself, where it was made along with a dependant's


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAlong:
    """A dependant, whose own restart did not help, asks that this service is restarted first. `key` is for the order
    that follows if every rule allows it, `part_of` the dependant's order, `incident` its incident."""

    at: datetime
    key: str
    by: str
    part_of: str
    incident: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDelivered:
    """A channel took the notice."""

    at: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFailed:
    """A channel refused the notice for good, or ten tries were used up: it is a dead letter now."""

    at: datetime
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanged:
    """Config was reloaded: checks may have come or gone."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRemoved:
    """Config no longer names the service: what is open is closed, saying so, or `why` where there is another reason."""

    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """The wall clock jumped by `by`: everything that waits is moved along, so that nothing fires early or late."""

    at: datetime
    by: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A person answered the question whether to restart. `by` is who, for the timeline."""

    at: datetime
    key: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """Somebody says that the service is being deployed or restarted by hand until then; `quiet` when it is the agent
    itself that has just started it."""

    at: datetime
    until: datetime
    by: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A person has taken the open incident on. `until` overrides how long that holds by policy. `incident`, where it is
    given, must be the open one: a button under an old message acknowledges nothing new."""

    at: datetime
    by: str
    until: datetime | None = None
    incident: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAsked:
    """A person orders a restart now. Only what would be dangerous refuses it: one under way, a replica's turn."""

    at: datetime
    by: str
    incident: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something worth a line in the timeline of the service, and in the messages of its open incident when `tell`.
    It is told as loudly as a page when `loud`: what people have acknowledged was less than that."""

    at: datetime
    text: str
    by: str = ""
    tell: bool = False
    loud: bool = False
    evidence: Mapping[str, str] = field(default_factory=no_text)


Input = (
    Observed
    | Ticked
    | RestartFinished
    | RestartAlong
    | NoticeDelivered
    | NoticeFailed
    | PolicyChanged
    | ServiceRemoved
    | ClockStepped
    | Approved
    | Deployed
    | Acknowledged
    | RestartAsked
    | Noted
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What a service sees of a service that it depends on. `checking`: a fresh look at it is under way, because
    this service missed a beat, and has not come back yet."""

    health: Health
    since: datetime | None = None
    checking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a service sees of the replicas that it is one of. `busy` is another one that is being restarted or verified
    just now, `not_helped` one whose restart did not heal it in an incident that is still open. `share` of them failing
    at once is the most that is taken for independent failures; `restarts_left` is what is left of their budget."""

    name: str
    size: int
    failing: int
    busy: str = ""
    not_helped: str = ""
    share: float = 0.34
    restarts_left: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Why nobody is asked about a service now: a silence, a maintenance window, closed hours, a gathering incident that
    pages for it. `until` is when that ends as far as is known (the engine ticks the service whenever it changes).
    With `restarts` nothing is restarted either."""

    why: str
    until: datetime | None = None
    restarts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a decision may know beyond its own service: a snapshot taken by the engine.

    `parents` are all services upstream, near and far. `blind` says why the agent cannot trust its own eyes, empty
    when it can. `restarts_left` is what is left of the budget that all services of this host share. `unseen` are the
    failing checks, and those that could not tell, that have not run since the agent started: what is remembered of
    them may long be over.
    """

    parents: Mapping[str, Parent] = field(default_factory=dict)
    blind: str = ""
    restarts_left: int = 1_000_000
    fleet_left: int = 1_000_000  # the same of all agents of the fleet
    unseen: frozenset[str] = frozenset()
    group: Group | None = None
    host_trouble: str = ""  # why no restart on this host can help ("out of disk: / is 99.8 % full")
    agent: str = ""
    trace_link: str = ""  # a URL with {trace_id} in it
    reach: Mapping[str, tuple[Contact, ...]] = field(default_factory=dict)  # by the escalation's targets, now
    contacts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # person -> channel -> address
    quiet: Quiet | None = None
    dependants: tuple[str, ...] = ()  # all services downstream, near and far


class EventKind(StrEnum):
    """Past-tense facts, in the order in which an incident usually sees them."""

    MISSED = "missed"
    RECOVERED_EARLY = "recovered_early"  # a miss that was followed by a pass: nothing was decided
    OPENED = "opened"
    CHECK_JOINED = "check_joined"
    HELD = "held"
    RELEASED = "released"
    RESTART_ORDERED = "restart_ordered"
    RESTART_FINISHED = "restart_finished"
    RESTART_REFUSED = "restart_refused"  # the text says which rule refused it
    RESTART_SHADOWED = "restart_shadowed"
    APPROVAL_ASKED = "approval_asked"
    APPROVED = "approved"
    DEPLOYED = "deployed"
    VERIFY_FAILED = "verify_failed"
    PAGED = "paged"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    REMINDED = "reminded"
    CHECK_RECOVERED = "check_recovered"
    CLOSED = "closed"
    ACKNOWLEDGED = "acknowledged"
    ACK_EXPIRED = "ack_expired"
    ESCALATED = "escalated"
    QUIETED = "quieted"  # people would have been asked, and the text says why not
    FLAPPING = "flapping"
    RESTART_ASKED = "restart_asked"  # by a person
    NOTED = "noted"
    WARNED = "warned"
    UNKNOWN = "unknown"
    KNOWN = "known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact for observers and a row of the timeline. Nothing is ever decided by reading one."""

    kind: EventKind
    service: str
    at: datetime
    text: str
    incident: str = ""
    check: str = ""
    data: Mapping[str, str] = field(default_factory=no_text)
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Run a check again `after` this long, from a fresh connection, traced in full. Not stored: a restart of the
    agent runs every check anyway."""

    check: str
    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided. `state` is the very same object that went in when there is nothing to store."""

    state: ServiceState
    commands: tuple[Command, ...] = ()
    cancelled: tuple[str, ...] = ()  # keys of commands that are taken back unless already under way
    events: tuple[Event, ...] = ()
    confirm: tuple[Confirm, ...] = ()
