"""The on-call schedules: rotations in layers, or a calendar."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from importlib.util import find_spec

from pydantic import SecretStr

from agent.config.forms import Reading
from agent.config.nearest import did_you_mean
from agent.config.registry import unique
from agent.config.report import Place
from agent.config.rota_keys import ANCHOR, CalendarKeys, LayerKeys, ScheduleKeys
from agent.config.tree import Entry
from agent.core.hours import DAYS, Hours
from agent.core.rota import Layer, Schedule
from agent.outgoing import web_address
from agent.ports import CalendarSpec

WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Schedules:
    """Every schedule by name, and where those of calendars are read from."""

    schedules: Mapping[str, Schedule]
    calendars: Mapping[str, CalendarSpec]


def read_oncall(entries: list[Entry], people: Collection[str], reading: Reading) -> Schedules:
    """Every schedule that is right; what is wrong is reported."""
    schedules, calendars = {}, {}
    for entry in unique(entries, "schedule", reading.report):
        keys = reading.model(ScheduleKeys, _long_form(entry.value), entry.place)
        if not keys:
            continue
        if bool(keys.layers) == bool(keys.ical):
            got = "both" if keys.layers else "neither"
            reading.report.add(entry.place, f"expected either layers or ical, got {got}")
            continue
        if keys.layers and not keys.zone:
            message = "is required: a hand-over is at some hour of some zone, such as Europe/Berlin or UTC"
            reading.report.add(entry.place.at("zone"), message)
        zone = keys.zone or "UTC"
        layers = [
            _layer(layer, zone, entry.place.at("layers", n), people, reading) for n, layer in enumerate(keys.layers)
        ]
        schedules[entry.name] = Schedule(name=entry.name, zone=zone, layers=tuple(one for one in layers if one))
        if keys.ical:
            calendar = _calendar(entry.name, zone, keys.ical, entry.place.at("ical"), reading)
            calendars.update({entry.name: calendar} if calendar else {})
    return Schedules(schedules, calendars)


def _long_form(value: object) -> object:
    """`ical: https://…` and `ical: rota.ics` as the mappings that they stand for."""
    if not isinstance(value, dict) or not isinstance(value.get("ical"), str):
        return value
    text = value["ical"]
    return {**value, "ical": {"url" if "://" in text else "file": text}}


def _layer(keys: LayerKeys, zone: str, place: Place, people: Collection[str], reading: Reading) -> Layer | None:
    report, fine = reading.report, True
    for name in dict.fromkeys(name for turn in keys.people for name in turn):
        if name not in people:
            report.add(place.at("people"), f"there is no person {name!r}{did_you_mean(name, people)}")
    if not all(keys.people):
        report.add(place.at("people"), "a turn of nobody is no turn")
    weekday, minutes = keys.handover or (None, 0)
    start = keys.start
    if weekday is not None and keys.every % WEEK:
        report.add(place.at("handover"), f"{DAYS[weekday]} is the hand-over of turns of whole weeks: every: weekly")
        fine = False
    elif weekday is not None and start.weekday() != weekday:
        nearest = start - timedelta(days=(start.weekday() - weekday) % 7)
        if start == ANCHOR:
            start = start + timedelta(days=weekday)
        else:
            message = (
                f"{start} is a {DAYS[start.weekday()]}, and hand-over is on {DAYS[weekday]}: the last was {nearest}"
            )
            report.add(place.at("start"), message)
    zone = keys.zone or zone
    if not fine:
        return None
    return Layer(
        turns=keys.people,
        every=keys.every,
        start=datetime.combine(start, time()) + timedelta(minutes=minutes),
        zone=zone,
        only=Hours(keys.only, zone) if keys.only else None,
    )


def _calendar(name: str, zone: str, keys: CalendarKeys, place: Place, reading: Reading) -> CalendarSpec | None:
    if bool(keys.url) == bool(keys.file):
        reading.report.add(place, f"expected either url or file, got {'both' if keys.url else 'neither'}")
        return None
    url = keys.url
    if url:
        text = url.get_secret_value()
        text = f"https://{text.removeprefix('webcal://')}" if text.startswith("webcal://") else text
        try:
            web_address(text)
        except ValueError:
            reading.report.add(place.at("url"), "expected a web address such as https://calendar.internal/oncall.ics")
            return None
        url = SecretStr(text)
    if not all(map(find_spec, ("icalendar", "recurring_ical_events"))):
        how = f"{sys.executable} -m pip install icalendar recurring-ical-events"
        reading.report.add(place, f"needs libraries that are not installed: {how}")
    file = (place.folder.resolve() / keys.file) if keys.file else None
    return CalendarSpec(schedule=name, zone=zone, url=url, file=file, every=keys.every)
