"""What to do about an open incident: hold, restart within the budget, or page."""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from agent.core import breaker, budget, notices, paging, verify
from agent.core.commands import UNDONE, Outcome, Restart
from agent.core.draft import Draft
from agent.core.events import Approved, Confirm, EventKind, Parent, RestartAsked, RestartFinished
from agent.core.policy import Mode, RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Approval, Health, Stage, Tried

LOST_ORDER = timedelta(minutes=10)  # a restart that nobody has reported on for so long is given up
PAUSE = timedelta(seconds=5)  # how soon a step that was due while nobody could tell is looked at again


def sick_parents(parents: Mapping[str, Parent]) -> tuple[str, ...]:
    """The upstream services that may be the cause: down, suspect, or being looked at again right now."""
    bad = (Health.DOWN, Health.SUSPECT)
    return tuple(name for name, parent in parents.items() if parent.health in bad or parent.checking)


def plan(draft: Draft) -> None:
    """The next step for a service whose checks are down."""
    incident = draft.incident
    if draft.context.blind or unseen(draft):
        draft.change_incident(stage=Stage.WAITING, until=draft.at + PAUSE)
        return
    if sick := sick_parents(draft.context.parents):
        if incident.stage is not Stage.HELD:
            draft.change_incident(stage=Stage.HELD, held_by=sick, until=None)
            draft.say(EventKind.HELD, f"held: the cause is probably {', '.join(sick)}", by=", ".join(sick))
        return
    quiet = draft.context.quiet
    if quiet is not None and quiet.restarts:
        paging.hold(draft, quiet)
        return
    if _too_early(draft):
        draft.change_incident(stage=Stage.WAITING, until=draft.at + PAUSE)
        return
    policy = draft.policy.restart
    if policy is None or incident.reason == "unknown":
        paging.page(draft)
        return
    if Verdict.FAIL not in _verdicts(draft):
        paging.page(draft, "not restarted: its checks cannot tell any more whether it is still down")
        return
    if refused := breaker.refusal(draft, policy):
        draft.say(EventKind.RESTART_REFUSED, refused)
        paging.page(draft, f"{refused}; it is not restarted again until this incident is closed")
        return
    if draft.context.group is not None and draft.context.group.busy:
        draft.change_incident(stage=Stage.WAITING, until=draft.at + PAUSE)  # replicas take turns
        return
    due = breaker.not_before(draft, policy)
    if draft.at < due:
        draft.change_incident(stage=Stage.WAITING, until=due)
        return
    _go(draft, policy)


def _go(draft: Draft, policy: RestartPolicy) -> None:
    """Every rule allows it: restart, ask a person, or only say so."""
    action = policy.ladder[draft.incident.rung].action
    match policy.mode:
        case Mode.SHADOW:
            text = f"would have restarted by {action} (mode: shadow)"
            draft.say(EventKind.RESTART_SHADOWED, text, action=action)
            paging.page(draft, text)
        case Mode.ASK if not draft.incident.granted:
            _ask(draft, policy, action)
        case _:
            _order(draft, action)


def _ask(draft: Draft, policy: RestartPolicy, action: str) -> None:
    """Put the question to people. The answer is bound to this failure: its key ends with what fails and the step."""
    if draft.context.quiet is not None:
        paging.hold(draft, draft.context.quiet)
        return
    incident = draft.incident
    key, service = _question(draft), draft.state.service
    expires_at = draft.at + policy.approve_within
    text = f"restart by {action}? Approve within {budget.in_words(policy.approve_within)}: codeblue approve {service}"
    remind_at = draft.at + draft.policy.remind if draft.policy.remind else None
    draft.change_incident(
        stage=Stage.ASKING,
        approval=Approval(key=key, expires_at=expires_at),
        until=expires_at,
        remind_at=incident.remind_at or remind_at,
    )
    draft.say(EventKind.APPROVAL_ASKED, text, key=key, action=action)
    if incident.asked:
        notices.update(draft, f"{service} is down", note=text)
    else:
        paging.ask(draft, text)


def _question(draft: Draft) -> str:
    """The name of what people are asked: another one as soon as something else fails, or for another reason."""
    incident, checks = draft.incident, draft.state.checks
    failing = [(name, checks[name].reason if name in checks else "") for name in sorted(incident.failing)]
    bound = zlib.crc32(repr((failing, incident.rung, incident.summary)).encode())
    return f"{incident.id}/approval/{len(incident.tried) + 1}-{bound:08x}"


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
    if event.key == _question(draft):
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
    _order(draft, policy.ladder[draft.incident.rung].action)


def unseen(draft: Draft) -> bool:
    """Whether all that is known of the failing checks is from before the agent started."""
    failing = draft.incident.failing
    return bool(failing) and draft.context.unseen.issuperset(failing)


def _verdicts(draft: Draft) -> set[Verdict | None]:
    """What the failing checks said last, in this life of the agent."""
    fresh = (name for name in draft.incident.failing if name not in draft.context.unseen)
    return {draft.state.checks[name].verdict for name in fresh if name in draft.state.checks}


def _too_early(draft: Draft) -> bool:
    """Whether the service may be recovering just now, or nobody can tell, but not for long yet."""
    verdicts = _verdicts(draft)
    if draft.incident.reason == "unknown" or Verdict.FAIL in verdicts:
        return False
    if verdicts & {Verdict.PASS, Verdict.WARN}:
        return True
    since = draft.state.unknown_since
    return since is None or draft.at < since + draft.policy.unknown_after


def _order(draft: Draft, action: str) -> None:
    incident = draft.incident
    attempt = max(incident.orders, len(incident.tried)) + 1
    order = Restart(
        key=f"{incident.id}/restart/{attempt}",
        service=incident.service,
        incident=incident.id,
        action=action,
        attempt=attempt,
        at=draft.at,
        trace_id=incident.trace_id,
        step=incident.rung,
        grace=_grace(draft),
        interrupted_at=next((one.at for one in incident.tried[-1:] if one.outcome is Outcome.INTERRUPTED), None),
    )
    draft.commands.append(order)
    draft.change(restarts=budget.remembered(draft.state.restarts, draft.policy.restart, draft.at))
    draft.change_incident(
        stage=Stage.RESTARTING,
        until=draft.at + LOST_ORDER,
        tried=(*_without_waits(incident.tried), Tried(key=order.key, at=draft.at, action=action)),
        orders=attempt,
        held_by=(),
        approval=None,
        granted=False,
    )
    draft.say(EventKind.RESTART_ORDERED, f"restart {attempt} by {action}", action=action, key=order.key)


def _grace(draft: Draft) -> timedelta:
    """A start is given as long as a restart of ours, whoever made it: at the first look of an incident."""
    policy = draft.policy.restart
    return timedelta(0) if policy is None or draft.incident.tried else policy.ladder[0].verify


def _evidence(before: Mapping[str, str], event: RestartFinished) -> dict[str, str]:
    """Why a restart failed is what people have to know first."""
    if event.outcome in (Outcome.FAILED, Outcome.TIMEOUT):
        return {**event.evidence, **{name: text for name, text in before.items() if name not in event.evidence}}
    return {**before, **event.evidence}


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


def _without_waits(tried: tuple[Tried, ...]) -> tuple[Tried, ...]:
    """What was tried, but for the looks at something that was still starting: the last of them says it all."""
    return tuple(one for one in tried if one.outcome is not Outcome.LATER)


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
        if draft.context.blind or _too_early(draft):
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
