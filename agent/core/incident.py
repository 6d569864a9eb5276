"""The decision: state + input -> state + commands + events. Nothing here knows a clock or does any I/O."""

from collections.abc import Mapping
from dataclasses import replace

from agent.core import breaker, budget, flapping, notices, paging
from agent.core.along import restarts
from agent.core.draft import Draft, shifted
from agent.core.events import (
    Acknowledged,
    Approved,
    ClockStepped,
    Confirm,
    Context,
    Decision,
    Deployed,
    EventKind,
    Input,
    Noted,
    NoticeDelivered,
    NoticeFailed,
    Observed,
    PolicyChanged,
    RestartAlong,
    RestartAsked,
    RestartFinished,
    ServiceRemoved,
    Ticked,
)
from agent.core.few import NO_TEXT, few
from agent.core.health import advance, health_of
from agent.core.policy import Policy
from agent.core.remedy import approved, asked_for, plan, sick_parents, time_passed
from agent.core.result import HANDED_OVER, HEARTBEAT, Verdict
from agent.core.state import Asked, CheckState, Incident, ServiceState, Stage
from agent.core.verify import old_news

__all__ = ["decide"]


def decide(state: ServiceState, event: Input, policy: Policy, context: Context) -> Decision:
    """What follows from one input. Deterministic; the state in the answer is the same object that came in when
    nothing is worth storing."""
    draft = Draft(state=state, policy=policy, context=context, at=event.at)
    match event:
        case Observed():
            _observed(draft, event)
        case Ticked():
            _ticked(draft)
        case RestartFinished() | RestartAlong():
            restarts(draft, event)
        case NoticeDelivered():
            _delivered(draft, event)
        case NoticeFailed():
            _undelivered(draft, event)
        case PolicyChanged():
            _policy_changed(draft)
        case ServiceRemoved():
            if state.incident is not None:
                _close(draft, event.why or "is no longer watched: config does not name it any more")
        case ClockStepped():
            draft.state = shifted(state, event.by)
        case Approved() | Deployed() | Acknowledged() | RestartAsked() | Noted():
            _said_by_people(draft, event)
    return draft.finish(state)


def _said_by_people(draft: Draft, event: Approved | Deployed | Acknowledged | RestartAsked | Noted) -> None:
    match event:
        case Approved():
            approved(draft, event)
        case Deployed():
            _deployed(draft, event)
        case Acknowledged():
            paging.acknowledged(draft, event)
        case RestartAsked():
            asked_for(draft, event)
        case Noted():
            _noted(draft, event)


def _deployed(draft: Draft, event: Deployed) -> None:
    draft.change(deployed_until=event.until)
    if not event.quiet:
        by = f" by {event.by}" if event.by else ""
        draft.say(EventKind.DEPLOYED, f"being deployed{by}: nothing is restarted until {event.until:%H:%M:%S} UTC")


def _noted(draft: Draft, event: Noted) -> None:
    draft.say(EventKind.NOTED, event.text, **({"by": event.by} if event.by else {}))
    if event.tell and draft.state.incident is not None:
        draft.change_incident(evidence={**draft.incident.evidence, **event.evidence})
        title = f"{draft.state.service}: {event.text}"
        if event.loud and draft.incident.stage is Stage.PAGED and not draft.incident.quiet:
            paging.again(draft, title, event.evidence)
        else:
            notices.update(draft, title, event.evidence)


def _observed(draft: Draft, event: Observed) -> None:
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
    _settle_health(draft)
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


def _settle_health(draft: Draft) -> None:
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
            _open(draft, event.check, after, event)
            plan(draft)
        return
    if after.down and event.check not in draft.incident.failing:
        failing = (*draft.incident.failing, event.check)
        draft.change_incident(failing=failing, evidence=_joint_evidence(draft.incident.evidence, event))
        draft.say(EventKind.CHECK_JOINED, f"{event.check} is down too: {after.summary}", check=event.check)
        _joined(draft, event.check)
    elif event.check in draft.incident.failing and not _still_bad(draft, event.check):
        left = tuple(name for name in draft.incident.failing if name != event.check)
        draft.change_incident(failing=left)
        draft.say(EventKind.CHECK_RECOVERED, f"{event.check} passes again", check=event.check)
        if not left:
            if not flapping.calms_down(draft):
                over = event.result.summary if event.result.reason == HANDED_OVER else "recovered"
                _close(draft, over, event.evidence)
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


def _open(draft: Draft, check: str, state: CheckState, event: Observed | None) -> None:
    result = event.result if event else None
    first_miss_at = state.first_miss_at or state.since or draft.at
    incident = Incident(
        id=notices.incident_id(draft.state.service, draft.at),
        service=draft.state.service,
        opened_at=draft.at,
        first_miss_at=first_miss_at,
        check=check,
        reason=state.reason if event else "unknown",
        summary=state.summary,
        stage=Stage.WATCHING,
        failing=(check,),
        evidence=_evidence(event),
        trace_id=result.trace_id if result else state.trace_id,
    )
    draft.change(incident=incident)
    draft.say(
        EventKind.OPENED,
        f"incident opened: {check}: {state.summary}",
        check=check,
        reason=incident.reason,
        seconds=f"{(draft.at - first_miss_at).total_seconds():.3f}",
    )
    flapping.opened(draft)


