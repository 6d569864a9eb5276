"""Which escalation policy a service has: its own, by the first route that matches, or the default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from agent.config.envelope import Defaults
from agent.config.escalation import named_escalation
from agent.config.forms import Reading
from agent.config.report import Place
from agent.config.rota_keys import RouteKeys
from agent.config.tree import Entry
from agent.core.policy import Escalation
from agent.core.rota import Person

DEFAULT = "default"  # the policy of this name is that of every service that nothing else is said of
OWN_KEYS = ("severity", "service", "group")  # what routes match beside labels


@dataclass(frozen=True, slots=True)
class Route:
    """Services that match get this policy, which may be none."""

    match: Mapping[str, tuple[str, ...]]
    escalation: Escalation | None

    def takes(self, facts: Mapping[str, str]) -> bool:
        """Whether every pattern is met. A service without a label has nothing to match there."""
        return all(
            any(fnmatchcase(facts[key], pattern) for pattern in patterns) if key in facts else False
            for key, patterns in self.match.items()
        )


@dataclass(frozen=True, slots=True)
class Routing:
    """What chooses the policy of a service."""

    people: Mapping[str, Person] = field(default_factory=dict)
    escalations: Mapping[str, Escalation] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    default: Escalation | None = None

    def choose(self, facts: Mapping[str, str]) -> Escalation | None:
        """The policy of a service of these facts (`OWN_KEYS` and its labels) that names none itself."""
        return next((route.escalation for route in self.routes if route.takes(facts)), self.default)


def read_routing(
    entries: list[Entry],
    escalations: Mapping[str, Escalation],
    people: Mapping[str, Person],
    defaults: tuple[Defaults, Place],
    reading: Reading,
) -> Routing:
    """The routes in order; what is wrong is reported."""
    keys, place = defaults
    if keys.escalate is None:
        default = escalations.get(DEFAULT)
    else:
        default = named_escalation(keys.escalate, escalations, place.at("escalate"), reading)
    routes: list[Route] = []
    for entry in entries:
        written = reading.model(RouteKeys, entry.value, entry.place)
        if written:
            escalation = named_escalation(written.escalate, escalations, entry.place.at("escalate"), reading)
            if routes and not routes[-1].match:
                reading.report.add(entry.place, "is never reached: the route before it takes every service")
            routes.append(Route(written.match, escalation))
    return Routing(people, escalations, tuple(routes), default)
