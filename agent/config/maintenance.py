"""Planned maintenance windows."""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from agent.config.envelope import Envelope
from agent.config.forms import Reading
from agent.config.nearest import did_you_mean
from agent.config.tree import Entry
from agent.config.types import Length, Name, Names, Zone
from agent.core.matchers import BUILT_IN, unknown_service
from agent.core.policy import Policy
from agent.core.windows import Window
from agent.quiet.reading import Misread, WrittenWindow, read_window


class WindowKeys(Envelope):
    name: Name | None = Field(
        None, description="What it is called in `codeblue maintenance`. Default: made from the rest."
    )
    match: Names = Field(
        min_length=1,
        description="The services that are meant, by service, severity, group and labels: `service=db`, "
        '`team=~"db|cache"`, `severity!=critical`; several must all hold. `all` is every service.',
    )
    cron: str | None = Field(None, description="When it begins: five cron fields, such as `0 2 * * sun`.")
    rrule: str | None = Field(
        None, description="Or: the days on which it begins, by RFC 5545, such as `FREQ=MONTHLY;BYDAY=1SU`."
    )
    at: str | None = Field(None, description="With `rrule`: the time of day at which it begins, such as `02:00`.")
    for_: Length | None = Field(None, alias="for", description="How long it lasts, whatever the clocks do meanwhile.")
    from_: str | None = Field(
        None, alias="from", description="Once: when it begins, such as `2026-11-22 02:00`. Repeated: not before then."
    )
    until: str | None = Field(None, description="Once: when it ends. Repeated: it begins no more from then on.")
    zone: Zone = Field("UTC", description="The IANA time zone of all its times.")
    comment: Annotated[str, Field(max_length=500)] = Field(
        "", description="What it is for; it stands in every message."
    )


def read_maintenance(entries: list[Entry], policies: Collection[Policy], reading: Reading) -> tuple[Window, ...]:
    """Every window that is right; what is wrong is reported."""
    known = {*BUILT_IN, *(label for policy in policies for label in policy.labels)}
    services = {policy.service for policy in policies}
    found: dict[str, Window] = {}
    for entry in entries:
        window = _window(entry, known, reading)
        if window is None:
            continue
        if window.id in found:
            reading.report.add(entry.place, f"is there twice: {window.id}")
        if services and (name := unknown_service(window.matchers, services)):
            reading.report.add(entry.place.at("match"), f"there is no service {name!r}{did_you_mean(name, services)}")
        found[window.id] = window
    return tuple(found.values())


def _window(entry: Entry, known: Collection[str], reading: Reading) -> Window | None:
    keys = reading.model(WindowKeys, entry.value, entry.place)
    if keys is None:
        return None
    written = WrittenWindow(
        match=keys.match,
        cron=keys.cron or "",
        rrule=keys.rrule or "",
        at=keys.at or "",
        length=keys.for_,
        begins=keys.from_ or "",
        ends=keys.until or "",
        zone=keys.zone,
        comment=keys.comment,
    )
    try:
        return read_window(written, known, name=keys.name or "")
    except Misread as error:
        reading.report.add(entry.place.at(error.key) if error.key else entry.place, error.text)
        return None
