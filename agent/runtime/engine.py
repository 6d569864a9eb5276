"""Observe -> decide -> commit -> publish: the shell around the pure core."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from agent.core.commands import UNDONE, Command
from agent.core.decide import decide
from agent.core.events import (
    ClockStepped,
    Decision,
    Input,
    NoticeFailed,
    Observed,
    PolicyChanged,
    RestartFinished,
    ServiceRemoved,
    Ticked,
)
from agent.core.health import steady
from agent.core.policy import GroupRule
from agent.core.result import CheckResult, Verdict
from agent.core.state import CheckState, Health, ServiceState, Stage
from agent.ports import Store
from agent.runtime.bus import Bus
from agent.runtime.clock import Clock
from agent.runtime.commits import Commits
from agent.runtime.contexts import Contexts
from agent.runtime.gate import Gate
from agent.runtime.host_budget import HostBudget
from agent.runtime.inboxes import Inboxes, Item
from agent.runtime.probe import Probe, Sighting, Watched
from agent.runtime.upstream import Upstream
from agent.runtime.wakes import Wakes

log = structlog.get_logger()

Evidence = Callable[[str, datetime], Awaitable[Mapping[str, str]]]

DECIDED = (Stage.PAGED, Stage.WATCHING)  # where a further miss leads to nothing new


class Outlet(Protocol):
    """Where commands go once they are committed."""

    def offer(self, commands: Iterable[Command]) -> None: ...
    def cancel(self, keys: Iterable[str]) -> None: ...


class Engine:
    """Holds the live table of services and lets every input of a service be decided on, one at a time.

    A passing check that is settled ends in `record`; nothing else happens on its path. Everything else is queued for
    its service and handled by one task per service: doubts, context, decision, commit, then the world is told.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        store: Store,
        gate: Gate,
        bus: Bus,
        budget: HostBudget,
        evidence: Evidence,
        agent: str = "",
        trace_link: str = "",
    ) -> None:
        self.table: dict[str, Watched] = {}
        self.outlet: Outlet | None = None
        self.turned: Callable[[Watched], None] = lambda _: None  # its health, or whether an incident is open
        self.run_again: Callable[[Probe], None] = lambda _: None
        self.commits = Commits(store, budget, self.table)
        self.inboxes = Inboxes(self._handle, self._lost)
        self.wakes = Wakes()
        self.upstream = Upstream(self.table, clock, self.inboxes.put, lambda probe: self.run_again(probe))
        self.contexts = Contexts(self.upstream, budget, self.commits.groups, agent, trace_link)
        self._clock = clock
        self._gate = gate
        self._bus = bus
        self._evidence = evidence
        self._answers: dict[int, asyncio.Future[Decision]] = {}

    # ------------------------------------------------------------------------------------------ what comes in

    def observe(self, probe: Probe, result: CheckResult, began: float) -> None:
        """A run that its row already shows. A settled check that passes needs no decision."""
        if probe.settled and result.verdict is Verdict.PASS:
            return
        watched = self.table.get(probe.service)
        if watched is not None and not probe.removed:
            probe.settled = False  # until this one is decided on the next is news, too
            self.inboxes.put(watched, Sighting(probe, result, began))

    def tell(self, service: str, event: Input) -> None:
        """An input from the outbox or from time. For a service that is no longer watched it is dropped."""
        watched = self.table.get(service)
        if watched is not None:
            self.inboxes.put(watched, event)
        elif isinstance(event, NoticeFailed):
            log.error("notice_given_up", service=service, key=event.key, reason=event.reason)

    async def ask(self, service: str, event: Input) -> Decision | None:
        """The same, and what was decided. None where nothing was: it is not watched, or somebody else changed it."""
        watched = self.table.get(service)
        if watched is None:
            return None
        answer = self._answers[id(event)] = asyncio.get_running_loop().create_future()
        self.inboxes.put(watched, event)
        while not answer.done() and (task := watched.task) is not None:
            await asyncio.wait([answer, task], return_when=asyncio.FIRST_COMPLETED)
        self._answers.pop(id(event), None)
        return answer.result() if answer.done() else None

    def tick(self) -> None:
        """Several times a second: hand their `Ticked` to the services that asked for one."""
        now = self._clock.now()
        for service in self.wakes.due(now):
            self.tell(service, Ticked(at=now))

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped: every memory that holds a time is moved along."""
        now = self._clock.now()
        self.commits.budget.shift(by)
        for watched in self.table.values():
            state = watched.row.state
            waits = state.wake_at or state.incident or state.restarts or state.unknown_since
            if waits or state.health is Health.SUSPECT or watched.downstream:
                self.wakes.forget(watched.row.name)
                self.inboxes.put(watched, ClockStepped(at=now, by=by))

    # ------------------------------------------------------------------------------------------ the table

    def watch(self, watched: Watched) -> None:
        """Put a service under watch, or renew how it is watched; its state goes on. One that has an open incident from
        an earlier life is reviewed: config may have changed while nobody looked."""
        name = watched.row.name
        known = name in self.table
        self.table[name] = watched
        for probe in watched.probes.values():
            probe.settled = steady(watched.row.state.checks.get(probe.name, CheckState()))
        self.commits.begin(watched)
        self.wakes.follow(watched)
        if known or (watched.row.state.incident is not None and watched.probes):
            self.inboxes.put(watched, PolicyChanged(at=self._clock.now()))

    async def unwatch(self, service: str, why: str = "") -> None:
        """Config no longer names it, or `why`: close what is open, then forget it."""
        watched = self.table[service]
        self.inboxes.put(watched, ServiceRemoved(at=self._clock.now(), why=why))
        while watched.task is not None:
            await asyncio.wait([watched.task])
        del self.table[service]
        self.wakes.forget(service)
        await self.commits.forget(service)

    def budget(self, at_most: int, per: timedelta, groups: Mapping[str, GroupRule] | None = None) -> None:
        """Change the restart budget of this host, and the rules of groups; what was spent stays spent."""
        self.commits.use(at_most, per, groups or {})

    def review(self) -> None:
        """Something outside the services has changed (a silence, a window, a rota): look at all that is open."""
        now = self._clock.now()
        for watched in self.table.values():
            if watched.row.state.incident is not None:
                self.inboxes.put(watched, Ticked(at=now))

    async def quiesce(self) -> None:
        """Wait until every input that is queued has been decided on and committed."""
        await self.inboxes.quiesce()

    # ------------------------------------------------------------------------------------------ one service

    async def _handle(self, watched: Watched, item: Item) -> None:
        event: Input
        blind = self._gate.blind if watched.remote else ""
        if isinstance(item, Sighting):
            if item.probe.removed:
                return  # what it looked at is not what config names now
            item.probe.seen = True
            event, blind = await self._look_closer(watched, item)
        else:
            event = item
        before = watched.row.state
        decision = self._decide(watched, event, blind)
        if not await self.commits.commit(watched, decision):
            decision = self._decide(watched, event, blind)  # somebody else was first: decide on what he left
            if not await self.commits.commit(watched, decision):
                log.error("decision_dropped", service=watched.row.name, why="the stored state changed twice")
                self._lost(watched)
                return
        if isinstance(event, RestartFinished) and event.outcome in UNDONE:
            self.commits.never_came_to_be(watched, before)
        self._follow(watched, before, decision)
        if (answer := self._answers.pop(id(event), None)) is not None:
            answer.set_result(decision)
        if isinstance(item, Sighting):
            self.upstream.seen(watched, item)

    async def _look_closer(self, watched: Watched, sighting: Sighting) -> tuple[Observed, str]:
        """The observation, with doubts about ourselves for a miss, and with evidence for one that will decide."""
        probe, result = sighting.probe, sighting.result
        evidence: Mapping[str, str] = {}
        blind = ""
        known = watched.row.state.checks.get(probe.name, CheckState())
        incident = watched.row.state.incident
        if result.verdict is Verdict.FAIL and (not known.down or (incident and incident.stage not in DECIDED)):
            blind = await self._gate.doubts(result, sighting.began, local=probe.type.local)
            if not blind and not known.down and known.misses + 1 >= probe.policy.misses:
                evidence = await self._evidence(probe.service, known.first_miss_at or result.at)
        at = self._clock.now()
        return Observed(at=at, check=probe.name, result=result, evidence=evidence), blind

    def _decide(self, watched: Watched, event: Input, blind: str) -> Decision:
        return decide(watched.row.state, event, watched.policy, self.contexts.of(watched, event, blind))

    def _follow(self, watched: Watched, before: ServiceState, decision: Decision) -> None:
        """Tell the world what was decided."""
        state = watched.row.state
        if before.health is not state.health or (before.incident is None) is not (state.incident is None):
            self.turned(watched)
        for probe in watched.probes.values():
            known = state.checks.get(probe.name, CheckState())
            probe.settled = steady(known) and probe.name not in watched.being_looked_at
        self.wakes.follow(watched)
        if self.outlet is not None:
            self.outlet.cancel(decision.cancelled)
            self.outlet.offer(decision.commands)
        for confirm in decision.confirm:
            self._again_after(watched, confirm.check, confirm.after)
        self._bus.publish(decision.events)
        if before.health is not state.health:
            self.upstream.tell_dependants(watched)
            if state.health is Health.SUSPECT:
                self.upstream.look(watched)

    def _lost(self, watched: Watched) -> None:
        """An input of it was lost."""
        self.wakes.later(watched, self._clock.now())

    def _again_after(self, watched: Watched, check: str, after: timedelta) -> None:
        probe = watched.probes.get(check)
        if probe is not None:
            asyncio.get_running_loop().call_later(after.total_seconds(), self.run_again, probe)
