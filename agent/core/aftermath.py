"""What follows once an order is out: its end, which only the checks decide on, and the ends of windows."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from agent.core import budget, paging, verify
from agent.core.commands import UNDONE, Outcome
from agent.core.draft import Draft
from agent.core.events import Confirm, EventKind, RestartFinished
from agent.core.policy import Mode
from agent.core.remedy import PAUSE, plan, sick_parents, too_early, unseen
from agent.core.state import Stage


def restart_finished(draft: Draft, event: RestartFinished) -> None:
    """An order came back. What it says is not believed: the checks decide within the verify window."""
    incident = draft.state.incident
    tried = next((t for t in incident.tried if t.key == event.key), None) if incident else None
    if incident is None or tried is None:
        if event.action:  # it took longer than the service did to be well by itself
            _told(draft, event, event.action, "; the service was well before that")
        return
    if tried.outcome is not None:
        return
    done = replace(tried, outcome=event.outcome, detail=event.detail, done_at=draft.at)
    draft.change_incident(
        tried=tuple(done if t.key == event.key else t for t in incident.tried),
        evidence=_evidence(incident.evidence, event),
    )
    _told(draft, event, done.action)
    if event.outcome in UNDONE:
        draft.change(restarts=tuple(moment for moment in draft.state.restarts if moment != tried.at))
    if draft.incident.stage is not Stage.RESTARTING:
        return
    if event.outcome is Outcome.LATER:
        _wait_for_it(draft, event.detail)
        return
    draft.change_incident(later_since=None)
    if event.outcome in (Outcome.DONE, Outcome.INTERRUPTED) and draft.policy.restart is not None:
        ladder = draft.policy.restart.ladder
        window = ladder[min(draft.incident.rung, len(ladder) - 1)].verify
        draft.change_incident(stage=Stage.VERIFYING, until=draft.at + window)
        draft.change(checks=verify.counting_anew(draft))
        draft.confirm_soon(*draft.incident.failing)
    else:
        if event.outcome is not Outcome.EXPIRED:
            _climb(draft)
        plan(draft)


def _told(draft: Draft, event: RestartFinished, action: str, more: str = "") -> None:
    detail = f": {event.detail}" if event.detail else ""
    text = f"restart by {action} {event.outcome}{detail}{more}"
    draft.say(EventKind.RESTART_FINISHED, text, action=action, outcome=event.outcome.value, key=event.key)


def _evidence(before: Mapping[str, str], event: RestartFinished) -> dict[str, str]:
    """Why a restart failed is what people have to know first."""
    if event.outcome in (Outcome.FAILED, Outcome.TIMEOUT):
        return {**event.evidence, **{name: text for name, text in before.items() if name not in event.evidence}}
    return {**before, **event.evidence}


def _wait_for_it(draft: Draft, why: str) -> None:
    """It is still starting, and is given as long for it as after a restart of ours. Then it is looked at again, and
    people are asked if it is starting even now."""
    policy, since = draft.policy.restart, draft.incident.later_since or draft.at
    ladder = policy.ladder if policy else ()
    window = ladder[min(draft.incident.rung, len(ladder) - 1)].verify if ladder else timedelta(0)
    if draft.at >= since + window:
        text = f"not restarted: after {budget.in_words(draft.at - since)}, {why or 'it is still starting'}"
        draft.change_incident(later_since=None)
        draft.say(EventKind.RESTART_REFUSED, text)
        paging.page(draft, text)
        return
    granted = policy is not None and policy.mode is Mode.ASK  # what a person allowed has not been done yet
    draft.change_incident(later_since=since, granted=granted, stage=Stage.WAITING, until=draft.at + window)
    draft.confirm_soon(*draft.incident.failing)


def _climb(draft: Draft) -> None:
    """What was tried did not help: the next rung of a ladder; a single action is tried again within its budget."""
    policy = draft.policy.restart
    if policy is not None and len(policy.ladder) > 1:
        draft.change_incident(rung=draft.incident.rung + 1)


def time_passed(draft: Draft) -> None:
    """What an open incident waited for has come: the end of a window, a reminder, or a parent's recovery."""
    incident = draft.incident
    if incident.stage is Stage.HELD:
        if not sick_parents(draft.context.parents):
            draft.confirm.extend(Confirm(check=check, after=timedelta(0)) for check in incident.failing)
        return
    if unseen(draft):
        return
    if incident.stage is Stage.QUIET:
        _quiet_time_passed(draft)
    elif incident.stage is not Stage.PAGED and incident.until is not None and draft.at >= incident.until:
        _window_ended(draft)
    paging.due(draft)


def _quiet_time_passed(draft: Draft) -> None:
    """The silence or the window may be over: what is still down then is dealt with as if it had just gone down."""
    if draft.context.quiet is not None:
        paging.hold(draft, draft.context.quiet)
        return
    draft.change_incident(quiet="", until=None, stage=Stage.WATCHING)
    if draft.incident.failing:
        plan(draft)


def _window_ended(draft: Draft) -> None:
    incident = draft.incident
    if incident.stage is Stage.VERIFYING:
        if draft.context.blind or too_early(draft):
            draft.change_incident(until=draft.at + PAUSE)
            return
        draft.say(EventKind.VERIFY_FAILED, "the restart did not help: its checks did not recover in time")
        _climb(draft)
    elif incident.stage is Stage.RESTARTING:
        lost = tuple(
            replace(t, outcome=Outcome.INTERRUPTED, detail="nothing was heard of it") if t.outcome is None else t
            for t in incident.tried
        )
        draft.change_incident(tried=lost)
        draft.say(EventKind.VERIFY_FAILED, "nothing was heard of the restart that was ordered")
        _climb(draft)
    elif incident.stage is Stage.ASKING:
        draft.change_incident(approval=None)
        late = "nobody approved the restart in time"
        draft.say(EventKind.RESTART_REFUSED, late)
        paging.page(draft, late)
        return
    plan(draft)
