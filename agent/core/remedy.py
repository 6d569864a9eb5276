"""What to do about an open incident: hold, restart within the budget, or page."""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from agent.core import breaker, budget, notices
from agent.core.draft import Draft
from agent.core.events import Approved, Confirm, EventKind, Parent, RestartFinished
from agent.core.model import Approval, Health, Mode, Outcome, Restart, RestartPolicy, Stage, Tried, Verdict

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
    if _too_early(draft):
        draft.change_incident(stage=Stage.WAITING, until=draft.at + PAUSE)
        return
    policy = draft.policy.restart
    if policy is None or incident.reason == "unknown":
        _page(draft)
        return
    if Verdict.FAIL not in _verdicts(draft):
        _page(draft, "not restarted: its checks cannot tell any more whether it is still down")
        return
    if refused := breaker.refusal(draft, policy):
        draft.say(EventKind.RESTART_REFUSED, refused)
        _page(draft, f"{refused}; it is not restarted again until this incident is closed")
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
            _page(draft, text)
        case Mode.ASK if not draft.incident.granted:
            _ask(draft, policy, action)
        case _:
            _order(draft, action)


def _ask(draft: Draft, policy: RestartPolicy, action: str) -> None:
    """Put the question to people. The answer is bound to this failure: its key ends with what fails and the step."""
    incident = draft.incident
    bound = zlib.crc32(repr((incident.failing, incident.rung, incident.summary)).encode())
    key = f"{incident.id}/approval/{len(incident.tried) + 1}-{bound:08x}"
    expires_at = draft.at + policy.approve_within
    text = f"restart by {action}? Approve within {budget.in_words(policy.approve_within)}: codeblue approve {key}"
    remind_at = draft.at + draft.policy.remind if draft.policy.remind else None
    draft.change_incident(
        stage=Stage.ASKING,
        approval=Approval(key=key, expires_at=expires_at),
        until=expires_at,
        remind_at=incident.remind_at or remind_at,
    )
    draft.say(EventKind.APPROVAL_ASKED, text, key=key, action=action)
    if incident.asked:
        notices.update(draft, f"{draft.state.service}: {text}")
    else:
        notices.page(draft, draft.policy.page, note=text)


def approved(draft: Draft, event: Approved) -> None:
    """A person said yes. It counts once, in time, and only for the failure that was shown."""
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
        _page(draft)
        return
    draft.change_incident(granted=True)
    plan(draft)  # every other rule still stands


def unseen(draft: Draft) -> bool:
    """Whether all that is known of the failing checks is from before the agent started."""
    return draft.context.unseen.issuperset(draft.incident.failing)


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
    attempt = len(incident.tried) + 1
    order = Restart(
        key=f"{incident.id}/restart/{attempt}",
        service=incident.service,
        incident=incident.id,
        action=action,
        attempt=attempt,
        at=draft.at,
        trace_id=incident.trace_id,
        step=incident.rung,
    )
    draft.commands.append(order)
    draft.change(restarts=budget.remembered(draft.state.restarts, draft.policy.restart, draft.at))
    draft.change_incident(
        stage=Stage.RESTARTING,
        until=draft.at + LOST_ORDER,
        tried=(*incident.tried, Tried(key=order.key, at=draft.at, action=action)),
        held_by=(),
        approval=None,
        granted=False,
    )
    draft.say(EventKind.RESTART_ORDERED, f"restart {attempt} by {action}", action=action, key=order.key)


def _page(draft: Draft, refused: str = "") -> None:
    if not draft.policy.page:
        if draft.incident.stage is not Stage.WATCHING:
            draft.change_incident(stage=Stage.WATCHING, until=None)
        return
    remind_at = draft.at + draft.policy.remind if draft.policy.remind else None
    draft.change_incident(stage=Stage.PAGED, until=None, remind_at=remind_at, held_by=())
    notices.page(draft, draft.policy.page, note=refused)


def restart_finished(draft: Draft, event: RestartFinished) -> None:
    """An order came back. What it says is not believed: the checks decide within the verify window."""
    incident = draft.state.incident
    tried = next((t for t in incident.tried if t.key == event.key), None) if incident else None
    if incident is None or tried is None or tried.outcome is not None:
        return
    done = replace(tried, outcome=event.outcome, detail=event.detail)
    draft.change_incident(
        tried=tuple(done if t.key == event.key else t for t in incident.tried),
        evidence={**incident.evidence, **event.evidence},
    )
    detail = f": {event.detail}" if event.detail else ""
    draft.say(
        EventKind.RESTART_FINISHED,
        f"restart by {done.action} {event.outcome}{detail}",
        action=done.action,
        outcome=event.outcome.value,
        key=event.key,
    )
    if event.outcome in (Outcome.EXPIRED, Outcome.REFUSED):
        draft.change(restarts=tuple(moment for moment in draft.state.restarts if moment != tried.at))
    if draft.incident.stage is not Stage.RESTARTING:
        return
    if event.outcome in (Outcome.DONE, Outcome.INTERRUPTED) and draft.policy.restart is not None:
        ladder = draft.policy.restart.ladder
        verify = ladder[min(draft.incident.rung, len(ladder) - 1)].verify
        draft.change_incident(stage=Stage.VERIFYING, until=draft.at + verify)
        draft.confirm_soon(*draft.incident.failing)
    else:
        if event.outcome is not Outcome.EXPIRED:
            _climb(draft)
        plan(draft)


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
    if incident.until is not None and draft.at >= incident.until:
        _window_ended(draft)
    remind_at = draft.incident.remind_at
    if remind_at is not None and draft.at >= remind_at:
        draft.change_incident(remind_at=draft.at + draft.policy.remind if draft.policy.remind else None)
        notices.remind(draft)
    for asked in draft.incident.asked:
        overdue = bool(draft.policy.page_deadline) and draft.at >= asked.at + draft.policy.page_deadline
        if overdue and not asked.delivered and not asked.escaped:
            escape(draft, asked.key, f"not taken within {budget.in_words(draft.policy.page_deadline)}")


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
        draft.say(EventKind.RESTART_REFUSED, "nobody approved the restart in time")
        _page(draft)
        return
    plan(draft)


def escape(draft: Draft, key: str, reason: str) -> None:
    """A page did not reach its channel: ask the fallback, once, and say why."""
    asked = next(a for a in draft.incident.asked if a.key == key)
    fallback = draft.policy.fallback.get(asked.channel, ())
    draft.change_incident(
        asked=tuple(replace(a, escaped=True) if a.key == key else a for a in draft.incident.asked),
    )
    where = f"; asking {', '.join(fallback)} instead" if fallback else "; there is no fallback"
    draft.say(EventKind.UNDELIVERED, f"{asked.channel}: {reason}{where}", channel=asked.channel, reason=reason)
    notices.page(draft, fallback, instead_of=asked.channel, note=f"{asked.channel} has not got this page: {reason}")
