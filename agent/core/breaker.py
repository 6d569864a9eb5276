"""The rules that stop a restart: each says in words why, for the page and the timeline. Order is urgency."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from agent.core import budget, flapping
from agent.core.commands import UNDONE, Outcome
from agent.core.draft import Draft
from agent.core.policy import Mode, RestartPolicy
from agent.core.state import Incident, Record, Stage

ENOUGH_CASES = 4  # of a kind of failure before its record is believed
LONG_RECORD = 20  # beyond this, older cases weigh half


def refusal(draft: Draft, policy: RestartPolicy) -> str:
    """Why people are paged instead of a restart; empty when one is allowed as far as can be said now."""
    incident, context = draft.incident, draft.context
    last = incident.tried[-1] if incident.tried else None
    if policy.mode is Mode.OFF:
        return "restarts are switched off for this service (mode: off)"
    if last is not None and last.outcome is Outcome.REFUSED:
        return f"not restarted: {last.detail}"
    if incident.flapping:
        return f"not restarted: it is flapping, so restarts do not last ({flapping.in_words(draft)})"
    if incident.rung >= len(policy.ladder):
        return f"every step was tried: {', '.join(step.action for step in policy.ladder)}"
    if context.host_trouble:
        return f"not restarted: this host is {context.host_trouble}"
    group = context.group
    if group is not None and group.not_helped and group.failing > max(1.0, group.share * group.size):
        return (
            f"not restarted: {group.failing} of {group.size} in {group.name} fail at once, and restarting "
            f"{group.not_helped} did not help: the cause is probably shared"
        )
    if hopeless := _hopeless(draft, policy):
        return hopeless
    return spent(draft, policy)


def spent(draft: Draft, policy: RestartPolicy) -> str:
    """Which budget is used up: the service's own, its group's, the host's or the fleet's; empty when none is."""
    context, group = draft.context, draft.context.group
    if own := budget.refusal(draft.state.restarts, policy, draft.at):
        return own
    if group is not None and group.restarts_left <= 0:
        return f"the restart budget of the group {group.name} is used up"
    if context.restarts_left <= 0:
        return "the restart budget of this host is used up"
    return "the restart budget of the fleet is used up" if context.fleet_left <= 0 else ""


def not_before(draft: Draft, policy: RestartPolicy) -> datetime:
    """The earliest moment for a restart that is allowed: after the backoff, and after a deployment."""
    due = budget.not_before(draft.state.restarts, policy, draft.at)
    if due > draft.at and policy.jitter:
        spread = sum(draft.incident.id.encode()) % 100 / 100  # the same for one incident, different among many
        due += (due - draft.at) * policy.jitter * spread
    deployed = draft.state.deployed_until
    return due if deployed is None else max(due, deployed)


def kind_of(incident: Incident) -> str:
    """What makes two failures of a service alike enough to learn from."""
    return f"{incident.check}: {incident.reason}"


def learned(draft: Draft) -> Mapping[str, Record]:
    """The records after the open incident, which is about to close: restarts healed it if nobody had to be asked."""
    incident = draft.incident
    if all(tried.outcome in UNDONE or tried.outcome is None for tried in incident.tried):
        return draft.state.record
    kind = kind_of(incident)
    known = draft.state.record.get(kind, Record())
    healed = incident.stage in (Stage.VERIFYING, Stage.RESTARTING) and not incident.asked
    after = replace(known, tried=known.tried + 1, healed=known.healed + healed)
    if after.tried > LONG_RECORD:
        after = Record(tried=after.tried // 2, healed=after.healed // 2)
    return {**draft.state.record, kind: after}


def _hopeless(draft: Draft, policy: RestartPolicy) -> str:
    record = draft.state.record.get(kind_of(draft.incident))
    if not policy.min_success or record is None or record.tried < ENOUGH_CASES:
        return ""
    if record.healed / record.tried >= policy.min_success:
        return ""
    return (
        f"not restarted: that helped in {record.healed} of {record.tried} cases of {kind_of(draft.incident)!r} before"
    )
