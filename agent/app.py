"""The composition root: the only place that knows every concrete class. Builds the parts, starts and stops them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from agent import __version__
from agent.actions import ACTIONS
from agent.actions.children import Children
from agent.actions.drains import DRAINS
from agent.assembly import (
    Toolbox,
    alarm_policy,
    alert_rule,
    assemble,
    beat_tokens,
    database_path,
    host_and_port,
    log_path,
    make_drains,
    make_remediators,
    owners,
    secrets_of,
    tokens_of,
)
from agent.chores import ALIVE, OWNER, STILL_ALIVE, Housekeeping, Pulse, StoreInUse
from agent.config.model import Config, Tables
from agent.core.commands import Notice
from agent.core.events import Deployed, Event, EventKind, Input, Noted, Quiet
from agent.core.policy import Policy
from agent.core.result import HEARTBEAT, CheckResult, Verdict
from agent.drills.book import Drills
from agent.drills.course import Ground
from agent.listening import Listeners
from agent.logs.book import Logs
from agent.logs.store import LogStore
from agent.notifying import Notifier as ChannelTests
from agent.oncall.duty import Duty
from agent.operator import Operator
from agent.pagers import Pagers
from agent.ping import Facts, Ping
from agent.ports import DeliveryError, Desk, ServiceRow, Stored, StoreUnavailable, Vitals
from agent.quiet.book import Book, Subject
from agent.quiet.desk import Desk as QuietDesk
from agent.runtime.alerts_in import AlertsIn
from agent.runtime.beats import Beats
from agent.runtime.bus import Bus
from agent.runtime.channel_alarms import ChannelAlarms
from agent.runtime.clock import Clock
from agent.runtime.curl import CurlClient
from agent.runtime.drains import Drains
from agent.runtime.engine import Engine
from agent.runtime.fleet_budget import FleetBudget
from agent.runtime.gate import Gate
from agent.runtime.host_budget import HostBudget
from agent.runtime.lane import lane_of
from agent.runtime.limits import Limits
from agent.runtime.notify import Notifier
from agent.runtime.outbox import Outbox
from agent.runtime.probe import Probe, Watched
from agent.runtime.prober import Prober
from agent.runtime.reach import AgentReach
from agent.runtime.recorder import Recorder, heartbeat
from agent.runtime.resolver import ThreadResolver
from agent.runtime.scheduler import Scheduler
from agent.runtime.signals import Signals
from agent.runtime.together import Together
from agent.stores import SqlStore, open_store
from agent.telemetry.logging import redact, register_secret
from agent.telemetry.metrics import Metrics
from agent.telemetry.tracing import ProbeTrace, Tracing
from agent.web.api import create_app
from agent.web.deps import WebDeps
from agent.web.server import Server
from alerts.channels import CHANNELS
from checks import CHECKS

log = structlog.get_logger()

TABLES = Tables(checks=CHECKS, actions=ACTIONS, channels=CHANNELS, drains=DRAINS)
PROVE_EVERY = timedelta(minutes=10)  # the credentials of every channel
SETTLE = 1.0  # seconds that fresh processes may take to say something before the first checks run
LOUD = frozenset(
    {EventKind.OPENED, EventKind.PAGED, EventKind.UNDELIVERED, EventKind.VERIFY_FAILED, EventKind.REMINDED}
)
EVIDENCE_TIMEOUT = 0.3  # seconds; a page never waits longer for log lines


class App:
    """One running agent. Everything is built here; `start` touches the world, `stop` leaves nothing running."""

    def __init__(self, config: Config, *, allow_unverified: bool = False) -> None:
        agent = config.agent
        self.config = config
        self.clock = Clock()
        self.notifier = Notifier()
        self.vitals = Vitals(started=datetime.now(UTC))
        self.rows: dict[str, ServiceRow] = {}
        self.pagers = Pagers(self.vitals, allow_unverified=allow_unverified)
        self.owners = owners(config)
        self.tokens = tokens_of(config)
        self.metrics = Metrics(self.rows, self.vitals)
        self.store = open_store(agent.store, self._store_trouble)
        self.beats = Beats()
        self.logs = Logs(
            LogStore(log_path(config), retention=agent.log_retention, size=agent.log_size),
            on_count=self._count_lines,
        )
        self.resolver = ThreadResolver()
        self.http = CurlClient(self.resolver)
        self.tracing = _tracing(config)
        self.gate = Gate(self.clock, self.vitals, agent.control)
        self.limits = Limits(agent.concurrency, agent.per_host)
        self.recorder = Recorder(self.store)
        self.children = Children(config.processes, self._child_line)
        self.bus = Bus()
        for observer in (self.metrics.on_event, self.tracing.on_event, _log_event):
            self.bus.subscribe(observer)
        ledger = SqlStore(agent.fleet_store) if agent.fleet_store else None
        self.fleet = FleetBudget(agent.fleet_at_most, agent.fleet_per, ledger=ledger, agent=agent.name)
        self.engine = Engine(
            clock=self.clock,
            store=self.store,
            gate=self.gate,
            bus=self.bus,
            budget=HostBudget(agent.restarts_at_most, agent.restarts_per, self.fleet),
            evidence=self._evidence,
            agent=agent.name,
            trace_link=agent.traces.link if agent.traces else "",
        )
        self.outbox = Outbox(
            clock=self.clock,
            store=self.store,
            vitals=self.vitals,
            report=self._became,
            counts=self.metrics,
            redact=redact,
        )
        tools = Toolbox(http=self.http, resolver=self.resolver, beats=self.beats, logs=self.logs, vitals=self.vitals)
        self.prober = Prober(tools, self.limits, self.tracing.probe, self._observe)
        self.scheduler = Scheduler(self.clock, self.prober.start, self.metrics.observe_lateness)
        self.engine.outlet = self.outbox
        self.drains = Drains(self.store, self.clock, self.engine.table)
        self.reach = AgentReach(self.clock, self.engine, self.outbox.restarts, self.prober, self.drains)
        self.outbox.restarts.refusal = lambda order: self.fleet.refusal(order, self.clock.now())
        self.outbox.restarts.settled = lambda order, outcome: self.fleet.settled(order, outcome, self.clock.now())
        self.budgets()
        self.duty = Duty(self.clock.now, self.store, self.vitals)
        self.silences = Book(store=self.store, now=self.clock.now, services=self._subjects, changed=self.engine.review)
        self.engine.contexts.quiet = self._quiet
        self.bus.subscribe(self.silences.on_event)
        self.desk = QuietDesk(self.silences, self.engine.tell)
        self.metrics.silences, self.metrics.quiet = self.silences.counts, self.silences.quiet_counts
        self.operator = Operator(
            table=self.rows,
            policy=self._policy,
            tell=self.engine.tell,
            now=self.clock.now,
            silences=self.desk,
            on_call=lambda: self.duty.book.in_words(),
            seen=lambda drill, by: self.drills.seen(drill, by),
        )
        self.listeners = Listeners(self.vitals, self._desk())
        self.use_people()
        self.signals = Signals(self.engine, self.clock, self.rows, self.recorder.record)
        self.alarms = ChannelAlarms(self.signals, self.vitals, self.clock, self._alarm_policy)
        self.outbox.notices.refused, self.outbox.notices.taken = self._refused, self.alarms.taken
        self.pagers.proven, self.pagers.failed = self.alarms.verified, self.alarms.failed
        self.alerts_in = AlertsIn(self.signals, self.store, self.clock, self.engine.tell, self.metrics.count_alerts)
        self.together = Together(self.engine, self.clock, self.signals, config.storm)
        self.drills = Drills(self._ground(), self.signals, self.vitals, config, self.metrics)
        self.bus.subscribe(self.drills.on_event)
        self.ping = Ping(self.vitals, self.clock.now, self._pinged, self.metrics.count_ping, redact)
        self.ping.use(agent.ping)
        self.engine.run_again = self.prober.start_confirming
        self.engine.contexts.host_trouble = lambda: self.vitals.host_trouble
        self.housekeeping = self._housekeeping()
        self.pulse = Pulse(
            clock=self.clock,
            gate=self.gate,
            engine=self.engine,
            scheduler=self.scheduler,
            beats=self.beats,
            notifier=self.notifier,
            rounds=(self.together.look, self.housekeeping.look_at_schedule),
            steps=(self.together.stepped, self.alerts_in.stepped, self.alarms.stepped),
        )
        self.server = Server(create_app(self._web()), *host_and_port(agent.listen))
        self._pulse: asyncio.Task[None] | None = None
        self._owns_store = False

    def _ground(self) -> Ground:
        """What drills go over. They have signals of their own: no table that people or metrics look at shows one."""
        unseen = Signals(self.engine, self.clock, {}, lambda *_: None)
        return Ground(
            engine=self.engine, signals=unseen, store=self.store, clock=self.clock, channel=self.pagers.channel
        )

    def _pinged(self) -> Facts:
        """What the ping address is told beside the vitals."""
        incidents = sum(row.state.incident is not None for row in self.rows.values())
        waiting = self.outbox.lanes.waiting()
        return Facts(agent=self.config.agent.name, services=len(self.rows), incidents=incidents, waiting=waiting)

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            clock=self.clock,
            store=self.store,
            heal=self._heal,
            vitals=self.vitals,
            beats=self.beats,
            recorder=self.recorder,
            outbox=self.outbox,
            gate=self.gate,
            table=self.engine.table,
            retention=self.config.agent.retention,
        )

    def _web(self) -> WebDeps:
        return WebDeps(
            agent=self.config.agent.name,
            version=__version__,
            table=self.rows,
            vitals=self.vitals,
            store=self.store,
            beats=self.beats,
            metrics=self.metrics.render,
            count_beat=self.metrics.count_beat,
            replay=self._replay,
            policy=self._policy,
            tell=self.engine.tell,
            tokens=lambda: self.tokens,
            redact=redact,
            operations=self.operator,
            alerts_in=self.alerts_in,
            oncall=self.duty.book,
            desk=self.desk,
            notifying=ChannelTests(
                config=lambda: self.config, outbox=self.outbox, vitals=self.vitals, now=self.clock.now
            ),
            signed=self.listeners.signed,
            drills=self.drills,
        )

    def _desk(self) -> Desk:
        """Where a channel takes what people press and type."""
        return Desk(
            operations=self.operator,
            note=self._note,
            contacts=lambda: self.engine.contexts.contacts,
            count=self.metrics.count_answer,
        )

    def _alarm_policy(self, channel: str, broken: Collection[str]) -> Policy:
        return alarm_policy(self.config, channel, broken)

    def _refused(self, notice: Notice, error: DeliveryError) -> None:
        if lane_of(notice.channel) in self.config.channels:
            self.alarms.refused(notice, error)

    def _note(self, about: str, text: str, by: str) -> None:
        if about in self.engine.table:
            self.engine.tell(about, Noted(at=self.clock.now(), text=text, by=by))
        else:
            self.desk.note(about, text, by)

    def _quiet(self, row: ServiceRow, policy: Policy, at: datetime) -> Quiet | None:
        """Why nobody is asked about a service: people or the calendar say so, or something it is part of is paged."""
        if policy.drill is not None:
            return None  # what is asked for is held, whatever is silent
        return self.silences.quiet(row, policy, at) or self.together.quiet(row, policy, at)

    def _subjects(self) -> list[Subject]:
        """All services that may be silenced, with their open incidents."""
        found = ((one.policy, one.row.state.incident) for one in self.engine.table.values() if one.policy.drill is None)
        return [Subject(policy, incident.id if incident else "") for policy, incident in found]

    # ------------------------------------------------------------------------------------------ start and stop

    async def start(self) -> None:
        """Bring everything up. Raises ConfigError for a channel whose credentials do not work (unless
        `allow_unverified`), CannotListen for an address that is in use, and StoreInUse for the database of another
        agent; nothing is left running then."""
        self.hide_secrets(self.config)
        self.pagers.use(await self.pagers.connect(self.config.channels.values()))
        try:
            stored = await self._remember()
            await self.server.start()
            await self._start_watching(stored)
        except BaseException:
            await self.stop()
            raise
        self.vitals.ready = True
        self.metrics.config_read(success=True)
        self.notifier.send(READY=1, STATUS=f"watching {len(self.engine.table)} services")
        checks = sum(len(watched.probes) for watched in self.engine.table.values())
        log.info("started", services=len(self.engine.table), checks=checks, listen=self.config.agent.listen)

    async def _remember(self) -> Mapping[str, Stored]:
        """What the store knows of the life before; heartbeats are taken in from here on."""
        stored = await self.store.load()
        alive_until = await self.store.get_note(ALIVE)
        now = self.clock.now()
        await self._own_the_store(alive_until, now)
        blind = (datetime.fromisoformat(alive_until), now) if alive_until else None
        self.beats.restore(await self.store.load_beats(), blind)
        self.beats.configure(beat_tokens(self.config), now)
        await self.duty.load()
        await self.alerts_in.load(alert_rule(self.config))
        await self.silences.load(readable=not self.store.trouble)
        await self.drills.load()
        return stored

    async def _own_the_store(self, alive_until: str | None, now: datetime) -> None:
        """What an agent finds unfinished in its database it takes for its own of before, also that of a second one."""
        name, owner = self.config.agent.name, await self.store.get_note(OWNER)
        if owner and owner != name and alive_until and now - datetime.fromisoformat(alive_until) < STILL_ALIVE:
            raise StoreInUse(owner)
        await self.housekeeping.note_alive()
        await self.store.set_note(OWNER, name)
        self._owns_store = True

    async def _start_watching(self, stored: Mapping[str, Stored]) -> None:
        config = self.config
        state = database_path(config)
        await self.logs.start(config.logs, exclude=[state] if state else [])
        await self.children.start_all()
        self.use_actions()
        await self.drains.load()
        self.watch(assemble(config, stored, {}))
        orphans = self._watch_orphans(stored)
        self.together.restore()
        await self.outbox.recover({name: watched.row.state for name, watched in self.engine.table.items()})
        for name in orphans:
            await self.engine.unwatch(name)
        await self.drills.finish()
        await self.alarms.keep(config.channels)
        self.alarms.asked(config.channels.keys() - self.vitals.channel_trouble.keys(), self.pagers.refused)
        self.scheduler.add_chore("every second", timedelta(seconds=1), self.housekeeping.every_second)
        self.scheduler.add_chore("every ten seconds", timedelta(seconds=10), self.housekeeping.every_ten_seconds)
        self.scheduler.add_chore("channels in trouble", timedelta(seconds=10), self.pagers.look_again)
        self.scheduler.add_chore("channels", PROVE_EVERY, self.prove_channels)
        self.scheduler.add_chore("channels that work again", timedelta(minutes=1), self.alarms.look)
        self.scheduler.add_chore("drained replicas", timedelta(seconds=1), self.put_back)
        self.scheduler.add_chore("fleet's budget", timedelta(seconds=5), self.look_at_fleet)
        self.scheduler.add_chore("calendars", timedelta(seconds=5), self.duty.read_calendars)
        self.scheduler.add_chore("on call", timedelta(seconds=5), self.duty.look_after)
        self.scheduler.add_chore("silences", timedelta(seconds=1), self.silences.tick)
        self.scheduler.add_chore("alerts from elsewhere", timedelta(seconds=10), self.alerts_in.look)
        self.scheduler.add_chore("drills", timedelta(seconds=1), self.drills.tick)
        self.scheduler.add_chore("ping", timedelta(seconds=1), self.ping.tick)
        self.scheduler.add_chore("every hour", timedelta(hours=1), self.housekeeping.every_hour)
        self.scheduler.add_chore("fleet's past", timedelta(hours=1), self.forget_fleet)
        self.scheduler.add(probe for watched in self.engine.table.values() for probe in watched.probes.values())
        await self.children.settle(SETTLE)
        self._grant_time_to_start()
        self.scheduler.start()
        self._pulse = asyncio.get_running_loop().create_task(self.pulse.beat_for_ever(), name="pulse")

    def _grant_time_to_start(self) -> None:
        """What the agent has just started itself is given as long as after a restart before it is restarted."""
        now = self.clock.now()
        for name, spec in self.config.services.items():
            restart = spec.policy.restart
            if restart is not None and any(step.type.name == "process" for step in spec.actions):
                self.engine.tell(name, Deployed(at=now, until=now + restart.ladder[0].verify, quiet=True))

    def _watch_orphans(self, stored: Mapping[str, Stored]) -> list[str]:
        """Services that config does not name: watched until what is open is closed; those fed from outside go on."""
        self.signals.restore(stored)
        self.drills.restore(stored)
        orphans = [name for name in stored if name not in self.engine.table]
        for name in orphans:
            row = ServiceRow(name=name, state=stored[name].state)
            self.engine.watch(Watched(row=row, policy=Policy(service=name), probes={}, version=stored[name].version))
        return orphans

    @property
    def lasting(self) -> list[asyncio.Task[None]]:
        """What has to go on as long as the agent does."""
        return [task for task in (self._pulse, self.server.task) if task is not None]

    async def stop(self) -> None:
        """Stop checking, let decisions and deliveries that are under way end, stop the children, flush and close.
        Takes 3 s for what is under way and the longest `stop_timeout` of a child, at most about."""
        self.vitals.ready = False
        self.notifier.send(STOPPING=1)
        self.scheduler.stop()
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.gather(self._pulse, return_exceptions=True)
        await self.prober.stop()
        await self.drills.stop()
        await self.listeners.close()
        await self.engine.quiesce()
        await self.outbox.stop()
        await self.engine.quiesce()  # what became of the last commands
        await asyncio.gather(self.children.stop_all(), self.server.stop(), asyncio.to_thread(self.tracing.close))
        rows = [probe.row for watched in self.engine.table.values() for probe in watched.probes.values()]
        await self.housekeeping.last(rows)
        await self.logs.stop()
        await self.pagers.close()
        await self.http.close()
        if self._owns_store:
            with suppress(StoreUnavailable):
                await self.store.set_note(OWNER, "")
        await self.store.close()
        await self.fleet.close()
        log.info("stopped")

    # ------------------------------------------------------------------------------------------ used by reload too

    def hide_secrets(self, config: Config) -> None:
        for secret in secrets_of(config):
            register_secret(secret)

    def use_actions(self) -> None:
        """Put the configuration's channels, restarts and drains in force."""
        self.drains.use(make_drains(self.config))
        remediators = make_remediators(self.config, self.children, self.drains, self.reach)
        lanes = self.pagers.lanes(self.config.channels)
        self.outbox.use(lanes, remediators)
        self.listeners.use({name: channel for name, (channel, _) in lanes.items()})

    async def put_back(self) -> None:
        """Replicas that were drained for a restart, and are due."""
        await self.drains.look()
        self.vitals.drain_trouble = self.drains.trouble()

    async def prove_channels(self) -> None:
        """A token that was revoked is noticed before somebody has to be woken by it."""
        await self.pagers.prove(self.config.channels)

    def budgets(self) -> None:
        """Put the configuration's budgets in force."""
        agent = self.config.agent
        self.fleet.at_most, self.fleet.per = agent.fleet_at_most, agent.fleet_per
        self.engine.budget(agent.restarts_at_most, agent.restarts_per, self.config.groups)

    async def look_at_fleet(self) -> None:
        """What the other agents of the fleet have restarted."""
        await self.fleet.look(self.clock.now())

    async def forget_fleet(self) -> None:
        """What the fleet restarted before any window."""
        await self.fleet.purge(self.clock.now())

    def use_people(self) -> None:
        """Put the configuration's people, schedules and windows in force; what was made by hand stays."""
        self.silences.configure(self.config.maintenance)
        self.duty.configure(self.config.people, self.config.schedules, self.config.calendars)
        self.engine.contexts.reach, self.engine.contexts.contacts = self.duty.book.reach, self.duty.book.contacts

    def watch(self, table: Mapping[str, Watched]) -> None:
        for name, watched in table.items():
            self.rows[name] = watched.row
            self.engine.watch(watched)

    # ------------------------------------------------------------------------------------------ between the parts

    def _observe(self, probe: Probe, result: CheckResult, began: float, trace: ProbeTrace) -> None:
        """Every result comes through here. The first three lines are all that a settled, passing check costs."""
        self.recorder.record(probe.row, result)
        if result.verdict is not Verdict.PASS or trace.sampled:
            result = shown(result, trace.trace_id)
            self.tracing.check_finished(probe.service, probe.name, probe.type.name, result, trace)
        self.engine.observe(probe, result, began)

    async def _evidence(self, service: str, before: datetime) -> Mapping[str, str]:
        """The last log lines before the first miss, and what is known of the service's process."""
        evidence = {HEARTBEAT: heartbeat(self.rows[service].checks.values())} if service in self.rows else {}
        for process, owner in self.owners.items():
            if owner == service:
                evidence.update(self.children.evidence(process))
        try:
            async with asyncio.timeout(EVIDENCE_TIMEOUT):
                lines = await self.logs.tail(service, before=before, lines=15)
        except TimeoutError:
            lines = []
        if lines:
            evidence.pop("output", None)  # the same lines, unparsed
            text = "\n".join(f"{line.at:%H:%M:%S} {line.level:<8} {line.text}" for line in lines)
            evidence["Last log lines before the first miss"] = text
        return {name: redact(text) for name, text in evidence.items()}

    def _became(self, service: str, event: Input) -> None:
        """What became of a command."""
        self.engine.tell(service, event)
        self.drills.heard(service, event)

    def _count_lines(self, service: str, source: str, level: str, count: int) -> None:
        """By kind of source (file, journal, process): rotated files have too many names for a label."""
        self.metrics.count_log(service, source.partition(":")[0], level, count)

    def _child_line(self, process: str, _stream: str, text: str) -> None:
        self.logs.feed_text(f"process:{process}", self.owners.get(process, process), text)

    def _policy(self, service: str) -> Policy | None:
        watched = self.engine.table.get(service)
        return watched.policy if watched else None

    async def _replay(self, keys: Sequence[str]) -> int:
        count = await self.store.replay(keys, self.clock.now())
        await self.outbox.replayed(keys)
        return count

    def _store_trouble(self, text: str) -> None:
        self.vitals.store_trouble = text

    async def _heal(self) -> None:
        late = await self.store.heal()
        if late is None:
            return
        self.take_late(late.states)
        await self.silences.load()
        await self.alerts_in.load(self.alerts_in.rule)
        await self.drills.load()
        orphans = self._watch_orphans(late.states)
        self.together.restore()
        await self.outbox.adopt(late.interrupted, late.pending)
        for name in orphans:
            await self.engine.unwatch(name)
        await self.drills.finish()
        if late.beats:
            self.beats.restore(late.beats)

    def take_late(self, states: Mapping[str, Stored]) -> None:
        """The database could be read at last: services that have no history in memory go on from it."""
        for name, stored in states.items():
            watched = self.engine.table.get(name)
            if watched is not None and watched.version < stored.version:
                watched.row.state, watched.version = stored.state, stored.version
                self.engine.watch(watched)


def shown(result: CheckResult, trace_id: str) -> CheckResult:
    """A result as it may be seen outside: a target may say back what it was sent, a program print what it knows."""
    evidence = {name: redact(text) for name, text in result.evidence.items()}
    return replace(result, trace_id=trace_id, summary=redact(result.summary), evidence=evidence)


def _tracing(config: Config) -> Tracing:
    traces = config.agent.traces
    if traces is None:
        return Tracing(agent=config.agent.name)
    headers = {name: value.get_secret_value() for name, value in traces.headers.items()}
    return Tracing(traces.endpoint, traces.sample, headers, config.agent.name)


def _log_event(event: Event) -> None:
    """Every fact of the timeline, in the agent's own log too; those that mean work for people are warnings."""
    found = {"check": event.check, "text": event.text, "incident": event.incident, "trace_id": event.trace_id}
    say = log.warning if event.kind in LOUD else log.info
    say(event.kind.value, service=event.service, **{name: value for name, value in found.items() if value})
