"""Where an escalation stands: whether another step follows, when, and whom it will ask. Pure questions."""

from collections.abc import Iterable

from agent.core.contact import Contact
from agent.core.draft import Draft
from agent.core.policy import Escalation, EscalationStep


def goes_on(draft: Draft, escalation: Escalation) -> bool:
    """Whether there is another step after those that were taken."""
    return draft.incident.step < len(escalation.steps) or draft.incident.round < escalation.repeat


def next_step(draft: Draft) -> str:
    """When the next step is due and whom it asks as things are now; empty while none is due."""
    incident, escalation = draft.incident, draft.policy.escalation
    if escalation is None or incident.escalate_at is None or incident.ack is not None or incident.quiet:
        return ""
    if not goes_on(draft, escalation):
        return ""
    step = escalation.steps[incident.step % len(escalation.steps)]
    whom = ", ".join(_named(reached(draft, step))) or whom_it_names(step)
    return f"{incident.escalate_at:%Y-%m-%d %H:%M:%S} UTC: {whom}, unless somebody acknowledges it"


def reached(draft: Draft, step: EscalationStep) -> list[Contact]:
    """Everybody whom the step asks now, each address once."""
    found = (contact for target in step.notify for contact in draft.context.reach.get(target, ()))
    return list(dict.fromkeys(found))


def whom_it_names(step: EscalationStep) -> str:
    """Its targets as the configuration calls them."""
    return ", ".join(target.partition(":")[2] for target in step.notify)


def _named(contacts: Iterable[Contact]) -> list[str]:
    return list(dict.fromkeys(contact.person or contact.channel for contact in contacts))
