"""What a decision orders of the world: restarts and messages, and how they may end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from agent.core.few import no_text


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
