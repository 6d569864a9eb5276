"""One check: its type and options, its cadence, and when its misses count."""

from datetime import timedelta

from agent.config.envelope import CheckKeys, Defaults
from agent.config.forms import Reading, options, split
from agent.config.model import CheckSpec, Cron, Tables
from agent.config.pool import Pool
from agent.config.report import Place, Report
from agent.core.durations import format_duration
from agent.core.policy import CheckPolicy
from agent.ports import Options


def read_checks(
    service: str, values: list[object], place: Place, defaults: Defaults, tables: Tables, reading: Reading, pool: Pool
) -> list[CheckSpec]:
    """The checks of one service that are right. `place` is that of the list."""
    specs: list[CheckSpec] = []
    first: dict[str, Place] = {}
    for n, value in enumerate(values):
        at = place.at(n)
        spec = _check(service, value, at, defaults, tables, reading, pool)
        if not spec:
            continue
        if spec.name in first:
            explicit = isinstance(value, dict) and "name" in value
            remedy = "" if explicit else ": give it a name"
            reading.report.add(at, f"there is already a check {spec.name!r}{remedy}", first=first[spec.name])
        first.setdefault(spec.name, at)
        specs.append(spec)
    return specs


def _check(
    service: str, value: object, place: Place, defaults: Defaults, tables: Tables, reading: Reading, pool: Pool
) -> CheckSpec | None:
    parts = split(value, tables.checks, CheckKeys, "check", place, reading.report)
    if not parts:
        return None
    kind, raw, rest = parts
    found = options(kind, raw, place, reading)
    keys = reading.model(CheckKeys, rest, place) if rest else _PLAIN
    if not keys:
        return None
    if keys.token and not kind.pushed:
        reading.report.add(place.at("token"), f"a {kind.name} check takes no token: only pushed checks do")
    cron = _cron(keys, place, reading.report)
    every = None if cron else keys.every or defaults.every
    timeout = _timeout(keys, every, defaults, place, reading.report)
    if found is None:
        return None
    return CheckSpec(
        service=service,
        name=keys.name or kind.name,
        type=kind,
        options=compact(found, pool),
        every=pool.one(every),
        cron=cron,
        timeout=pool.one(timeout.total_seconds()),
        policy=pool.one(_policy(keys, defaults)),
        token=keys.token,
    )


def compact(found: Options, pool: Pool) -> Options:
    """The same options in half of the memory, 550 bytes less for an http check. Set one by one, attributes need no
    dict of their own (PEP 412); and which of them were written is the same set for most checks. Options are frozen,
    so nobody changes the set, and a copy of a model copies it."""
    same = type(found).__new__(type(found))
    written = found.__pydantic_fields_set__
    shared = pool.made(("written", frozenset(written)), lambda: written)
    set_attribute = object.__setattr__  # the class itself allows no changes
    for name, value in found.__dict__.items():
        set_attribute(same, name, value)
    set_attribute(same, "__pydantic_fields_set__", shared)
    set_attribute(same, "__pydantic_extra__", found.__pydantic_extra__)
    set_attribute(same, "__pydantic_private__", found.__pydantic_private__)
    return same


_PLAIN = CheckKeys.model_validate({})


def _cron(keys: CheckKeys, place: Place, report: Report) -> Cron | None:
    if keys.cron is None:
        if keys.zone:
            report.add(place.at("zone"), "a zone belongs to a cron expression, and there is none")
        return None
    if keys.every:
        report.add(place.at("cron"), "expected either every or cron, got both")
    return Cron(expression=keys.cron, zone=keys.zone or "UTC")


def _timeout(keys: CheckKeys, every: timedelta | None, defaults: Defaults, place: Place, report: Report) -> timedelta:
    """The check's own; or the file's, which a shorter cadence shortens."""
    if keys.timeout is None:
        return min(defaults.timeout, every or defaults.timeout)
    if every and keys.timeout > every:
        longest = format_duration(every)
        report.add(place.at("timeout"), f"expected at most {longest} (every), got {format_duration(keys.timeout)}")
    return keys.timeout


def _policy(keys: CheckKeys, defaults: Defaults) -> CheckPolicy:
    return CheckPolicy(
        misses=defaults.misses if keys.misses is None else keys.misses,
        recover=defaults.recover if keys.recover is None else keys.recover,
        retry=defaults.retry if keys.retry is None else keys.retry,
    )
