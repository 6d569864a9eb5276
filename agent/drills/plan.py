"""Whom a drill asks, and who is asked when it fails. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta

from agent.config.model import Config
from agent.core.contact import Contact
from agent.core.policy import Drill, Escalation, Policy

CHANNELS = "@channels"  # what a drill is of that is no service's; no service can be called so
NEVER = timedelta(0)

Reach = Callable[[Escalation], Mapping[str, tuple[Contact, ...]]]


def wanted(config: Config, of: str) -> Policy | None:
    """How that is paged by the configuration; None for a service that it does not name."""
    if of != CHANNELS:
        spec = config.services.get(of)
        return spec.policy if spec else None
    drill = config.drill
    every = [name for spec in config.services.values() for name in spec.policy.page]
    page = drill.page or (() if drill.escalation else tuple(dict.fromkeys(every)))
    fallback = {name: spec.fallback for name, spec in config.channels.items() if spec.fallback}
    return Policy(service=CHANNELS, page=page, escalation=drill.escalation, fallback=fallback)


def drilled(config: Config, of: str, policy: Policy, reach: Reach) -> Policy:
    """How a drill of that is paged: as the real thing would be at first, never restarted, never repeated, and with
    nobody who would only be asked later or instead."""
    return Policy(
        service="",
        page=policy.page,
        escalation=first_asked(policy.escalation, reach) if policy.escalation else None,
        remind=NEVER,
        page_deadline=NEVER,
        unknown_after=NEVER,
        severity=policy.severity,
        labels=policy.labels,
        drill=Drill(of=called(of), seen=config.drill.seen is not None),
    )


def first_asked(escalation: Escalation, reach: Reach) -> Escalation:
    """The escalation up to whoever is asked first: the first step that reaches anybody now, and those before it."""
    contacts = reach(escalation)
    steps = []
    for step in escalation.steps:
        steps.append(step)
        if step.wait and any(contacts.get(target) for target in step.notify):
            break
    return replace(escalation, steps=tuple(steps), repeat=0)


def called(of: str) -> str:
    return "the channels" if of == CHANNELS else of


def command(of: str) -> str:
    """What a person types for another one."""
    return "codeblue drill" if of == CHANNELS else f"codeblue drill {of}"


def other_way(config: Config, policy: Policy, failed: Collection[str]) -> Policy:
    """How a drill that failed is paged: really, and not by what failed. The fallbacks of what failed, and whatever else
    the service pages; any other channel where that is none; what failed itself only where there is nothing else."""
    fallbacks = [name for channel in failed for name in policy.fallback.get(channel, ())]
    others = [name for name in (*fallbacks, *policy.page) if name not in failed]
    page = others or [name for name in config.channels if name not in failed] or list(config.channels)
    unique = tuple(dict.fromkeys(page))
    return Policy(
        service="",
        page=unique,
        fallback={**policy.fallback, **{name: unique for name in failed if name not in unique}},
        escalation=policy.escalation,
        remind=policy.remind,
        page_deadline=policy.page_deadline,
        unknown_after=NEVER,
        severity=policy.severity,
        labels=policy.labels,
    )
