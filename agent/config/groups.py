"""What replicas of one thing share: how many of them may fail for reasons of their own, and a budget of restarts."""

import re
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from agent.config.envelope import Envelope
from agent.config.forms import Reading
from agent.config.nearest import did_you_mean
from agent.config.registry import unique
from agent.config.tree import Entry
from agent.config.types import RateText
from agent.core.budget import REMEMBERED
from agent.core.policy import GroupRule


def _share(value: object) -> float:
    found = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*(%?)\s*", str(value))
    share = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < share <= 1:
        raise ValueError(f"expected a share such as 34% or 0.34, got {value!r}")
    return share


Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "string"}]}),
]


class GroupKeys(Envelope):
    restarts: RateText | None = Field(
        None, description="Budget that all replicas share, counted over a day at most. Default: no limit of its own."
    )
    share: Share = Field(
        GroupRule().share,
        description="When more of them fail at once, e.g. 34%, it is one cause: one is restarted, its result decides.",
    )


def read_groups(entries: list[Entry], used: Collection[str], reading: Reading) -> dict[str, GroupRule]:
    """The groups that are described; what is wrong, or no service's, is reported."""
    found = {}
    for entry in unique(entries, "group", reading.report):
        keys = reading.model(GroupKeys, {} if entry.value is None else entry.value, entry.place)
        if entry.name not in used:
            meant = did_you_mean(entry.name, used)
            reading.report.add(entry.place, f"no service is of the group {entry.name!r}{meant}")
        if keys is None:
            continue
        rate = keys.restarts
        if rate is not None and rate.per > REMEMBERED:
            reading.report.add(entry.place.at("restarts"), f"expected a window of a day at most, got {rate}")
        found[entry.name] = GroupRule(
            share=keys.share,
            at_most=rate.count if rate else None,
            per=rate.per if rate else timedelta(hours=1),
        )
    return found
