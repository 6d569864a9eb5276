"""The escalation policies: who is asked, one step after the other."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.config.forms import Reading
from agent.config.nearest import did_you_mean
from agent.config.registry import unique
from agent.config.report import Place
from agent.config.rota_keys import EscalationKeys, EscalationStepKeys
from agent.config.tree import Entry
from agent.core.closed import closed_hours
from agent.core.hours import Hours
from agent.core.policy import Escalation, EscalationStep, Policy

NONE = "none"  # no escalation policy: only the channels of `page` are asked
_WHAT = {"oncall": "a schedule", "person": "a person", "channel": "a channel"}
_SOME_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Targets:
    """Whom a step may name, by kind of target."""

    oncall: Collection[str]
    person: Collection[str]
    channel: Collection[str]

    def of(self, kind: str) -> Collection[str]:
        return {"oncall": self.oncall, "person": self.person, "channel": self.channel}[kind]

    def target(self, written: str) -> str:
        """The target that a name means: "oncall:NAME", "person:NAME" or "channel:NAME", the first two maybe with the
        channel that is used. Raises ValueError for none and for several."""
        name, slash, channel = written.partition("/")
        kind, colon, named = name.partition(":")
        if colon and kind not in _WHAT:
            raise ValueError(f"{kind!r} is no kind of target{did_you_mean(kind, _WHAT)}")
        kinds = [kind] if colon else [*_WHAT]
        name = named if colon else name
        found = [one for one in kinds if name in self.of(one)]
        if len(found) > 1:
            meant = " or ".join(f"{one}:{name}" for one in found)
            raise ValueError(f"{name!r} is {' and '.join(_WHAT[one] for one in found)}: write {meant}")
        if not found:
            what = _WHAT[kind].removeprefix("a ") if colon else "schedule, person or channel"
            raise ValueError(f"there is no {what} {name!r}{did_you_mean(name, [n for k in kinds for n in self.of(k)])}")
        if slash and found == ["channel"]:
            raise ValueError(f"{name!r} is a channel: only a person is asked by one channel of several")
        if slash and channel not in self.channel:
            raise ValueError(f"there is no channel {channel!r}{did_you_mean(channel, self.channel)}")
        return f"{found[0]}:{name}{slash}{channel}"


def read_escalations(entries: list[Entry], targets: Targets, reading: Reading) -> dict[str, Escalation]:
    """Every policy that is right; what is wrong is reported."""
    found = {}
    for entry in unique(entries, "escalation policy", reading.report):
        if entry.name == NONE:
            reading.report.add(entry.place, f"{NONE} stands for no escalation policy: call it something else")
        keys = reading.model(EscalationKeys, entry.value, entry.place)
        # one that is wrong is there all the same: whatever names it is not wrong as well
        found[entry.name] = (
            _escalation(entry, keys, targets, reading) if keys else Escalation(name=entry.name, steps=())
        )
    return found


def _escalation(entry: Entry, keys: EscalationKeys, targets: Targets, reading: Reading) -> Escalation:
    place, report = entry.place, reading.report
    if (keys.hours or keys.quiet) and not keys.zone:
        given = "hours" if keys.hours else "quiet"
        report.add(place.at("zone"), f"is required for {given}: a time zone such as Europe/Berlin or UTC")
    zone = keys.zone or "UTC"
    escalation = Escalation(
        name=entry.name,
        steps=tuple(_step(step, place.at("steps", n), targets, reading) for n, step in enumerate(keys.steps)),
        repeat=keys.repeat,
        ack_for=keys.ack_for,
        hours=Hours(keys.hours, zone) if keys.hours else None,
        quiet_hours=Hours(keys.quiet.hours, zone) if keys.quiet else None,
        quiet_for=keys.quiet.severity if keys.quiet else (),
    )
    for severity in escalation.quiet_for:
        quiet = closed_hours(Policy(service="", escalation=escalation, severity=severity), _SOME_MONDAY)
        if quiet is not None and quiet.until is None:
            report.add(place.at("quiet"), f"leaves no hour at which anybody is asked about {severity}")
    return escalation


def _step(keys: EscalationStepKeys, place: Place, targets: Targets, reading: Reading) -> EscalationStep:
    found = []
    for n, written in enumerate(keys.notify):
        try:
            found.append(targets.target(written))
        except ValueError as error:
            reading.report.add(place.at("notify", n), str(error))
    return EscalationStep(notify=tuple(dict.fromkeys(found)), wait=keys.wait)


def named_escalation(name: str, known: Mapping[str, Escalation], place: Place, reading: Reading) -> Escalation | None:
    """The policy of that name; None for `none`, and, reported, for a name that is none."""
    if name != NONE and name not in known:
        reading.report.add(place, f"there is no escalation policy {name!r}{did_you_mean(name, {*known, NONE})}")
    return known.get(name)
