"""From configuration to what the runtime holds: pure construction, no I/O."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

from pydantic import BaseModel, SecretStr

from agent.config.model import CheckSpec, Config, ServiceSpec
from agent.core.along import own_step
from agent.core.commands import Outcome, Restart
from agent.core.few import few
from agent.core.policy import Policy
from agent.core.state import ServiceState
from agent.ports import (
    ActionOutcome,
    BeatBook,
    CheckRow,
    ChildProcesses,
    HttpClient,
    LogBook,
    Reach,
    Reaching,
    Remediator,
    Resolver,
    ServiceRow,
    Stored,
    Vitals,
)
from agent.runtime.drains import Drained, Drains, Hook
from agent.runtime.gate import is_loopback
from agent.runtime.known_alerts import About, AlertRule
from agent.runtime.lane import lane_of
from agent.runtime.probe import Probe, Watched
from agent.runtime.relations import related

UNSTORED = 0


def alert_rule(config: Config) -> AlertRule | None:
    """What holds for alerts that come in; None where none are taken."""
    spec = config.alerts_in
    if spec is None:
        return None

    def policy_of(about: About) -> Policy:
        return spec.policy_of(about.name, about.labels, about.runbook, about.links)

    return AlertRule(
        policy_of=policy_of,
        per=spec.per,
        unheard_after=spec.unheard_after,
        close_after=spec.close_after,
        at_most=spec.at_most,
        token=spec.token.get_secret_value() if spec.token else "",
        agent=config.agent.name,
    )


def alarm_policy(config: Config, channel: str, broken: Collection[str]) -> Policy:
    """Who is told that a channel, or an address of it, does not work: by `agent.page`, else by its fallbacks, else
    by the channels that services are paged by, and never by one that is broken. Where none is left, by the escalation
    policy that holds by default."""
    lane = lane_of(channel)
    every = {name: spec.fallback for name, spec in config.channels.items() if spec.fallback}
    ways = [config.agent.page, every.get(lane, ())]
    while ways[-1]:  # the fallbacks of fallbacks: config has no rings of them
        ways.append(tuple(dict.fromkeys(other for name in ways[-1] for other in every.get(name, ()))))
    ways.append(tuple(dict.fromkeys(name for spec in config.services.values() for name in spec.policy.page)))
    sound = (tuple(name for name in way if name not in broken) for way in ways)
    page = next((way for way in sound if way), ())
    return Policy(
        service="",
        page=page,
        escalation=None if page else config.escalations.get("default"),
        fallback={name: tuple(other for other in others if other not in broken) for name, others in every.items()},
        labels={"channel": lane},
        unknown_after=timedelta(0),
    )


def assemble(
    config: Config,
    stored: Mapping[str, Stored],
    present: Mapping[str, Watched],
) -> dict[str, Watched]:
    """The table of services for a configuration. What is watched already keeps its state, its version and the rows of
    its unchanged checks; a service that was stored before goes on from there."""
    relations = related({name: spec.policy.depends_on for name, spec in config.services.items()})
    table = {}
    hosts = {name: name for name in config.services}  # equal ones are one object; often a service is named by its host
    for name, spec in config.services.items():
        known = present.get(name)
        row = known.row if known else _new_row(name, stored.get(name))
        version = known.version if known else (stored[name].version if name in stored else UNSTORED)
        table[name] = _watch(spec, relations[name], row, version, known, hosts)
    return table


def _new_row(name: str, stored: Stored | None) -> ServiceRow:
    return ServiceRow(name=name, state=stored.state if stored else ServiceState(service=name))


def _watch(
    spec: ServiceSpec,
    relation: tuple[tuple[str, ...], tuple[str, ...]],
    row: ServiceRow,
    version: int,
    known: Watched | None,
    hosts: dict[str, str],
) -> Watched:
    probes: dict[str, Probe] = {}
    for check in spec.checks:
        old = known.probes.get(check.name) if known else None
        probes[check.name] = old if old is not None and _same(old, check) else make_probe(check, old, hosts)
    row.checks = few({name: probe.row for name, probe in probes.items()})
    row.depends_on = spec.policy.depends_on
    watched = Watched(
        row=row,
        policy=spec.policy,
        probes=few(probes),
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


def make_probe(check: CheckSpec, old: Probe | None, hosts: dict[str, str]) -> Probe:
    """A probe for this check; the figures of an old one of the same name and type go on. Its host is the one of
    `hosts` that is equal, or added there."""
    host = check.type.host(check.options) if check.type.host else ""
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
        host=hosts.setdefault(host, host),
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


def tokens_of(config: Config) -> tuple[str, ...]:
    """Those that open every page and beat."""
    return tuple(token.get_secret_value() for token in config.agent.tokens)


def beat_tokens(config: Config) -> dict[tuple[str, str], str | None]:
    """Every check that beats are pushed to, with the token that opens it."""
    return {
        (check.service, check.name): check.token.get_secret_value() if check.token else None
        for spec in config.services.values()
        for check in spec.checks
        if check.type.pushed
    }


def make_remediators(config: Config, children: ChildProcesses, drains: Drains, reach: Reach) -> dict[str, Remediator]:
    """How each service that may be restarted is restarted."""
    found: dict[str, Remediator] = {}
    for name, spec in config.services.items():
        if spec.actions and spec.policy.restart is not None:
            steps = [step.type.build(step.options, children) for step in spec.actions]
            own = own_step(spec.policy.restart)
            for step, made in zip(spec.actions, steps, strict=True):
                if step.type.reaches:
                    cast(Reaching, made).use(reach, steps[own] if steps[own] is not made else None)
            ladder = Ladder(steps)
            found[name] = Drained(name, ladder, drains) if spec.drain else ladder
    return found


def make_drains(config: Config) -> dict[str, Hook]:
    """How each service that is drained for its restarts is drained."""
    return {
        name: Hook(spec.drain.type.build(spec.drain.options), spec.drain.stays_out)
        for name, spec in config.services.items()
        if spec.drain
    }


class Ladder:
    """The steps of one service, as one remediator: an order names the rung that it is for."""

    def __init__(self, steps: Sequence[Remediator]) -> None:
        self._steps = steps

    async def perform(self, order: Restart) -> ActionOutcome:
        if order.step >= len(self._steps):
            return ActionOutcome(outcome=Outcome.EXPIRED, detail="config no longer has this step")
        return await self._steps[order.step].perform(order)


def owners(config: Config) -> dict[str, str]:
    """Which service the output of each supervised process belongs to: the first that it restarts, or its own name."""
    found = {name: name for name in config.processes}
    for name, spec in reversed([*config.services.items()]):
        for step in spec.actions:
            process = getattr(step.options, "name", None)
            if step.type.name == "process" and process in found:
                found[process] = name
    return found


def host_and_port(listen: str) -> tuple[str, int]:
    """The two parts of "host:port"; an IPv6 address stands in brackets."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def database_path(config: Config) -> Path | None:
    """The state database's file, None where it is a server's."""
    prefix = "sqlite:///"
    store = config.agent.store
    return Path(store.removeprefix(prefix)) if store.startswith(prefix) else None


def log_path(config: Config) -> Path:
    """The log store's file: beside the state database, so that bulk writes never hold up a commit."""
    state = database_path(config)
    return state.with_name(f"{state.stem}-logs.db") if state else Path("codeblue-logs.db").resolve()


def secrets_of(thing: object) -> Iterator[str]:
    """Every secret value inside a configuration, so that none is ever shown."""
    if isinstance(thing, SecretStr):
        yield thing.get_secret_value()
    elif isinstance(thing, BaseModel):
        for name in type(thing).model_fields:
            yield from secrets_of(getattr(thing, name))
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from secrets_of(value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from secrets_of(value)
    elif is_dataclass(thing) and not isinstance(thing, type):
        for part in fields(thing):
            yield from secrets_of(getattr(thing, part.name))
