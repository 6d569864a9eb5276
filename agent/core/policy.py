"""Everything that config says about how a service is decided on: when misses count, restarts, pages, escalation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from agent.core.few import no_text
from agent.core.hours import Hours


class Mode(StrEnum):
    """How much a service's restarts are trusted."""

    OFF = "off"  # never restarted: people are paged
    SHADOW = "shadow"  # says what it would have done, and pages
    ASK = "ask"  # a person approves each restart
    AUTO = "auto"


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
