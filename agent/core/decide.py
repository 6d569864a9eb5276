"""The decision: state + input -> state + commands + events. Nothing here knows a clock or does any I/O."""

from dataclasses import replace

from agent.core import notices, paging
from agent.core.aftermath import time_passed
from agent.core.along import restarts
from agent.core.answers import approved, asked_for
from agent.core.draft import Draft, shifted
from agent.core.events import (
    Acknowledged,
    Approved,
    ClockStepped,
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
from agent.core.incident import close_incident, open_incident
from agent.core.observation import observed, settle_health
from agent.core.policy import Policy
from agent.core.remedy import plan
from agent.core.result import Verdict
from agent.core.state import Asked, ServiceState, Stage


def decide(state: ServiceState, event: Input, policy: Policy, context: Context) -> Decision:
    """What follows from one input. Deterministic; the state in the answer is the same object that came in when
    nothing is worth storing."""
    draft = Draft(state=state, policy=policy, context=context, at=event.at)
    match event:
        case Observed():
            observed(draft, event)
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
                close_incident(draft, event.why or "is no longer watched: config does not name it any more")
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


def _ticked(draft: Draft) -> None:
    if draft.state.incident is not None:
        calm_at = draft.incident.calm_at
        if calm_at is not None and draft.at >= calm_at:
            close_incident(draft, "stopped flapping")
        else:
            time_passed(draft)
        return
    since, limit = draft.state.unknown_since, draft.policy.unknown_after
    if since is None or not limit or draft.at < since + limit or draft.context.blind:
        return
    names = draft.policy.checks
    found = ((name, draft.state.checks[name]) for name in names if name in draft.state.checks)
    unseen = draft.context.unseen  # what nobody could tell in the agent's life before may be told by now
    still = ((name, check) for name, check in found if check.verdict is Verdict.UNKNOWN and name not in unseen)
    unknown = next(still, None)
    if unknown is not None:
        open_incident(draft, *unknown, None)
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
    settle_health(draft)
    if draft.state.incident is None:
        return
    failing = tuple(name for name in draft.incident.failing if name in draft.policy.checks)
    if failing != draft.incident.failing:
        draft.change_incident(failing=failing)
    if not failing and draft.incident.calm_at is None:
        close_incident(draft, "is no longer judged by the check that failed: config does not name it any more")
    elif draft.incident.stage is Stage.WATCHING and draft.policy.pages:
        plan(draft)
    elif draft.incident.stage is Stage.PAGED and not draft.incident.quiet:
        paging.ask_new(draft)
