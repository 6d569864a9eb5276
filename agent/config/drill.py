"""Fire drills: when the whole way of a page is walked, and to whom."""

from collections.abc import Collection
from datetime import timedelta

from pydantic import Field

from agent.config.around import Around
from agent.config.envelope import Envelope
from agent.config.forms import Reading
from agent.config.model import Cron, DrillSpec
from agent.config.nearest import did_you_mean
from agent.config.report import Place
from agent.config.together import whom
from agent.config.types import CronText, Length, Name, Names, Zone


class DrillKeys(Envelope):
    cron: CronText | None = Field(
        None,
        description="When it is held: five cron fields, such as `0 10 * * mon`. Default: only by `codeblue drill`.",
    )
    zone: Zone | None = Field(None, description="IANA time zone of `cron`. Default: UTC.")
    every: Length | None = Field(None, description="How often it is held, instead of `cron`: `7d`.")
    services: Names = Field(
        (), description="Whoever would be paged for these is paged, for one service after the other."
    )
    page: Names = Field(
        (), description="Channels of a drill that is no service's. Default: every channel that any service pages."
    )
    escalate: Name | None = Field(
        None, description="The escalation whose first step a drill that is no service's asks as well. Default: none."
    )
    within: Length = Field(timedelta(minutes=1), description="Every channel must have the message within this time.")
    seen: Length | None = Field(
        None, description="A person must confirm within this time to have seen it. Default: nobody has to."
    )


def read_drill(value: object, place: Place, services: Collection[str], around: Around, reading: Reading) -> DrillSpec:
    """How drills are held; the built-in way where nothing is said."""
    keys = reading.model(DrillKeys, {} if value is None else value, place)
    if not keys:
        return DrillSpec()
    report = reading.report
    for name in keys.services:
        if name not in services:
            report.add(place.at("services"), f"there is no service {name!r}{did_you_mean(name, services)}")
    if keys.zone and not keys.cron:
        report.add(place.at("zone"), "is the zone of cron, which is not there")
    if keys.cron and keys.every:
        report.add(place.at("every"), "expected either cron or every, got both")
    for key in ("page", "escalate"):
        if keys.services and getattr(keys, key):
            report.add(place.at(key), "is for a drill that is no service's: leave it out, or services")
    return DrillSpec(
        cron=Cron(expression=keys.cron, zone=keys.zone or "UTC") if keys.cron else None,
        every=keys.every,
        services=keys.services,
        page=keys.page,
        escalation=whom(keys.page, keys.escalate, place, around, reading),
        within=keys.within,
        seen=keys.seen,
    )
