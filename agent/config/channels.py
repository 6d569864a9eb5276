"""The channels: who can be told, and who is told instead."""

from collections.abc import Collection, Iterable, Mapping

from agent.config.envelope import ChannelKeys
from agent.config.fields import allowed, keys
from agent.config.forms import Reading
from agent.config.graph import cycles
from agent.config.messages import shown_value
from agent.config.model import ChannelSpec, Tables
from agent.config.nearest import did_you_mean
from agent.config.registry import unique
from agent.config.report import Place, Report
from agent.config.tree import Entry


def read_channels(entries: list[Entry], tables: Tables, reading: Reading) -> dict[str, ChannelSpec]:
    """Every channel that is right; what is wrong is reported."""
    entries = unique(entries, "channel", reading.report)
    known = [entry.name for entry in entries]
    found = [_channel(entry, known, tables, reading) for entry in entries]
    edges = {entry.name: _fallback(entry.value, known) for entry in entries}
    for ring in cycles(edges):
        entry = next(entry for entry in entries if entry.name == ring[0])
        reading.report.add(entry.place.at("fallback"), f"goes round in a circle: {' → '.join(ring)}")
    return {spec.name: spec for spec in found if spec}


def _channel(entry: Entry, known: list[str], tables: Tables, reading: Reading) -> ChannelSpec | None:
    place, value, report = entry.place, entry.value, reading.report
    if not isinstance(value, dict):
        example = f"{{type: {next(iter(tables.channels), 'console')}}}"
        report.add(place, f"expected a mapping such as {example}, got {shown_value(value)}")
        return None
    own = {key: item for key, item in value.items() if key in keys(ChannelKeys)}
    envelope = reading.model(ChannelKeys, own, place)
    name = value.get("type")
    if not isinstance(name, str):
        return None
    kind = tables.channels.get(name)
    if not kind:
        report.add(place.at("type"), f"unknown channel type {name!r}{did_you_mean(name, tables.channels)}")
        return None
    rest = {key: item for key, item in value.items() if key not in own}
    for key in [key for key in rest if key not in allowed(kind.options)]:
        expected = [*allowed(kind.options), *keys(ChannelKeys)]
        report.add(place.at(key), f"unknown key{did_you_mean(key, expected)}")
        del rest[key]
    options = reading.model(kind.options, rest, place)
    if not envelope or options is None:
        return None
    check_channels(envelope.fallback, known, place.at("fallback"), report)
    return ChannelSpec(
        name=entry.name, type=kind, options=options, fallback=envelope.fallback, per_second=envelope.per_second
    )


def _fallback(value: object, known: Collection[str]) -> list[str]:
    named = value.get("fallback") if isinstance(value, dict) else None
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return [name for name in names if name in known]


def check_channels(names: Iterable[str], known: Iterable[str], place: Place, report: Report) -> None:
    """Report every name that is no channel."""
    known = list(known)
    for name in names:
        if name not in known:
            report.add(place, f"there is no channel {name!r}{did_you_mean(name, known)}")


def fallbacks(names: Iterable[str], channels: Mapping[str, ChannelSpec]) -> dict[str, tuple[str, ...]]:
    """For these channels, and all that they lead to, where a page goes that was not taken."""
    found: dict[str, tuple[str, ...]] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in channels and name not in found and channels[name].fallback:
            found[name] = channels[name].fallback
            todo.extend(found[name])
    return found
