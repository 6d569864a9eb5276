"""What people answer and order about restarts: approvals, and restarts by hand."""

from agent.core import paging
from agent.core.draft import Draft
from agent.core.events import Approved, EventKind, RestartAsked
from agent.core.remedy import order, plan, question
from agent.core.state import Stage


def approved(draft: Draft, event: Approved) -> None:
    """A person said yes. It counts once, in time, and only for the failure that was shown: where something else fails
    by now, the question is put anew."""
    incident = draft.state.incident
    approval = incident.approval if incident else None
    policy = draft.policy.restart
    if incident is None or approval is None or approval.key != event.key or policy is None:
        draft.say(EventKind.RESTART_REFUSED, f"{event.by} approved what is no longer asked: {event.key}")
        return
    draft.change_incident(approval=None)
    draft.say(EventKind.APPROVED, f"{event.by} approved the restart", by=event.by, key=event.key)
    if draft.at > approval.expires_at or incident.stage is not Stage.ASKING:
        draft.say(EventKind.RESTART_REFUSED, "the approval came too late")
        paging.page(draft, "the approval came too late")
        return
    if event.key == question(draft):
        draft.change_incident(granted=True)
    else:
        draft.say(EventKind.RESTART_REFUSED, "something else fails than what the approval was asked for")
    plan(draft)  # every other rule still stands


def asked_for(draft: Draft, event: RestartAsked) -> None:
    """A person orders a restart: his judgement stands above budget, mode and record; what is under way goes on."""
    incident, policy = draft.state.incident, draft.policy.restart
    refused = ""
    if incident is None or (event.incident and event.incident != incident.id):
        refused = "the incident is over"
    elif policy is None:
        refused = "no restart is configured"
    elif incident.stage in (Stage.RESTARTING, Stage.VERIFYING):
        refused = "one is under way"
    elif draft.context.group is not None and draft.context.group.busy:
        refused = f"{draft.context.group.busy} of the same group is being restarted"
    if refused or policy is None:
        draft.say(EventKind.RESTART_REFUSED, f"{event.by} asked for a restart, not done: {refused}", by=event.by)
        return
    draft.say(EventKind.RESTART_ASKED, f"{event.by} asked for a restart", by=event.by)
    if draft.incident.rung >= len(policy.ladder):
        draft.change_incident(rung=0)
    order(draft, policy.ladder[draft.incident.rung].action)
