"""Many at once: what makes a storm, and whom it is paged to."""

from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import Field

from agent.config.around import Around
from agent.config.channels import check_channels, fallbacks
from agent.config.envelope import Envelope
from agent.config.escalation import named_escalation
from agent.config.forms import Reading
from agent.config.model import ChannelSpec
from agent.config.report import Place
from agent.config.types import Length, Name, Names
from agent.core.policy import Escalation
from agent.core.storm import StormRule

OFF = "off"


class StormKeys(Envelope):
    services: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        description="More services than this that go down `within` are one storm. Default: 10, or 1 % of all services "
        "where that is more.",
    )
    within: Length = Field(StormRule().within, description="How long they may take to go down.")
    calm: Length = Field(
        StormRule().calm,
        description="When nothing new has gone down for this long, restarts go on; those still down stay one incident.",
    )
    page: Names = Field((), description="Channels that are asked. Default: all that its members would have asked.")
    escalate: Name | None = Field(
        None, description="The escalation policy. Default: those of its members, step by step."
    )


def read_storm(value: object, place: Place, around: Around, reading: Reading) -> StormRule | None:
    """The rule; None where config says `storm: off`."""
    if value == OFF:
        return None
    keys = reading.model(StormKeys, {} if value is None else value, place)
    if not keys:
        return StormRule()
    asked = whom(keys.page, keys.escalate, place, around, reading)
    return StormRule(
        services=keys.services or 0,
        within=keys.within,
        calm=keys.calm,
        page=keys.page,
        escalation=asked,
        fallback=fallbacks_of(keys.page, asked, around.channels),
    )


def whom(page: Names, escalate: str | None, place: Place, around: Around, reading: Reading) -> Escalation | None:
    """The escalation policy that is named; what is no channel or no policy is reported."""
    check_channels(page, around.channel_names, place.at("page"), reading.report)
    if escalate is None:
        return None
    return named_escalation(escalate, around.routing.escalations, place.at("escalate"), reading)


def fallbacks_of(
    page: Collection[str], escalation: Escalation | None, channels: Mapping[str, ChannelSpec]
) -> dict[str, tuple[str, ...]]:
    """Where pages go that are not taken: of an escalation policy, anybody may be asked by any channel."""
    return fallbacks([*page, *(channels if escalation else ())], channels)
