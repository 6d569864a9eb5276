"""A restart that a dependant asks for: the same rules as for a service's own, without an incident of its own."""

from dataclasses import replace
from datetime import timedelta

from agent.core import breaker, budget
from agent.core.aftermath import restart_finished
from agent.core.commands import UNDONE, Outcome, Restart
from agent.core.draft import Draft
from agent.core.events import EventKind, RestartAlong, RestartFinished
from agent.core.policy import Mode, RestartPolicy
from agent.core.state import Stage

ALONG = "dependencies"  # the action that asks for these
GRACE = timedelta(minutes=10)  # for so long at most it is not restarted for failing meanwhile


def own_step(policy: RestartPolicy) -> int:
    """Which step of a ladder restarts the service itself: the first that is a plain restart."""
    actions = [step.action for step in policy.ladder]
    plain = (number for number, action in enumerate(actions) if action != ALONG and " " not in action)
    others = (number for number, action in enumerate(actions) if action != ALONG)
    return next(plain, next(others, 0))


def restarts(draft: Draft, event: RestartAlong | RestartFinished) -> None:
    """What the world says of restarts: one is asked for by a dependant, one has ended."""
    if isinstance(event, RestartAlong):
        _ordered(draft, event)
    elif event.order is not None:
        _finished(draft, event, event.order)
    else:
        restart_finished(draft, event)


def _ordered(draft: Draft, event: RestartAlong) -> None:
    """Order it, or say why not."""
    policy = draft.policy.restart
    if policy is None:
        return
    if why := _refusal(draft, policy):
        draft.say(EventKind.RESTART_REFUSED, f"not restarted along with {event.by}: {why}", key=event.key)
        return
    step = own_step(policy)
    action = policy.ladder[step].action
    order = Restart(
        key=event.key,
        service=draft.state.service,
        incident=event.incident,
        action=action,
        attempt=1,
        at=draft.at,
        step=step,
        part_of=event.part_of,
    )
    draft.commands.append(order)
    draft.change(restarts=budget.remembered(draft.state.restarts, policy, draft.at), deployed_until=draft.at + GRACE)
    text = f"restarted by {action} along with {event.by}"
    draft.say(EventKind.RESTART_ORDERED, text, action=action, key=event.key, along=event.by)


def _finished(draft: Draft, event: RestartFinished, order: Restart) -> None:
    """It came back. From here on it is given as long as after any restart."""
    if event.outcome in UNDONE:
        draft.change(restarts=tuple(moment for moment in draft.state.restarts if moment != order.at))
    if draft.state.deployed_until == order.at + GRACE:
        verify = draft.policy.restart.ladder[0].verify if draft.policy.restart else timedelta(0)
        begun = event.outcome in (Outcome.DONE, Outcome.INTERRUPTED)
        draft.change(deployed_until=draft.at + verify if begun else None)
        incident = draft.state.incident
        if incident is not None and incident.stage is Stage.WAITING:
            draft.change(incident=replace(incident, until=draft.state.deployed_until or draft.at))
    detail = f": {event.detail}" if event.detail else ""
    draft.say(
        EventKind.RESTART_FINISHED,
        f"restart by {order.action} {event.outcome}{detail}",
        action=order.action,
        outcome=event.outcome.value,
        key=event.key,
    )


def _refusal(draft: Draft, policy: RestartPolicy) -> str:
    context, incident = draft.context, draft.state.incident
    if policy.mode is not Mode.AUTO:
        return f"its own restarts are not automatic (mode: {policy.mode.value})"
    if context.blind:
        return f"the agent cannot trust its own eyes: {context.blind}"
    if context.quiet is not None and context.quiet.restarts:
        return context.quiet.why
    if incident is not None and incident.stage in (Stage.RESTARTING, Stage.VERIFYING):
        return "it is being restarted already"
    if context.host_trouble:
        return f"this host is {context.host_trouble}"
    if context.group is not None and context.group.busy:
        return f"{context.group.busy} of its group is being restarted"
    if spent := breaker.spent(draft, policy):
        return spent
    deployed = draft.state.deployed_until
    if deployed is not None and draft.at < deployed:
        return "it is being deployed, or was started a moment ago"
    waits = budget.not_before(draft.state.restarts, policy, draft.at) - draft.at
    return f"its backoff goes on for {budget.in_words(waits)}" if waits > timedelta(0) else ""
