"""The plan of one soak: what breaks when, for how long, and who does what to the agent meanwhile. A seed makes it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.soak.receivers import MOODS
from bench.soak.services import Service

GAP = 1.1  # seconds between two outages, on average
LULL = 12.0  # seconds between two disturbances of the agent and of what it relies on, on average
BEGIN = 8.0  # seconds in which nothing happens at first

# what, how often among the others, for how many seconds
DISTURBANCES = (
    ("slack oncall", 5, (3.0, 45.0)),
    ("slack team", 5, (3.0, 45.0)),
    ("hook", 5, (3.0, 45.0)),
    ("reload good", 4, (0.0, 0.0)),
    ("reload bad", 3, (2.0, 12.0)),
    ("rename", 3, (8.0, 25.0)),
    ("remove", 3, (8.0, 25.0)),
    ("hup storm", 2, (0.5, 2.0)),
    ("kill", 6, (0.1, 6.0)),
    ("stop", 2, (0.1, 4.0)),
    ("suspend", 4, (2.0, 25.0)),
    ("lock", 3, (8.0, 20.0)),
    ("delete", 2, (0.0, 0.0)),
    ("full", 2, (5.0, 20.0)),
    ("ack", 4, (0.0, 0.0)),
    ("silence", 4, (6.0, 20.0)),
    ("deployed", 2, (5.0, 15.0)),
    ("rotate", 4, (0.0, 0.0)),
    ("tell", 2, (0.0, 0.0)),
    ("storm", 2, (10.0, 25.0)),
)
EXTRA = {
    "reload bad": ("half", "key", "parent"),
    "rotate": ("move", "copy"),
    **dict.fromkeys(("slack oncall", "slack team", "hook"), MOODS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """At `at` seconds `what` begins, for `seconds`. For an outage `what` is "break" and `mode` says how; one that is
    not `curable` outlives restarts, and with `stuck` the restart itself hangs."""

    at: float
    what: str
    target: str = ""
    mode: str = ""
    seconds: float = 0.0
    curable: bool = True
    stuck: bool = False


def plan(seed: int, seconds: float, services: Sequence[Service], *, gap: float = GAP, lull: float = LULL) -> list[Act]:
    """Everything that will be tried, in order. The same for the same arguments."""
    dice = random.Random(seed)
    begin = min(BEGIN, seconds / 4)
    return sorted([*_outages(dice, begin, seconds, services, gap), *_disturbances(dice, begin, seconds, lull)], key=_at)


def _at(act: Act) -> float:
    return act.at


def _outages(dice: random.Random, at: float, seconds: float, services: Sequence[Service], gap: float) -> list[Act]:
    found = []
    while (at := at + dice.expovariate(1 / gap)) < seconds:
        service = dice.choice(services)
        lasts = dice.choices((dice.uniform(0.2, 2.0), dice.uniform(4.0, 15.0), dice.uniform(20.0, 60.0)), (2, 7, 2))[0]
        found.append(
            Act(
                at=at,
                what="break",
                target=service.target,
                mode=dice.choice(service.modes),
                seconds=lasts,
                curable=bool(service.restart) and dice.random() < 0.6,
                stuck=service.restart == "command" and dice.random() < 0.1,
            )
        )
    return found


def _disturbances(dice: random.Random, at: float, seconds: float, lull: float) -> list[Act]:
    found = []
    kinds, weights = [each[0] for each in DISTURBANCES], [each[1] for each in DISTURBANCES]
    spans = {each[0]: each[2] for each in DISTURBANCES}
    while (at := at + dice.expovariate(1 / lull)) < seconds:
        what = dice.choices(kinds, weights)[0]
        mode = dice.choice(EXTRA[what]) if what in EXTRA else ""
        found.append(Act(at=at, what=what, mode=mode, seconds=dice.uniform(*spans[what])))
    return found
