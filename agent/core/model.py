"""The nouns of codeblue: verdicts, results, policies, and the state that decisions are made on.

Everything here is immutable and knows no clock, no I/O and no library but the standard one. Times are aware UTC
datetimes; durations are timedeltas; a phase or a value is a float in base units (seconds, bytes, ratios).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from agent.core.hours import Hours

NOTHING: Mapping[str, float] = MappingProxyType({})
HANDED_OVER = "handed_over"  # the reason of a pass that ends an incident which isn't over: its summary says what is
HEARTBEAT = "Heartbeat"  # the piece of evidence that says what the checks said last, in one line
NO_TEXT: Mapping[str, str] = MappingProxyType({})


def no_figures() -> Mapping[str, float]:
    """The shared empty mapping: most results have nothing to add."""
    return NOTHING


def no_text() -> Mapping[str, str]:
    """The shared empty mapping of texts."""
    return NO_TEXT


class Verdict(StrEnum):
    """What one run of a check says. FAIL means the target is bad; UNKNOWN means we could not tell."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """What is said of a whole service. PENDING: not every check has answered yet."""

    PENDING = "pending"
    UP = "up"
    DEGRADED = "degraded"
    SUSPECT = "suspect"
    DOWN = "down"
    UNKNOWN = "unknown"


class Stage(StrEnum):
    """Where an open incident stands."""

    HELD = "held"  # a dependency is the likely cause: nothing is restarted and nobody paged
    WAITING = "waiting"  # a restart is allowed, but its backoff has not passed
    RESTARTING = "restarting"  # an order is out
    ASKING = "asking"  # people were asked whether it may be restarted
    VERIFYING = "verifying"  # the restart is done: its checks must pass within the window
    PAGED = "paged"  # people were asked
    QUIET = "quiet"  # people would be asked, but a silence or a window says not now
    WATCHING = "watching"  # nothing to restart and nobody to page: it is only recorded


class NoticeKind(StrEnum):
    """What a message is about; the order is the order of urgency in every queue."""

    OPENED = "opened"
    REMINDER = "reminder"
    RESOLVED = "resolved"
    UPDATE = "update"
    NOTE = "note"  # for the quiet channel: healed by itself, a warning; nobody is woken


class Outcome(StrEnum):
    """How an ordered restart ended. None of them says that the service is healthy: only checks do."""

    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"  # the agent died between starting it and noting its end: never run again by itself
    EXPIRED = "expired"  # it was never started and is too old to be right now
    REFUSED = "refused"  # the action saw that it must not: stopped by an operator, masked
    LATER = "later"  # not now: it is still starting or stopping by itself, so it is waited for


UNDONE = frozenset({Outcome.EXPIRED, Outcome.REFUSED, Outcome.LATER})
"""The outcomes of an order that never came to be: none of them costs any budget."""


class Mode(StrEnum):
    """How much a service's restarts are trusted."""

    OFF = "off"  # never restarted: people are paged
    SHADOW = "shadow"  # says what it would have done, and pages
    ASK = "ask"  # a person approves each restart
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One run of a check.

    `reason` is a bounded slug that is safe as a metric label ("ok", "refused", "timeout", "overdue", "status");
    `summary` is one line for people. `at` is when the run began, `took` how long it took. `phases` are seconds by
    name (dns, connect, tls, first_byte, transfer), `values` figures by name, `evidence` texts for the page
    (bounded by whoever makes them). `target` is the host or address that was asked, empty for local things.
    """

    verdict: Verdict
    reason: str
    summary: str
    at: datetime
    took: timedelta
    phases: Mapping[str, float] = field(default_factory=no_figures)
    values: Mapping[str, float] = field(default_factory=no_figures)
    evidence: Mapping[str, str] = field(default_factory=no_text)
    target: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPolicy:
    """When a check's misses count: `misses` in a row before anything is decided, `recover` passes in a row to
    be well again, and a confirming run `retry` after a first miss (zero: wait for the next regular run)."""

    misses: int = 2
    recover: int = 2
    retry: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of a ladder: what is done ("systemd reload"), and how long its checks then have to recover."""

    action: str
    verify: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRule:
    """What holds for the replicas of a group together: when more than `share` of them fail at once it is one cause, and
    one canary decides for all; and at most `at_most` restarts in any window of `per` (None: no such limit)."""

    share: float = 0.34
    at_most: int | None = None
    per: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How a service may be restarted: at most `at_most` times in any window of `per`, the n-th restart in such a
    window no sooner than `backoff * 2**(n-2)` after the one before, each followed by `verify` in which the
    failing checks must recover. `action` names the remediator's type ("systemd", "process", "command").

    With `steps` (two or more) it is a ladder: each is tried once, in order, before people are paged; without, the one
    action is tried as often as the budget allows. `jitter` lengthens backoffs by up to that part. With `min_success`
    a service is paged at once for a kind of failure that restarts cured less often than that before. `approve_within`
    is how long a person may take to approve in mode ASK.
    """

    action: str
    at_most: int = 3
    per: timedelta = timedelta(hours=1)
    backoff: timedelta = timedelta(seconds=10)
    verify: timedelta = timedelta(seconds=30)
    steps: tuple[Step, ...] = ()
    mode: Mode = Mode.AUTO
    jitter: float = 0.1
    min_success: float = 0.0
    approve_within: timedelta = timedelta(minutes=15)

    @property
    def ladder(self) -> tuple[Step, ...]:
        return self.steps or (Step(action=self.action, verify=self.verify),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One way to reach somebody: a configured channel, and the address there (a Slack user, a mail address, a number).
    Without an address it is the channel itself, a place where people look. `person` is whose address it is."""

    channel: str
    to: str = ""
    person: str = ""

    @property
    def name(self) -> str:
        """What it is called in notices and their receipts: "oncall", or "sms/alice"."""
        return f"{self.channel}/{self.person}" if self.person else self.channel


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationStep:
    """Whom to ask, and how long they have to acknowledge before the next step. `notify` are targets: "oncall:NAME" (who
    is on call by that schedule at that moment), "person:NAME", "channel:NAME"; the first two may end in "/CHANNEL", the
    only way that is used then."""

    notify: tuple[str, ...]
    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """The steps of one escalation policy. After the last one it begins again `repeat` times. An acknowledgement holds
    it for `ack_for` (zero: until the incident is over). With `hours` people are asked only then; in `quiet_hours`
    nobody is asked about services whose severity is one of `quiet_for`: see `agent.core.closed`."""

    name: str
    steps: tuple[EscalationStep, ...]
    repeat: int = 0
    ack_for: timedelta = timedelta(hours=1)
    hours: Hours | None = None
    quiet_hours: Hours | None = None
    quiet_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """A service that goes down `at_most` times or more within `per` is flapping: its incident stays open, and says so
    once, until it has stayed up for `calm`."""

    at_most: int = 4
    per: timedelta = timedelta(hours=1)
    calm: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Pages of services that have the same people to ask, and the same values of `by` ("group", "severity", names of
    labels), are one message: the first after `wait`, what changes at most every `interval`."""

    by: tuple[str, ...]
    wait: timedelta = timedelta(seconds=30)
    interval: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """That something is no service but a fire drill: of what, and whether a person shall say to have `seen` it."""

    of: str
    seen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that config says about how one service is decided on.

    `page` are the channels that are asked when people are needed, `notify` the quiet ones that get notes.
    `fallback` names, for each channel, where a page goes that the channel did not take within `page_deadline`
    or refused for good. `remind` repeats an unresolved page (zero: never). `unknown_after` is how long a check
    may be unable to tell before that itself is paged (zero: never). `escalation` are the people who are asked beside
    the channels of `page`, step by step. `severity` and `labels` are what routes, silences and windows look at. `links`
    are web addresses by name ("Dashboard") where whoever is paged can read on.
    """

    service: str
    checks: Mapping[str, CheckPolicy] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    restart: RestartPolicy | None = None
    page: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remind: timedelta = timedelta(hours=4)
    page_deadline: timedelta = timedelta(minutes=1)
    unknown_after: timedelta = timedelta(minutes=5)
    runbook: str = ""
    group: str = ""  # replicas of one thing: restarted one at a time, the first result deciding for the rest
    escalation: Escalation | None = None
    severity: str = "critical"
    labels: Mapping[str, str] = field(default_factory=no_text)
    flapping: Flapping | None = None
    gather: Gather | None = None
    links: Mapping[str, str] = field(default_factory=no_text)
    drill: Drill | None = None

    @property
    def pages(self) -> bool:
        """Whether anybody at all is asked when people are needed."""
        return bool(self.page or self.escalation)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckState:
    """What is remembered of one check between its runs.

    `verdict` is the last one (None: never ran). `misses` counts FAILs in a row and stops at the policy's limit;
    `passes` counts PASS or WARN in a row while the check is down. A state that has nothing new to say stays the same
    object. `down` latches at the limit of misses and is released by the limit of passes. UNKNOWN changes no
    counter. `since` is when the present verdict began.
    """

    verdict: Verdict | None = None
    reason: str = ""
    summary: str = ""
    since: datetime | None = None
    misses: int = 0
    passes: int = 0
    down: bool = False
    first_miss_at: datetime | None = None
    warned: bool = False  # a note about the present streak of WARNs was already asked for
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One thing that was tried in an incident, for the page and the timeline."""

    key: str
    at: datetime
    action: str
    outcome: Outcome | None = None  # None: still running
    detail: str = ""
    done_at: datetime | None = None  # since then its checks have to pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A channel that was asked to page, and what became of it: the debt that a closing message settles. For a person's
    address `channel` is "CHANNEL/PERSON" (`Contact.name`), `to` the address and `person` whose it is."""

    channel: str
    key: str
    at: datetime
    delivered: bool = False
    failed: str = ""
    instead_of: str = ""  # the channel this one stands in for
    escaped: bool = False  # its own fallback was already asked
    reminder: str = ""  # key of the last reminder
    to: str = ""
    person: str = ""

    @property
    def contact(self) -> Contact:
        return Contact(channel=self.channel.partition("/")[0], to=self.to, person=self.person)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Somebody said "mine". It stops escalation and reminders until it expires (None: until the incident is over)."""

    by: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A question to people: may this be restarted? Good for one answer, until it expires or the failure changes."""

    key: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What restarts did for one kind of failure of a service so far: of `tried` incidents they healed `healed`."""

    tried: int = 0
    healed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """From the missed beats to the recovery. `id` is unique and stable; `failing` are the checks that are down."""

    id: str
    service: str
    opened_at: datetime
    first_miss_at: datetime
    check: str
    reason: str
    summary: str
    stage: Stage
    failing: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    asked: tuple[Asked, ...] = ()
    held_by: tuple[str, ...] = ()
    until: datetime | None = None  # end of the verify window or of the backoff, by stage
    remind_at: datetime | None = None
    notices: int = 0  # how many notices this incident has asked for: part of their keys
    rung: int = 0  # the step of the ladder that is next or under way
    approval: Approval | None = None
    granted: bool = False  # a person approved the next restart, which has not been ordered yet
    orders: int = 0  # how many restarts were ordered: part of their keys
    later_since: datetime | None = None  # since when it is waited for, as it is still starting
    evidence: Mapping[str, str] = field(default_factory=dict)
    trace_id: str = ""
    step: int = 0  # of the escalation: the next one to be taken
    round: int = 0  # how often the escalation has begun again
    escalate_at: datetime | None = None  # when the next step is due unless somebody acknowledges
    ack: Acknowledgement | None = None
    quiet: str = ""  # why nobody is asked now, empty while nothing holds pages back
    flapping: bool = False
    calm_at: datetime | None = None  # when a flapping service that is up has been well for long enough


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """All that is remembered of one service. A service without history is `ServiceState(service=name)`.

    `restarts` are the times of the restarts ordered, over all incidents: those that a budget may still count.
    `wake_at` is when the core wants a `Ticked`, None when it wants none.
    """

    service: str
    checks: Mapping[str, CheckState] = field(default_factory=dict)
    incident: Incident | None = None
    restarts: tuple[datetime, ...] = ()
    health: Health = Health.PENDING
    since: datetime | None = None  # when the present health began
    wake_at: datetime | None = None
    unknown_since: datetime | None = None
    deployed_until: datetime | None = None  # somebody is deploying: nothing is restarted until then
    record: Mapping[str, Record] = field(default_factory=dict)  # by kind of failure
    openings: tuple[datetime, ...] = ()  # when it went down lately, for flapping
    closings: tuple[datetime, ...] = ()  # and when it was up again


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The order to restart a service once. Claimed and marked started in one statement; at most once, ever."""

    key: str
    service: str
    incident: str
    action: str
    attempt: int
    at: datetime
    trace_id: str = ""
    step: int = 0  # which rung of the service's ladder
    grace: timedelta = timedelta(0)  # what was started, by whomever, less than this ago is left alone
    part_of: str = ""  # the order of a dependant, whose restart begins with those of its dependencies
    interrupted_at: datetime | None = None  # when the order before it was given, if a kill of the agent interrupted it


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message for one channel, its facts frozen when it was decided. Sent at least once, always under this key.

    `incident` groups the notices of one incident (an update edits the opening message, a closing one ends its
    thread). `facts` are short labelled texts in display order ("Check", "Since", "Tried"); `evidence` are longer ones
    by name; both come from outside and must be escaped and truncated by the channel. `note` says what is unusual
    about this message ("#oncall did not take this page: invalid_auth"). `to` is the address on that channel where it is
    for one person; `channel` is then "CHANNEL/PERSON". `offers` are what a person may do about it from the message:
    "ack", "silence", "restart", "approve:KEY", "seen:DRILL". `calls` are the people who are asked and whom a message in
    a place that others read, too, mentions. A `drill` is no real incident, and says so first.
    """

    key: str
    incident: str
    service: str
    channel: str
    kind: NoticeKind
    title: str
    summary: str
    at: datetime
    opened_at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    runbook: str = ""
    trace_id: str = ""
    to: str = ""
    person: str = ""
    offers: tuple[str, ...] = ()
    severity: str = ""
    labels: Mapping[str, str] = field(default_factory=no_text)
    calls: tuple[str, ...] = ()
    drill: bool = False


Command = Restart | Notice
