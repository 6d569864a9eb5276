"""The composition root: builds the parts of an agent, joins them, starts and stops them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from agent import __version__
from agent.assembly import assemble, host_and_port, secrets_of, tokens_of
from agent.channels import Channels
from agent.checking import Checking
from agent.chores import Housekeeping, Pulse
from agent.config.model import Config
from agent.core.events import Input, Quiet
from agent.core.policy import Policy
from agent.deciding import Deciding
from agent.drills.book import Drills
from agent.drills.course import Ground
from agent.foundation import Foundation
from agent.notifying import Notifier as ChannelTests
from agent.ownership import Ownership
from agent.people import People
from agent.ping import Facts, Ping
from agent.ports import ServiceRow, Vitals
from agent.recovery import Recovery
from agent.runtime.alerts_in import AlertsIn
from agent.runtime.bus import Bus
from agent.runtime.clock import Clock
from agent.runtime.notify import Notifier
from agent.runtime.signals import Signals
from agent.runtime.together import Together
from agent.stores import open_store
from agent.telemetry.logging import redact, register_secret
from agent.telemetry.metrics import Metrics
from agent.telemetry.timeline import log_event
from agent.web.api import create_app
from agent.web.deps import WebDeps
from agent.web.server import Server

log = structlog.get_logger()

CHORES = 2.0  # seconds that chores which are under way have at the end
SETTLE = 1.0  # seconds that fresh processes may take to say something before the first checks run

Timer = tuple[str, timedelta, Callable[[], Awaitable[object]]]


class App:
    """One running agent. Everything is built here; `start` touches the world, `stop` leaves nothing running."""

    def __init__(self, config: Config, *, allow_unverified: bool = False) -> None:
        agent = config.agent
        self.config = config
        self.clock = clock = Clock()
        self.notifier = Notifier()
        self.vitals = vitals = Vitals(started=datetime.now(UTC))
        self.rows: dict[str, ServiceRow] = {}
        self.tokens = tokens_of(config)
        self.metrics = metrics = Metrics(self.rows, vitals)
        self.store = store = open_store(agent.store, self._store_trouble)
        bus = Bus()
        on = Foundation(config, clock, store, vitals, metrics, self.rows, bus)
        self.checking = Checking(on)
        self.deciding = Deciding(on, self.checking, self._became)
        self.people = People(on, self.deciding, self._seen)
        engine = self.deciding.engine
        self.signals = Signals(engine, clock, self.rows, self.checking.recorder.record)
        notices = self.deciding.outbox.notices
        self.channels = Channels(
            lambda: self.config, clock, vitals, self.signals, notices, allow_unverified=allow_unverified
        )
        self.alerts_in = AlertsIn(self.signals, store, clock, engine.tell, metrics.count_alerts)
        self.together = Together(engine, clock, self.signals, config.storm)
        self.drills = Drills(self._ground(), self.signals, vitals, config, metrics)
        self.ping = Ping(vitals, clock.now, self._pinged, metrics.count_ping, redact)
        self.ping.use(agent.ping)
        engine.contexts.quiet = self._quiet
        told = (metrics.on_event, self.checking.tracing.on_event, log_event)
        for observer in (*told, self.people.silences.on_event, self.drills.on_event):
            bus.subscribe(observer)
        self.ownership = Ownership(store, clock, agent.name)
        self.recovery = self._recovery()
        self.housekeeping = self._housekeeping()
        self.pulse = self._pulse()
        self.server = Server(create_app(self._web()), *host_and_port(agent.listen))
        self._beating: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------ what is built of parts

    def _ground(self) -> Ground:
        """What drills go over. They have signals of their own: no table that people or metrics look at shows one."""
        engine = self.deciding.engine
        unseen = Signals(engine, self.clock, {}, lambda *_: None)
        return Ground(
            engine=engine, signals=unseen, store=self.store, clock=self.clock, channel=self.channels.pagers.channel
        )

    def _recovery(self) -> Recovery:
        return Recovery(
            store=self.store,
            clock=self.clock,
            ownership=self.ownership,
            checking=self.checking,
            deciding=self.deciding,
            people=self.people,
            signals=self.signals,
            alerts_in=self.alerts_in,
            together=self.together,
            drills=self.drills,
        )

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            clock=self.clock,
            store=self.store,
            heal=self.recovery.heal,
            vitals=self.vitals,
            beats=self.checking.beats,
            recorder=self.checking.recorder,
            outbox=self.deciding.outbox,
            gate=self.deciding.gate,
            table=self.deciding.engine.table,
            retention=self.config.agent.retention,
        )

    def _pulse(self) -> Pulse:
        return Pulse(
            clock=self.clock,
            gate=self.deciding.gate,
            engine=self.deciding.engine,
            scheduler=self.checking.scheduler,
            beats=self.checking.beats,
            notifier=self.notifier,
            rounds=(self.together.look, self.housekeeping.look_at_schedule),
            steps=(self.together.stepped, self.alerts_in.stepped, self.channels.alarms.stepped),
        )

    def _web(self) -> WebDeps:
        return WebDeps(
            agent=self.config.agent.name,
            version=__version__,
            table=self.rows,
            vitals=self.vitals,
            store=self.store,
            beats=self.checking.beats,
            metrics=self.metrics.render,
            count_beat=self.metrics.count_beat,
            replay=self.deciding.replay,
            policy=self.deciding.policy,
            shared_budgets=self.deciding.shared_budgets,
            tell=self.deciding.engine.tell,
            tokens=lambda: self.tokens,
            redact=redact,
            operations=self.people.operator,
            alerts_in=self.alerts_in,
            oncall=self.people.duty.book,
            desk=self.people.desk,
            notifying=ChannelTests(
                config=lambda: self.config, outbox=self.deciding.outbox, vitals=self.vitals, now=self.clock.now
            ),
            signed=self.people.listeners.signed,
            drills=self.drills,
        )

    # ------------------------------------------------------------------------------------------ start and stop

    async def start(self) -> None:
        """Bring everything up. Raises ConfigError for a channel whose credentials do not work (unless
        `allow_unverified`), CannotListen for an address that is in use, and StoreInUse for the database of another
        agent; nothing is left running then."""
        self.hide_secrets(self.config)
        self.channels.use(await self.channels.pagers.connect(self.config.channels.values()))
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        self.vitals.ready = True
        self.metrics.config_read(success=True)
        table = self.deciding.engine.table
        self.notifier.send(READY=1, STATUS=f"watching {len(table)} services")
        checks = sum(len(watched.probes) for watched in table.values())
        log.info("started", services=len(table), checks=checks, listen=self.config.agent.listen)

    async def _start(self) -> None:
        config, engine, scheduler = self.config, self.deciding.engine, self.checking.scheduler
        stored = await self.recovery.remember(config, self.housekeeping.note_alive)
        await self.server.start()
        await self.checking.start(config)
        self.use_actions()
        await self.deciding.drains.load()
        self.deciding.watch(assemble(config, stored, {}))
        await self.recovery.go_on(stored)
        await self.channels.started()
        for timer in self._timers():
            scheduler.add_chore(*timer)
        scheduler.add(probe for watched in engine.table.values() for probe in watched.probes.values())
        await self.checking.children.settle(SETTLE)
        self.deciding.grant_time_to_start(config)
        scheduler.start()
        self._beating = asyncio.get_running_loop().create_task(self.pulse.beat_for_ever(), name="pulse")

    def _timers(self) -> list[Timer]:
        """What is done now and then beside the checks."""
        second, minute, hour = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
        return [
            ("every second", second, self.housekeeping.every_second),
            ("every ten seconds", 10 * second, self.housekeeping.every_ten_seconds),
            ("channels in trouble", 10 * second, self.channels.pagers.look_again),
            ("channels", 10 * minute, self.channels.prove),
            ("channels that work again", minute, self.channels.alarms.look),
            ("drained replicas", second, self.deciding.put_back),
            ("fleet's budget", 5 * second, self.deciding.look_at_fleet),
            ("calendars", 5 * second, self.people.duty.read_calendars),
            ("on call", 5 * second, self.people.duty.look_after),
            ("silences", second, self.people.silences.tick),
            ("alerts from elsewhere", 10 * second, self.alerts_in.look),
            ("drills", second, self.drills.tick),
            ("ping", second, self.ping.tick),
            ("every hour", hour, self.housekeeping.every_hour),
            ("fleet's past", hour, self.deciding.forget_fleet),
        ]

    @property
    def lasting(self) -> list[asyncio.Task[None]]:
        """What has to go on as long as the agent does."""
        return [task for task in (self._beating, self.server.task) if task is not None]

    async def stop(self) -> None:
        """Stop checking, let decisions and deliveries that are under way end, stop the children, flush and close.
        Takes 3 s for what is under way and the longest `stop_timeout` of a child, at most about."""
        checking, engine = self.checking, self.deciding.engine
        self.vitals.ready = False
        self.notifier.send(STOPPING=1)
        await checking.scheduler.stop(CHORES)
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await checking.prober.stop()
        await self.drills.stop()
        await self.people.listeners.close()
        await engine.quiesce()
        await self.deciding.outbox.stop()
        await engine.quiesce()  # what became of the last commands
        await asyncio.gather(
            checking.children.stop_all(), self.server.stop(), asyncio.to_thread(checking.tracing.close)
        )
        rows = [probe.row for watched in engine.table.values() for probe in watched.probes.values()]
        await self.housekeeping.last(rows)
        await checking.logs.stop()
        await self.channels.pagers.close()
        await checking.http.close()
        await self.ownership.release()
        await self.store.close()
        await self.deciding.fleet.close()
        log.info("stopped")

    # ------------------------------------------------------------------------------------------ used by reload too

    def hide_secrets(self, config: Config) -> None:
        for secret in secrets_of(config):
            register_secret(secret)

    def use_actions(self) -> None:
        """Put the configuration's channels, restarts and drains in force."""
        lanes = self.channels.lanes()
        self.deciding.use_actions(self.config, lanes)
        self.people.listeners.use({name: channel for name, (channel, _) in lanes.items()})

    # ------------------------------------------------------------------------------------------ between the parts

    def _became(self, service: str, event: Input) -> None:
        """What became of a command."""
        self.drills.heard(service, event)

    async def _seen(self, drill: str, by: str) -> str:
        return await self.drills.seen(drill, by)

    def _quiet(self, row: ServiceRow, policy: Policy, at: datetime) -> Quiet | None:
        """Why nobody is asked about a service: people or the calendar say so, or something it is part of is paged."""
        if policy.drill is not None:
            return None  # what is asked for is held, whatever is silent
        return self.people.silences.quiet(row, policy, at) or self.together.quiet(row, policy, at)

    def _pinged(self) -> Facts:
        """What the ping address is told beside the vitals."""
        incidents = sum(row.state.incident is not None for row in self.rows.values())
        waiting = self.deciding.outbox.lanes.waiting()
        return Facts(agent=self.config.agent.name, services=len(self.rows), incidents=incidents, waiting=waiting)

    def _store_trouble(self, text: str) -> None:
        self.vitals.store_trouble = text
