"""When an escalation policy lets people be: outside of its hours, and in its quiet hours for what can wait."""

from datetime import datetime

from agent.core.events import Quiet
from agent.core.hours import closed, ends_at
from agent.core.policy import Escalation, Policy

_MOST_STEPS = 32  # from closed hours into quiet ones and back: hours that leave no gap in two weeks never do


def closed_hours(policy: Policy, at: datetime) -> Quiet | None:
    """Why nobody is asked about this service at that moment, and until when (None there: always so); None when people
    may be asked."""
    escalation = policy.escalation
    if escalation is None:
        return None
    found = _closed(escalation, policy.severity, at)
    if found is None:
        return None
    until = found[1]
    for _ in range(_MOST_STEPS):
        further = _closed(escalation, policy.severity, until) if until is not None else None
        if further is None:
            return Quiet(why=found[0], until=until)
        until = further[1]
    return Quiet(why=found[0])


def _closed(escalation: Escalation, severity: str, at: datetime) -> tuple[str, datetime | None] | None:
    if escalation.hours is not None and (opens := closed(escalation.hours, at)):
        return f"{escalation.name} pages only {escalation.hours}", opens
    quiet = escalation.quiet_hours
    if quiet is not None and severity in escalation.quiet_for and at in quiet:
        return f"{escalation.name} has quiet hours for {severity}: {quiet}", ends_at(quiet, at)
    return None
