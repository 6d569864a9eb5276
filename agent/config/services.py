"""The services: what is checked, restarted and paged."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from agent.config.around import Around
from agent.config.channels import check_channels
from agent.config.checks import read_checks
from agent.config.envelope import ServiceKeys
from agent.config.escalated import escalated
from agent.config.forms import Reading
from agent.config.graph import cycles
from agent.config.model import CheckSpec, ServiceSpec
from agent.config.nearest import did_you_mean
from agent.config.pool import Pool
from agent.config.registry import named_services
from agent.config.report import Place, Report
from agent.config.restarts import read_restart, review_actions
from agent.config.tree import Entry
from agent.core.few import NO_TEXT
from agent.core.policy import CheckPolicy, Flapping, Gather, Policy, RestartPolicy

T = TypeVar("T")


def read_services(entries: list[Entry], around: Around, reading: Reading) -> dict[str, ServiceSpec]:
    """Every service that is right; what is wrong is reported."""
    pool, report = Pool(), reading.report
    places = named_services(entries, report)
    found: dict[str, ServiceSpec] = {}
    for entry in entries:
        spec = _service(entry, around, reading, pool)
        if spec:
            _check_dependencies(spec, places, entry.place.at("depends_on"), report)
            found.setdefault(spec.name, spec)
    edges = {name: [d for d in spec.policy.depends_on if d in found] for name, spec in found.items()}
    for ring in cycles(edges):
        report.add(places[ring[0]].at("depends_on"), f"goes round in a circle: {' → '.join(ring)}")
    return found


def _service(entry: Entry, around: Around, reading: Reading, pool: Pool) -> ServiceSpec | None:
    place, value = entry.place, entry.value
    keys = reading.model(ServiceKeys, value, place)
    if not isinstance(value, dict):
        return None
    name = pool.one(keys.name if keys else str(value.get("name")))
    written = value.get("checks")
    checks = read_checks(
        name,
        written if isinstance(written, list) else [],
        place.at("checks"),
        around.defaults,
        around.tables,
        reading,
        pool,
    )
    written_restart = value.get("restart")
    restart, actions, drain = read_restart(written_restart, place.at("restart"), around, reading, pool)
    if not keys:
        return None
    named = [check.name for check in checks]
    review_actions(actions, named, keys.depends_on, place.at("restart"), reading.report)
    for key in ("page", "notify"):
        if key in value:
            check_channels(getattr(keys, key) or (), around.channel_names, place.at(key), reading.report)
    policy = escalated(_policy(keys, checks, restart, around, pool), keys, around, place, reading, pool)
    return ServiceSpec(name=name, policy=policy, checks=tuple(checks), actions=actions, drain=drain)


def _policy(
    keys: ServiceKeys, checks: Iterable[CheckSpec], restart: RestartPolicy | None, around: Around, pool: Pool
) -> Policy:
    defaults = around.defaults
    policies = tuple((check.name, check.policy) for check in checks)
    page = pool.one(_either(keys.page, defaults.page))
    notify = pool.one(_either(keys.notify, defaults.notify))
    by_check: Mapping[str, CheckPolicy] = pool.made(("checks", policies), lambda: dict(policies))
    return Policy(
        service=pool.one(keys.name),
        checks=by_check,
        depends_on=tuple(map(pool.one, keys.depends_on)),
        restart=restart,
        page=page,
        notify=notify,
        remind=pool.one(_either(keys.remind, defaults.remind)),
        page_deadline=pool.one(_either(keys.page_deadline, defaults.page_deadline)),
        unknown_after=pool.one(_either(keys.unknown_after, defaults.unknown_after)),
        runbook=keys.runbook,
        links=_links(keys, around),
        group=pool.one(keys.group),
        flapping=_flapping(keys, around, pool),
        gather=_gather(keys, around, pool),
    )


def _links(keys: ServiceKeys, around: Around) -> Mapping[str, str]:
    dashboard = _either(keys.dashboard, around.defaults.dashboard)
    return {"Dashboard": dashboard.replace("{service}", keys.name)} if dashboard else NO_TEXT


def _flapping(keys: ServiceKeys, around: Around, pool: Pool) -> Flapping | None:
    rate, calm = _either(keys.flapping, around.defaults.flapping), _either(keys.calm, around.defaults.calm)
    return pool.one(Flapping(at_most=rate.count, per=rate.per, calm=calm)) if rate.count else None


def _gather(keys: ServiceKeys, around: Around, pool: Pool) -> Gather | None:
    written = _either(keys.gather, around.defaults.gather)
    if written is None or isinstance(written, str):
        return None
    return pool.one(Gather(by=written.by, wait=written.wait, interval=written.interval))


def _check_dependencies(spec: ServiceSpec, known: Mapping[str, Place], place: Place, report: Report) -> None:
    for name in spec.policy.depends_on:
        if name not in known:
            report.add(place, f"there is no service {name!r}{did_you_mean(name, known)}")


def _either(own: T | None, default: T) -> T:
    return default if own is None else own
