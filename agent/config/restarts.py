"""How a service is restarted: one action, or a ladder of steps, within limits."""

from collections.abc import Collection
from typing import Any, TypeVar

from agent.config.allowed import review_allowed
from agent.config.around import Around
from agent.config.envelope import DrainKeys, RestartOverrides, StepKeys
from agent.config.forms import Reading, options, split
from agent.config.model import ActionSpec, DrainSpec
from agent.config.nearest import did_you_mean
from agent.config.pool import Pool
from agent.config.report import Place, Report
from agent.core.along import ALONG
from agent.core.policy import RestartPolicy, Step
from agent.ports import ActionType

T = TypeVar("T")

Restarts = tuple[RestartPolicy | None, tuple[ActionSpec, ...], DrainSpec | None]
"""The limits of a service's restarts, its steps, and how it is drained for them."""

NOTHING: Restarts = (None, (), None)


def read_restart(value: object, place: Place, around: Around, reading: Reading, pool: Pool) -> Restarts:
    """The limits and the steps; nothing, and what is wrong reported, where it can't be used."""
    if value is None:
        return NOTHING
    if isinstance(value, dict) and "steps" in value:
        return _ladder(value, place, around, reading, pool)
    parts = split(value, around.tables.actions, RestartOverrides, "restart", place, reading.report)
    if not parts:
        return NOTHING
    kind, raw, rest = parts
    action = _action(kind, raw, place, around, reading)
    keys = reading.model(RestartOverrides, rest, place)
    if action is None or keys is None:
        return NOTHING
    drain = _drain(keys.drain, place.at("drain"), around, reading)
    return pool.one(_policy(keys, [_named(action)], (), around)), (action,), drain


def _ladder(value: dict[str, object], place: Place, around: Around, reading: Reading, pool: Pool) -> Restarts:
    keys = reading.model(RestartOverrides, {key: item for key, item in value.items() if key != "steps"}, place)
    written = value["steps"]
    if not isinstance(written, list) or len(written) < 2:
        reading.report.add(place.at("steps"), "expected a list of two steps or more, such as [{systemd: a.service}, …]")
        return NOTHING
    actions, steps = [], []
    for number, item in enumerate(written):
        parts = split(item, around.tables.actions, StepKeys, "restart", place.at("steps", number), reading.report)
        if not parts:
            continue
        kind, raw, rest = parts
        action = _action(kind, raw, place.at("steps", number), around, reading)
        own = reading.model(StepKeys, rest, place.at("steps", number))
        if action is not None and own is not None and keys is not None:
            verify = _either(own.verify, _either(keys.verify, around.defaults.restart.verify))
            actions.append(action)
            steps.append(Step(action=_named(action), verify=verify))
    if keys is None or len(actions) < len(written):
        return NOTHING
    drain = _drain(keys.drain, place.at("drain"), around, reading)
    return pool.one(_policy(keys, [step.action for step in steps], tuple(steps), around)), tuple(actions), drain


def _drain(value: object, place: Place, around: Around, reading: Reading) -> DrainSpec | None:
    if value is None:
        return None
    parts = split(value, around.tables.drains, DrainKeys, "drain", place, reading.report)
    if not parts:
        return None
    kind, raw, rest = parts
    found, keys = options(kind, raw, place, reading), reading.model(DrainKeys, rest, place)
    if found is None or keys is None:
        return None
    review_allowed(kind, found, around.allowed, place, reading.report)
    return DrainSpec(type=kind, options=found, stays_out=keys.when_given_up == "leave")


def _action(kind: ActionType[Any], raw: object, place: Place, around: Around, reading: Reading) -> ActionSpec | None:
    found = options(kind, raw, place, reading)
    if found is None:
        return None
    if kind.name == "process" and kind.short:
        process = str(getattr(found, kind.short))
        if process not in around.process_names:
            meant = did_you_mean(process, around.process_names)
            reading.report.add(place.at(kind.name), f"there is no process {process!r} under processes{meant}")
    review_allowed(kind, found, around.allowed, place.at(kind.name), reading.report)
    return ActionSpec(type=kind, options=found)


def _named(action: ActionSpec) -> str:
    """What people read of it: the type, and what it does where that is not to restart."""
    verb = getattr(action.options, "verb", "restart")
    return action.type.name if verb == "restart" else f"{action.type.name} {verb}"


def _policy(keys: RestartOverrides, names: list[str], steps: tuple[Step, ...], around: Around) -> RestartPolicy:
    limits = around.defaults.restart
    rate = _either(keys.at_most, limits.at_most)
    return RestartPolicy(
        action=names[0],
        at_most=rate.count,
        per=rate.per,
        backoff=_either(keys.backoff, limits.backoff),
        verify=_either(keys.verify, limits.verify),
        steps=steps,
        mode=_either(keys.mode, limits.mode),
        min_success=_either(keys.min_success, limits.min_success),
        approve_within=_either(keys.approve_within, limits.approve_within),
    )


def _either(own: T | None, default: T) -> T:
    return default if own is None else own


def review_actions(
    actions: Collection[ActionSpec], checks: Collection[str], depends_on: Collection[str], place: Place, report: Report
) -> None:
    """What actions say of the rest of their service must be so."""
    types = [action.type.name for action in actions]
    if ALONG in types and not depends_on:
        report.add(place, f"{ALONG}: this service has no depends_on")
    if types and set(types) == {ALONG}:
        report.add(place, f"{ALONG} needs another step that restarts the service itself, as in steps: [systemd: a, …]")
    for action in actions:
        for name in getattr(action.options, "checks_named", ()):
            if name not in checks:
                report.add(place, f"there is no check {name!r} of this service{did_you_mean(name, checks)}")