def _evidence(event: Observed | None) -> dict[str, str]:
    if event is None:
        return {}
    spent = ((name, seconds * 1000) for name, seconds in event.result.phases.items())
    phases = ", ".join(f"{name} {took:.1f} ms" for name, took in spent if took >= 0.05)
    timing = {"Phases": phases} if phases else {}
    return {**event.result.evidence, **event.evidence, **timing}


def _joint_evidence(before: Mapping[str, str], event: Observed) -> dict[str, str]:
    """With that of a further check, but for what is there already: both have the same logs and processes behind them.
    The strip shows every check, so the newest one counts."""
    now = _evidence(event)
    news = {name: text for name, text in now.items() if name != HEARTBEAT and before.get(name) != text}
    strip = {HEARTBEAT: now[HEARTBEAT]} if HEARTBEAT in now else {}
    return {**before, **strip, **{f"{name} ({event.check})": text for name, text in news.items()}}


def _close(draft: Draft, how: str, evidence: Mapping[str, str] = NO_TEXT) -> None:
    """End the incident. Whoever was asked is told once; where nobody was, a restart that healed is noted quietly."""
    incident = draft.incident
    span = budget.in_words(draft.at - incident.first_miss_at)
    draft.cancelled.extend(tried.key for tried in incident.tried if tried.outcome is None)
    if incident.asked:
        notices.close(draft, f"{how} after {span}", evidence)
    elif incident.tried:
        notices.note(draft, f"{draft.state.service} healed itself: {how} after {span}")
    healed = "" if incident.asked or not incident.tried else ", nobody was woken"
    draft.say(
        EventKind.CLOSED,
        f"incident closed: {how} after {span}{healed}",
        reason=incident.reason,
        seconds=f"{(draft.at - incident.opened_at).total_seconds():.3f}",
        healed=str(bool(incident.tried and not incident.asked)).lower(),
    )
    draft.change(incident=None, record=breaker.learned(draft))


def _ticked(draft: Draft) -> None:
    if draft.state.incident is not None:
        calm_at = draft.incident.calm_at
        if calm_at is not None and draft.at >= calm_at:
            _close(draft, "stopped flapping")
        else:
            time_passed(draft)
        return
    since, limit = draft.state.unknown_since, draft.policy.unknown_after
    if since is None or not limit or draft.at < since + limit or draft.context.blind:
        return
    names = draft.policy.checks
    found = ((name, draft.state.checks[name]) for name in names if name in draft.state.checks)
    unknown = next(((name, check) for name, check in found if check.verdict is Verdict.UNKNOWN), None)
    if unknown is not None:
        _open(draft, *unknown, None)
        plan(draft)


def _asked(draft: Draft, key: str) -> Asked | None:
    incident = draft.state.incident
    return next((asked for asked in incident.asked if asked.key == key), None) if incident else None


def _delivered(draft: Draft, event: NoticeDelivered) -> None:
    asked = _asked(draft, event.key)
    if asked is None or asked.delivered:
        return
    draft.change_incident(
        asked=tuple(replace(a, delivered=True) if a.key == event.key else a for a in draft.incident.asked)
    )
    seconds = f"{(draft.at - asked.at).total_seconds():.3f}"
    draft.say(EventKind.DELIVERED, f"{asked.channel} has the page", channel=asked.channel, seconds=seconds)


def _undelivered(draft: Draft, event: NoticeFailed) -> None:
    asked = _asked(draft, event.key)
    if asked is None:
        draft.say(EventKind.UNDELIVERED, f"a message was given up: {event.reason}", key=event.key, reason=event.reason)
        return
    draft.change_incident(
        asked=tuple(replace(a, failed=event.reason) if a.key == event.key else a for a in draft.incident.asked)
    )
    if not asked.escaped:
        paging.escape(draft, event.key, event.reason)


def _policy_changed(draft: Draft) -> None:
    """Checks that config no longer names are forgotten; an incident that only they kept open is closed."""
    kept = {name: check for name, check in draft.state.checks.items() if name in draft.policy.checks}
    if len(kept) != len(draft.state.checks):
        draft.change(checks=kept)
    _settle_health(draft)
    if draft.state.incident is None:
        return
    failing = tuple(name for name in draft.incident.failing if name in draft.policy.checks)
    if failing != draft.incident.failing:
        draft.change_incident(failing=failing)
    if not failing and draft.incident.calm_at is None:
        _close(draft, "is no longer judged by the check that failed: config does not name it any more")
    elif draft.incident.stage is Stage.WATCHING and draft.policy.pages:
        plan(draft)
    elif draft.incident.stage is Stage.PAGED and not draft.incident.quiet:
        paging.ask_new(draft)
