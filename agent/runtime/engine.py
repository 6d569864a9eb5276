"""Observe -> decide -> commit -> publish: the shell around the pure core."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from agent.core.commands import UNDONE, Command, Restart
from agent.core.contact import Contact
from agent.core.events import (
    ClockStepped,
    Context,
    Decision,
    Input,
    NoticeFailed,
    Observed,
    Parent,
    PolicyChanged,
    Quiet,
    RestartFinished,
    ServiceRemoved,
    Ticked,
)
from agent.core.health import steady
from agent.core.incident import decide
from agent.core.policy import Escalation, GroupRule, Policy
from agent.core.result import CheckResult, Verdict
from agent.core.state import CheckState, Health, ServiceState, Stage
from agent.ports import ServiceRow, Store, StoreUnavailable, VersionConflict
from agent.runtime.bus import Bus
from agent.runtime.clock import Clock
from agent.runtime.gate import Gate
from agent.runtime.groups import Groups
from agent.runtime.host_budget import HostBudget
from agent.runtime.probe import Probe, Sighting, Watched
from agent.runtime.relations import related

log = structlog.get_logger()

Evidence = Callable[[str, datetime], Awaitable[Mapping[str, str]]]

AFTER_TROUBLE = timedelta(seconds=5)
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
        self.run_again: Callable[[Probe], None] = lambda _: None
        self._clock = clock
        self._store = store
        self._gate = gate
        self._bus = bus
        self._budget = budget
        self._evidence = evidence
        self._agent = agent
        self._trace_link = trace_link
        self._groups = Groups(self.table)
        self.host_trouble: Callable[[], str] = lambda: ""
        self.reach: Callable[[Escalation, datetime], Mapping[str, tuple[Contact, ...]]] = lambda *_: {}
        self.quiet: Callable[[ServiceRow, Policy, datetime], Quiet | None] = lambda *_: None
        self.contacts: Mapping[str, Mapping[str, str]] = {}
        self.also_upstream: Callable[[Watched], Mapping[str, Parent]] = lambda _: {}
        self.turned: Callable[[Watched], None] = lambda _: None  # its health, or whether an incident is open
        self._waking: dict[str, datetime] = {}
        self._answers: dict[int, asyncio.Future[Decision]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------------------------ what comes in

    def observe(self, probe: Probe, result: CheckResult, began: float) -> None:
        """A run that its row already shows. A settled check that passes needs no decision."""
        if probe.settled and result.verdict is Verdict.PASS:
            return
        watched = self.table.get(probe.service)
        if watched is not None and not probe.removed:
            probe.settled = False  # until this one is decided on the next is news, too
            self._put(watched, Sighting(probe, result, began))

    def tell(self, service: str, event: Input) -> None:
        """An input from the outbox or from time. For a service that is no longer watched it is dropped."""
        watched = self.table.get(service)
        if watched is not None:
            self._put(watched, event)
        elif isinstance(event, NoticeFailed):
            log.error("notice_given_up", service=service, key=event.key, reason=event.reason)

    async def ask(self, service: str, event: Input) -> Decision | None:
        """The same, and what was decided. None where nothing was: it is not watched, or somebody else changed it."""
        watched = self.table.get(service)
        if watched is None:
            return None
        answer = self._answers[id(event)] = asyncio.get_running_loop().create_future()
        self._put(watched, event)
        while not answer.done() and (task := watched.task) is not None:
            await asyncio.wait([answer, task], return_when=asyncio.FIRST_COMPLETED)
        self._answers.pop(id(event), None)
        return answer.result() if answer.done() else None

    def tick(self) -> None:
        """Several times a second: hand their `Ticked` to the services that asked for one."""
        now = self._clock.now()
        for service, wake_at in [*self._waking.items()]:
            if wake_at <= now:
                del self._waking[service]
                self.tell(service, Ticked(at=now))

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped: every memory that holds a time is moved along."""
        now = self._clock.now()
        self._budget.shift(by)
        for watched in self.table.values():
            state = watched.row.state
            waits = state.wake_at or state.incident or state.restarts or state.unknown_since
            if waits or state.health is Health.SUSPECT or watched.downstream:
                self._waking.pop(watched.row.name, None)
                self._put(watched, ClockStepped(at=now, by=by))

    # ------------------------------------------------------------------------------------------ the table

    def watch(self, watched: Watched) -> None:
        """Put a service under watch, or renew how it is watched; its state goes on. One that has an open incident from
        an earlier life is reviewed: config may have changed while nobody looked."""
        name = watched.row.name
        known = name in self.table
        self.table[name] = watched
        self._groups.changed()
        for probe in watched.probes.values():
            probe.settled = steady(watched.row.state.checks.get(probe.name, CheckState()))
        self._budget.spend(name, watched.row.state.restarts)
        if watched.row.state.wake_at is not None:
            self._waking[name] = watched.row.state.wake_at
        if known or (watched.row.state.incident is not None and watched.probes):
            self._put(watched, PolicyChanged(at=self._clock.now()))

    async def unwatch(self, service: str, why: str = "") -> None:
        """Config no longer names it, or `why`: close what is open, then forget it."""
        watched = self.table[service]
        self._put(watched, ServiceRemoved(at=self._clock.now(), why=why))
        while watched.task is not None:
            await asyncio.wait([watched.task])
        del self.table[service]
        self._groups.changed()
        self._waking.pop(service, None)
        try:
            await self._store.forget(service)
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="forget", service=service, error=str(error))

    def budget(self, at_most: int, per: timedelta, groups: Mapping[str, GroupRule] | None = None) -> None:
        """Change the restart budget of this host, and the rules of groups; what was spent stays spent."""
        self._budget.at_most, self._budget.per = at_most, per
        self._groups.rules = groups or {}

    def review(self) -> None:
        """Something outside the services has changed (a silence, a window, a rota): look at all that is open."""
        now = self._clock.now()
        for watched in self.table.values():
            if watched.row.state.incident is not None:
                self._put(watched, Ticked(at=now))

    async def quiesce(self) -> None:
        """Wait until every input that is queued has been decided on and committed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # ------------------------------------------------------------------------------------------ one service

    def _put(self, watched: Watched, item: Input | Sighting) -> None:
        watched.inbox = (*watched.inbox, item)
        if watched.task is None:
            watched.task = asyncio.get_running_loop().create_task(self._drain(watched))
            self._tasks.add(watched.task)
            watched.task.add_done_callback(self._tasks.discard)

    async def _drain(self, watched: Watched) -> None:
        try:
            while watched.inbox:
                item, watched.inbox = watched.inbox[0], watched.inbox[1:]
                try:
                    await self._handle(watched, item)
                except Exception:
                    log.exception("decision_failed", service=watched.row.name, input=type(item).__name__)
                    self._wake_later(watched)
        finally:
            watched.task = None

    async def _handle(self, watched: Watched, item: Input | Sighting) -> None:
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
        if not await self._commit(watched, decision):
            decision = self._decide(watched, event, blind)  # somebody else was first: decide on what he left
            if not await self._commit(watched, decision):
                log.error("decision_dropped", service=watched.row.name, why="the stored state changed twice")
                self._wake_later(watched)
                return
        if isinstance(event, RestartFinished) and event.outcome in UNDONE:
            self._budget.give_back(watched.row.name, {*before.restarts} - {*watched.row.state.restarts})
        self._follow(watched, before, decision)
        if (answer := self._answers.pop(id(event), None)) is not None:
            answer.set_result(decision)
        if isinstance(item, Sighting):
            self._seen(watched, item.probe)

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
        now = event.at
        parents = {name: self._parent(name) for name in watched.upstream if name in self.table}
        parents.update(self.also_upstream(watched))
        incident = watched.row.state.incident
        context = Context(
            parents=parents,
            blind=blind,
            restarts_left=self._budget.left(now),
            fleet_left=self._budget.left_in_fleet(now),
            unseen=frozenset(name for name in incident.failing if _unseen(watched, name)) if incident else frozenset(),
            group=self._groups.view(watched, now),
            host_trouble=self.host_trouble(),
            agent=self._agent,
            trace_link=self._trace_link,
            **self._people(watched, event),
        )
        return decide(watched.row.state, event, watched.policy, context)

    def _people(self, watched: Watched, event: Input) -> dict[str, Any]:
        """Whom a decision could ask, and whether it may: only looked up where there may be something to ask about."""
        missed = isinstance(event, Observed) and event.result.verdict is Verdict.FAIL
        if watched.row.state.incident is None and not missed and not isinstance(event, Ticked):
            return {}
        escalation = watched.policy.escalation
        return {
            "reach": self.reach(escalation, event.at) if escalation else {},
            "contacts": self.contacts,
            "quiet": self.quiet(watched.row, watched.policy, event.at),
        }

    def _parent(self, name: str) -> Parent:
        parent = self.table[name]
        state = parent.row.state
        return Parent(health=state.health, since=state.since, checking=bool(parent.being_looked_at))

    async def _commit(self, watched: Watched, decision: Decision) -> bool:
        """Make it durable where there is anything to keep. False: the stored state is another one (now loaded)."""
        state = watched.row.state
        if decision.state is state and not decision.events and not decision.commands:
            return True
        ordered = [command.at for command in decision.commands if isinstance(command, Restart)]
        self._budget.spend(watched.row.name, ordered)
        if ordered:
            self._groups.take(watched)
        if decision.events or decision.commands or decision.cancelled or watched.version:
            try:
                watched.version = await self._store.commit(watched.row.name, watched.version, decision)
            except VersionConflict:
                self._budget.give_back(watched.row.name, ordered)
                self._groups.settle(watched)
                stored = (await self._store.load()).get(watched.row.name)
                watched.version = stored.version if stored else 0
                watched.row.state = stored.state if stored else ServiceState(service=watched.row.name)
                return False
            except StoreUnavailable as error:
                log.error("store_unavailable", what="commit", service=watched.row.name, error=str(error))
        watched.row.state = decision.state
        self._groups.settle(watched)
        return True

    def _follow(self, watched: Watched, before: ServiceState, decision: Decision) -> None:
        """Tell the world what was decided."""
        state, name = watched.row.state, watched.row.name
        if before.health is not state.health or (before.incident is None) is not (state.incident is None):
            self.turned(watched)
        for probe in watched.probes.values():
            known = state.checks.get(probe.name, CheckState())
            probe.settled = steady(known) and probe.name not in watched.being_looked_at
        if state.wake_at is None:
            self._waking.pop(name, None)
        else:
            self._waking[name] = state.wake_at
        if self.outlet is not None:
            self.outlet.cancel(decision.cancelled)
            self.outlet.offer(decision.commands)
        for confirm in decision.confirm:
            self._again_after(watched, confirm.check, confirm.after)
        self._bus.publish(decision.events)
        if before.health is not state.health:
            self._tell_dependants(watched)
            if state.health is Health.SUSPECT:
                self._look_at_parents(watched)

    def _wake_later(self, watched: Watched) -> None:
        """An input was lost: what its service waits for is not."""
        wake_at = watched.row.state.wake_at
        if wake_at is not None:
            self._waking[watched.row.name] = max(wake_at, self._clock.now() + AFTER_TROUBLE)

    def _again_after(self, watched: Watched, check: str, after: timedelta) -> None:
        probe = watched.probes.get(check)
        if probe is not None:
            asyncio.get_running_loop().call_later(after.total_seconds(), self.run_again, probe)

    # ------------------------------------------------------------------------------------------ up and down stream

    def _tell_dependants(self, watched: Watched) -> None:
        now = self._clock.now()
        for name in watched.downstream:
            child = self.table.get(name)
            incident = child.row.state.incident if child else None
            if child is not None and incident is not None and incident.stage is Stage.HELD:
                self._put(child, Ticked(at=now))

    def _look_at_parents(self, watched: Watched) -> None:
        """A dependant missed a beat: look at everything upstream now, so that its own next miss is judged fairly."""
        for name in watched.upstream:
            parent = self.table.get(name)
            if parent is None or parent.being_looked_at or parent.row.state.health is Health.DOWN:
                continue
            probes = [probe for probe in parent.probes.values() if not probe.type.pushed]
            if not probes:
                continue
            longest = max(probe.timeout for probe in probes)
            parent.being_looked_at = frozenset(probe.name for probe in probes)
            for probe in probes:
                probe.settled = False  # so that its next run is heard of even when it passes
                self.run_again(probe)
            parent.look_ends = asyncio.get_running_loop().call_later(longest + 0.5, self._looked_at, parent)

    def _seen(self, watched: Watched, probe: Probe) -> None:
        """A run was decided on: a service that is being looked at may be done with it."""
        if probe.name in watched.being_looked_at:
            watched.being_looked_at -= {probe.name}
            probe.settled = steady(watched.row.state.checks.get(probe.name, CheckState()))
            if not watched.being_looked_at:
                self._looked_at(watched)

    def _looked_at(self, parent: Watched) -> None:
        if parent.look_ends is not None:
            parent.look_ends.cancel()
        parent.being_looked_at, parent.look_ends = frozenset(), None
        self._tell_dependants(parent)


def _unseen(watched: Watched, check: str) -> bool:
    """Whether a check has yet to run for the first time since the agent started. One that runs by the calendar may
    take days for it: its last word stands."""
    probe = watched.probes.get(check)
    return probe is not None and probe.cron is None and not probe.seen


__all__ = ["Engine", "HostBudget", "related"]
