"""What a run of a check changes: the check, its service's health, and the incident."""

from dataclasses import replace

from agent.core import flapping, notices
from agent.core.draft import Draft
from agent.core.events import Confirm, EventKind, Observed
from agent.core.few import few
from agent.core.health import advance, health_of
from agent.core.incident import close_incident, joint_evidence, open_incident
from agent.core.remedy import plan, sick_parents
from agent.core.result import HANDED_OVER, Verdict
from agent.core.state import CheckState, Stage
from agent.core.verify import old_news


def observed(draft: Draft, event: Observed) -> None:
    """A run of a check. A FAIL while the agent is blind means that nobody can tell; one from before a restart was done
    says nothing about it."""
    policy = draft.policy.checks.get(event.check)
    if policy is None:
        return
    result = event.result
    if draft.context.blind and result.verdict is Verdict.FAIL:
        summary = f"{draft.context.blind} (seen: {result.summary})"
        result = replace(result, verdict=Verdict.UNKNOWN, reason="blind", summary=summary)
    before = draft.state.checks.get(event.check, CheckState())
    if before.down and old_news(draft, result):
        draft.confirm_soon(event.check)
        return
    after = advance(before, result, policy)
    if after is not before:
        draft.change(checks=few({**draft.state.checks, event.check: after}))
        _tell(draft, event.check, before, after)
    settle_health(draft)
    if after.misses > before.misses and not after.down and policy.retry:
        draft.confirm.append(Confirm(check=event.check, after=policy.retry))
    _incident_after(draft, event, after)


def _tell(draft: Draft, check: str, before: CheckState, after: CheckState) -> None:
    """Events for what a run changed in its check, and the quiet note for a lasting warning."""
    limit = draft.policy.checks[check].misses
    if after.misses > before.misses:
        text = f"missed beat {after.misses} of {limit}: {after.summary}"
        draft.say(EventKind.MISSED, text, check=check, reason=after.reason, trace_id=after.trace_id)
    elif before.misses and not after.misses and not before.down:
        draft.say(EventKind.RECOVERED_EARLY, "passed again before anything was decided", check=check)
    if after.warned and not before.warned:
        draft.say(EventKind.WARNED, after.summary, check=check, reason=after.reason)
        notices.warning(draft, check, after.summary)
    was_unknown, is_unknown = (c.verdict is Verdict.UNKNOWN for c in (before, after))
    if is_unknown and not was_unknown and not draft.context.blind:
        draft.say(EventKind.UNKNOWN, f"cannot tell: {after.summary}", check=check, reason=after.reason)
    elif was_unknown and not is_unknown and draft.state.unknown_since is not None:
        draft.say(EventKind.KNOWN, f"can tell again: {after.summary}", check=check)


def settle_health(draft: Draft) -> None:
    """Keep the service's health, and since when it is so, in step with its checks."""
    health = health_of(draft.state.checks, draft.policy.checks)
    if health is not draft.state.health:
        draft.change(health=health, since=draft.at)
    expected = (draft.state.checks.get(name) for name in draft.policy.checks)
    unknown = any(check is not None and check.verdict is Verdict.UNKNOWN for check in expected)
    if not unknown and draft.state.unknown_since is not None:
        draft.change(unknown_since=None)
    elif unknown and draft.state.unknown_since is None and not draft.context.blind:
        draft.change(unknown_since=draft.at)


def _incident_after(draft: Draft, event: Observed, after: CheckState) -> None:
    if draft.state.incident is None:
        if after.down:
            open_incident(draft, event.check, after, event)
            plan(draft)
        return
    if after.down and event.check not in draft.incident.failing:
        failing = (*draft.incident.failing, event.check)
        draft.change_incident(failing=failing, evidence=joint_evidence(draft.incident.evidence, event))
        draft.say(EventKind.CHECK_JOINED, f"{event.check} is down too: {after.summary}", check=event.check)
        _joined(draft, event.check)
    elif event.check in draft.incident.failing and not _still_bad(draft, event.check):
        left = tuple(name for name in draft.incident.failing if name != event.check)
        draft.change_incident(failing=left)
        draft.say(EventKind.CHECK_RECOVERED, f"{event.check} passes again", check=event.check)
        if not left:
            if not flapping.calms_down(draft):
                over = event.result.summary if event.result.reason == HANDED_OVER else "recovered"
                close_incident(draft, over, event.evidence)
            return
    if event.check not in draft.incident.failing:
        return
    stage = draft.incident.stage
    if stage is Stage.VERIFYING or after.passes:
        draft.confirm_soon(event.check)
    if stage is Stage.HELD and _seen_bad(draft, after):
        _release(draft, event)


def _joined(draft: Draft, check: str) -> None:
    """One more check is down. Who was asked knows of a flapping service that it does that."""
    again, stage = draft.incident.calm_at is not None, draft.incident.stage
    if again:
        flapping.opened(draft)
    if stage is Stage.PAGED and not again:
        notices.update(draft, f"{draft.state.service}: {check} is down too")
    elif stage is Stage.ASKING or (again and stage is not Stage.PAGED):
        plan(draft)  # a question to people is another one now


def _seen_bad(draft: Draft, check: CheckState) -> bool:
    """Whether this very run showed what the incident is about."""
    if check.verdict is Verdict.UNKNOWN:
        return draft.incident.reason == "unknown"
    return check.down and check.verdict is Verdict.FAIL


def _still_bad(draft: Draft, check: str) -> bool:
    state = draft.state.checks.get(check)
    if state is None or check not in draft.policy.checks:
        return False
    return state.down or (draft.incident.reason == "unknown" and state.verdict is Verdict.UNKNOWN)


def _release(draft: Draft, event: Observed) -> None:
    """A held service failed again. If that was seen after its parents were well, they are not the cause."""
    parents = draft.context.parents.values()
    if sick_parents(draft.context.parents):
        return
    if any(parent.since is not None and event.result.at < parent.since for parent in parents):
        draft.confirm_soon(event.check)
        return
    draft.say(EventKind.RELEASED, "still failing although everything upstream is well")
    draft.change_incident(held_by=())
    plan(draft)
