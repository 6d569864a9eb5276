"""What to do about an open incident: hold, restart within the budget, ask, or page."""

import zlib
from collections.abc import Mapping
from datetime import timedelta

from agent.core import breaker, budget, notices, paging
from agent.core.commands import Outcome, Restart
from agent.core.draft import Draft
from agent.core.events import EventKind, Parent
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
    if too_early(draft):
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
            order(draft, action)


def _ask(draft: Draft, policy: RestartPolicy, action: str) -> None:
    """Put the question to people. The answer is bound to this failure: its key ends with what fails and the step."""
    if draft.context.quiet is not None:
        paging.hold(draft, draft.context.quiet)
        return
    incident = draft.incident
    key, service = question(draft), draft.state.service
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


def question(draft: Draft) -> str:
    """The name of what people are asked: another one as soon as something else fails, or for another reason."""
    incident, checks = draft.incident, draft.state.checks
    failing = [(name, checks[name].reason if name in checks else "") for name in sorted(incident.failing)]
    bound = zlib.crc32(repr((failing, incident.rung, incident.summary)).encode())
    return f"{incident.id}/approval/{len(incident.tried) + 1}-{bound:08x}"


def unseen(draft: Draft) -> bool:
    """Whether all that is known of the failing checks is from before the agent started."""
    failing = draft.incident.failing
    return bool(failing) and draft.context.unseen.issuperset(failing)


def _verdicts(draft: Draft) -> set[Verdict | None]:
    """What the failing checks said last, in this life of the agent."""
    fresh = (name for name in draft.incident.failing if name not in draft.context.unseen)
    return {draft.state.checks[name].verdict for name in fresh if name in draft.state.checks}


def too_early(draft: Draft) -> bool:
    """Whether the service may be recovering just now, or nobody can tell, but not for long yet."""
    verdicts = _verdicts(draft)
    if draft.incident.reason == "unknown" or Verdict.FAIL in verdicts:
        return False
    if verdicts & {Verdict.PASS, Verdict.WARN}:
        return True
    since = draft.state.unknown_since
    return since is None or draft.at < since + draft.policy.unknown_after


def order(draft: Draft, action: str) -> None:
    """Order the restart of the rung that is next: it is spent of the budget, and reported on within `LOST_ORDER`."""
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


def _without_waits(tried: tuple[Tried, ...]) -> tuple[Tried, ...]:
    """What was tried, but for the looks at something that was still starting: the last of them says it all."""
    return tuple(one for one in tried if one.outcome is not Outcome.LATER)
