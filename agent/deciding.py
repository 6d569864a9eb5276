"""Decisions and what becomes of them: the engine, the outbox, drains, and the budgets that they are held to."""

from collections.abc import Callable, Mapping, Sequence

from agent.assembly import make_drains, make_remediators
from agent.checking import Checking
from agent.config.model import Config
from agent.core.commands import Command
from agent.core.events import Deployed, Input
from agent.core.policy import Policy
from agent.foundation import Foundation
from agent.ports import Channel
from agent.runtime.drains import Drains
from agent.runtime.engine import Engine
from agent.runtime.fleet_budget import FleetBudget
from agent.runtime.gate import Gate
from agent.runtime.host_budget import HostBudget
from agent.runtime.letters import is_outlived
from agent.runtime.outbox import Outbox
from agent.runtime.probe import Watched
from agent.runtime.reach import AgentReach
from agent.stores import SqlStore
from agent.telemetry.logging import redact


class Deciding:
    """What `checking` hears goes to the engine, and what that orders to the outbox. `became` is told, after the engine,
    what became of every command."""

    def __init__(self, on: Foundation, checking: Checking, became: Callable[[str, Input], None]) -> None:
        agent, clock, store, vitals = on.config.agent, on.clock, on.store, on.vitals
        ledger = SqlStore(agent.fleet_store) if agent.fleet_store else None
        self.fleet = FleetBudget(agent.fleet_at_most, agent.fleet_per, ledger=ledger, agent=agent.name)
        self.gate = Gate(clock, vitals, agent.control, resolver=checking.resolver)
        self.engine = Engine(
            clock=clock,
            store=store,
            gate=self.gate,
            bus=on.bus,
            budget=HostBudget(agent.restarts_at_most, agent.restarts_per, self.fleet),
            evidence=checking.evidence,
            agent=agent.name,
            trace_link=agent.traces.link if agent.traces else "",
        )
        self.outbox = Outbox(
            clock=clock, store=store, vitals=vitals, report=self._became, counts=on.metrics, redact=redact
        )
        self.drains = Drains(store, clock, self.engine.table)
        self.engine.outlet = self.outbox
        self.engine.run_again = checking.prober.start_confirming
        self.engine.contexts.host_trouble = lambda: vitals.host_trouble
        self.outbox.restarts.refusal = lambda order: self.fleet.refusal(order, clock.now())
        self.outbox.restarts.settled = lambda order, outcome: self.fleet.settled(order, outcome, clock.now())
        checking.heard = self.engine.observe
        self._told = became
        self._reach = AgentReach(clock, self.engine, self.outbox.restarts, checking.prober, self.drains)
        self._children = checking.children
        self._rows = on.rows
        self._clock = clock
        self._store = store
        self._vitals = vitals
        self.use(on.config)

    def use(self, config: Config) -> None:
        """Put the control targets and the budgets in force."""
        agent = config.agent
        self.gate.control = agent.control
        self.fleet.at_most, self.fleet.per = agent.fleet_at_most, agent.fleet_per
        self.engine.budget(agent.restarts_at_most, agent.restarts_per, config.groups)

    def use_actions(self, config: Config, channels: Mapping[str, tuple[Channel, float]]) -> None:
        """Put these channels (with their messages per second), the restarts and the drains in force."""
        self.drains.use(make_drains(config))
        self.outbox.use(channels, make_remediators(config, self._children, self.drains, self._reach))

    def watch(self, table: Mapping[str, Watched]) -> None:
        """Put these under watch, where everybody sees them."""
        for name, watched in table.items():
            self._rows[name] = watched.row
            self.engine.watch(watched)

    async def unwatch(self, service: str) -> None:
        """Config no longer names it."""
        await self.engine.unwatch(service)
        self._rows.pop(service, None)

    def grant_time_to_start(self, config: Config) -> None:
        """What the agent has just started itself is given as long as after a restart before it is restarted."""
        now = self._clock.now()
        for name, spec in config.services.items():
            restart = spec.policy.restart
            if restart is not None and any(step.type.name == "process" for step in spec.actions):
                self.engine.tell(name, Deployed(at=now, until=now + restart.ladder[0].verify, quiet=True))

    def policy(self, service: str) -> Policy | None:
        """By which it is decided on now; None for one that is not watched."""
        watched = self.engine.table.get(service)
        return watched.policy if watched else None

    def shared_budgets(self, service: str) -> Mapping[str, int]:
        """What is left of the budgets of restarts that a service shares with others, by their names."""
        watched = self.engine.table.get(service)
        return self.engine.contexts.shared_budgets(watched, self._clock.now()) if watched else {}

    async def replay(self, keys: Sequence[str]) -> int:
        """Send dead letters again, and take those off the list whose incident is over: after its closing message they
        would wake somebody for nothing. How many are sent."""
        now = self._clock.now()
        outlived = [letter.command.key for letter in await self._store.dead_letters() if self._outlived(letter.command)]
        count = await self._store.replay(keys, now)
        dropped = set(outlived).intersection(keys)
        for key in dropped:
            await self._store.retract(key, now)
        await self.outbox.replayed(keys)
        return count - len(dropped)

    def _outlived(self, command: Command) -> bool:
        watched = self.engine.table.get(command.service)
        return watched is not None and is_outlived(command, watched.row.state.incident)

    async def put_back(self) -> None:
        """Replicas that were drained for a restart, and are due."""
        await self.drains.look()
        self._vitals.drain_trouble = self.drains.trouble()

    async def look_at_fleet(self) -> None:
        """What the other agents of the fleet have restarted."""
        await self.fleet.look(self._clock.now())

    async def forget_fleet(self) -> None:
        """What the fleet restarted before any window."""
        await self.fleet.purge(self._clock.now())

    def _became(self, service: str, event: Input) -> None:
        self.engine.tell(service, event)
        self._told(service, event)
