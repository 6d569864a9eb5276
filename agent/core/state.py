"""What is remembered of a service between two decisions: its checks, its health and its open incident."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from agent.core.commands import Outcome
from agent.core.contact import Contact
from agent.core.result import Verdict


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
