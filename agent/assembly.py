"""From configuration to what the runtime holds: pure construction, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config.model import CheckSpec, Config, ServiceSpec
from agent.core.model import ServiceState
from agent.ports import BeatBook, CheckRow, HttpClient, LogBook, Resolver, ServiceRow, Stored, Vitals
from agent.runtime.engine import related
from agent.runtime.gate import is_loopback
from agent.runtime.probe import Probe, Watched

UNSTORED = 0


def assemble(
    config: Config,
    stored: Mapping[str, Stored],
    present: Mapping[str, Watched],
) -> dict[str, Watched]:
    """The table of services for a configuration. What is watched already keeps its state, its version and the rows of
    its unchanged checks; a service that was stored before goes on from there."""
    relations = related({name: spec.policy.depends_on for name, spec in config.services.items()})
    table = {}
    for name, spec in config.services.items():
        known = present.get(name)
        row = known.row if known else _new_row(name, stored.get(name))
        version = known.version if known else (stored[name].version if name in stored else UNSTORED)
        table[name] = _watch(spec, relations[name], row, version, known)
    return table


def _new_row(name: str, stored: Stored | None) -> ServiceRow:
    return ServiceRow(name=name, state=stored.state if stored else ServiceState(service=name))


def _watch(
    spec: ServiceSpec,
    relation: tuple[tuple[str, ...], tuple[str, ...]],
    row: ServiceRow,
    version: int,
    known: Watched | None,
) -> Watched:
    probes = {}
    for check in spec.checks:
        old = known.probes.get(check.name) if known else None
        probes[check.name] = old if old is not None and _same(old, check) else make_probe(check, old)
    row.checks = {name: probe.row for name, probe in probes.items()}
    row.depends_on = spec.policy.depends_on
    watched = Watched(
        row=row,
        policy=spec.policy,
        probes=probes,
        version=version,
        upstream=relation[0],
        downstream=relation[1],
        remote=any(not probe.type.local and not is_loopback(probe.host) for probe in probes.values()),
    )
    if known is None:
        return watched
    known.policy, known.probes = watched.policy, watched.probes
    known.upstream, known.downstream, known.remote = watched.upstream, watched.downstream, watched.remote
    return known


def make_probe(check: CheckSpec, old: Probe | None) -> Probe:
    """A probe for this check; the figures of an old one of the same name and type go on."""
    row = old.row if old is not None and old.type is check.type else None
    return Probe(
        service=check.service,
        name=check.name,
        type=check.type,
        options=check.options,
        timeout=check.timeout,
        policy=check.policy,
        row=row or CheckRow(service=check.service, check=check.name, type=check.type.name),
        every=check.every,
        cron=(check.cron.expression, check.cron.zone) if check.cron else None,
        host=check.type.host(check.options) if check.type.host else "",
    )


def _same(probe: Probe, check: CheckSpec) -> bool:
    cron = (check.cron.expression, check.cron.zone) if check.cron else None
    return (
        probe.type is check.type
        and probe.options == check.options
        and probe.timeout == check.timeout
        and probe.policy == check.policy
        and probe.every == check.every
        and probe.cron == cron
    )


@dataclass(slots=True, kw_only=True)
class Toolbox:
    """What checks may use (`ports.Tools`)."""

    http: HttpClient
    beats: BeatBook
    logs: LogBook
    vitals: Vitals
    resolver: Resolver
