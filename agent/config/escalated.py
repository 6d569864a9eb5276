"""What a service says about who is woken for it: severity, labels, escalation policy."""

from collections.abc import Mapping
from dataclasses import replace

from agent.config.around import Around
from agent.config.channels import fallbacks
from agent.config.envelope import ServiceKeys
from agent.config.escalation import named_escalation
from agent.config.forms import Reading
from agent.config.pool import Pool
from agent.config.report import Place
from agent.config.routes import OWN_KEYS
from agent.core.policy import Escalation, Policy
from agent.core.rota import Person


def escalated(policy: Policy, keys: ServiceKeys, around: Around, place: Place, reading: Reading, pool: Pool) -> Policy:
    """The policy with its severity and labels, with the escalation policy that the service names or that a route gives
    it, and with the fallbacks of every channel by which it may ask. What is wrong is reported."""
    defaults, routing = around.defaults, around.routing
    severity = keys.severity or defaults.severity
    labels = {**defaults.labels, **keys.labels}
    for key in (key for key in keys.labels if key in OWN_KEYS):
        reading.report.add(place.at("labels", key), f"every service has a {key} of its own, which is no label")
    facts = {**labels, "severity": severity, "service": keys.name, "group": keys.group}
    if keys.escalate is None:
        escalation = routing.choose(facts)
    else:
        escalation = named_escalation(keys.escalate, routing.escalations, place.at("escalate"), reading)
    ways = pool.made(("ways", escalation and escalation.name), lambda: _ways(escalation, routing.people))
    asked = (*policy.page, *policy.notify, *ways)
    return replace(
        policy,
        severity=severity,
        labels=pool.made(("labels", tuple(sorted(labels.items()))), lambda: labels),
        escalation=escalation,
        fallback=pool.made(("fallback", asked), lambda: fallbacks(asked, around.channels)),
    )


def _ways(escalation: Escalation | None, people: Mapping[str, Person]) -> tuple[str, ...]:
    """The channels by which a policy may ask: those of its steps, and those of everybody, as anybody may be on call."""
    if escalation is None:
        return ()
    named = [target.removeprefix("channel:") for step in escalation.steps for target in step.notify]
    known = [name for name in named if ":" not in name]
    return tuple(dict.fromkeys([*known, *(channel for person in people.values() for channel in person.contacts)]))
