"""Many services at once, seen in the live table: what goes down in a storm is held, and told in one incident."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from agent.core.draft import shifted
from agent.core.events import Parent, Quiet
from agent.core.policy import Policy
from agent.core.state import Health
from agent.core.storm import Phase, Storm, StormRule, resumed, step
from agent.ports import ServiceRow
from agent.runtime.clock import Clock
from agent.runtime.engine import Engine
from agent.runtime.probe import Watched
from agent.runtime.sick_services import SickServices, ordinary, since
from agent.runtime.signals import Signals
from agent.runtime.storm_pages import NAME, StormPages

log = structlog.get_logger()

CHEAP = 500  # sick services that may be counted afresh at every decision
AT_MOST_EVERY = 0.1  # seconds between two counts of more than that


class Storms:
    """Watches how many services are sick. In a storm each sees it as a sick parent, which holds restarts and pages by
    the rules that hold for any parent; when it is over, whatever is still down is looked at afresh and then dealt
    with.

    Nothing of it is stored but the incident of "storm:services": all else is in the services' own states, where an
    agent that was restarted finds it. The agent's own trouble (a service with the `agent` check) is never held.
    """

    def __init__(self, engine: Engine, clock: Clock, signals: Signals, rule: StormRule | None) -> None:
        self.rule = rule
        self._engine = engine
        self._clock = clock
        self._signals = signals
        self._storm = Storm()
        self._over_at: datetime | None = None  # since when it holds nothing any more
        self._sick = SickServices(engine.table, clock)
        self._pages = StormPages(engine, clock, signals, self._sick, lambda: self.rule)
        self._counted_at = float("-inf")
        self._news = False

    # ------------------------------------------------------------------------------------------ what the engine asks

    def turned(self, watched: Watched) -> None:
        """The health of a service, or whether it has an open incident, has changed."""
        if self._sick.turned(watched):
            self._news = True

    def parents(self, watched: Watched) -> Mapping[str, Parent]:
        """What a decision about that service sees of the storm: a parent that is down while it rages, suspect while so
        many services missed a beat that it may be one, and well again after it."""
        if self.rule is None or not ordinary(watched):
            return {}
        self._count()
        storm = self._storm
        if storm.phase is Phase.RAGING:
            return {NAME: Parent(health=Health.DOWN, since=storm.since)}
        if storm.phase is Phase.DOUBT:
            return {NAME: Parent(health=Health.SUSPECT, since=storm.since)}
        return {NAME: Parent(health=Health.UP, since=self._over_at)} if self._over_at else {}

    def quiet(self, row: ServiceRow, _policy: Policy, _at: datetime) -> Quiet | None:
        """Why a service is not paged by itself: it is part of a storm that is still being paged. One that people were
        asked about before goes on by itself."""
        incident = row.state.incident
        if self._storm.phase is not Phase.SETTLED or incident is None or incident.asked:
            return None
        member = row.name in self._sick and self._storm.takes(incident.opened_at)
        return Quiet(why=f"it is part of a storm, which is paged as {NAME}") if member else None

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._storm = shifted(self._storm, by)
        self._over_at = shifted(self._over_at, by)
        self._pages.stepped(by)

    # ------------------------------------------------------------------------------------------ its life

    def restore(self) -> None:
        """Boot, after the services and the signals were put under watch: a storm that was on goes on."""
        self._sick.restore()
        stored = self._engine.table.get(NAME)
        incident = stored.row.state.incident if stored else None
        if self.rule is not None and incident is not None:
            self._storm = resumed(incident.opened_at, self.rule)
            self._pages.go_on(self._storm)
            log.warning("storm_goes_on", incident=incident.id)
        elif incident is not None:
            self._signals.clear(NAME)
        elif self.rule is not None and len(held := self._sick.held_by(NAME)) > self.rule.limit(self._sick.size()):
            self._storm = resumed(
                self._clock.now(), self.rule, began=min(map(since, held))
            )  # killed before it was paged
        self._count(now=True)

    def use(self, rule: StormRule | None) -> None:
        """Another rule from now on; without one a storm that is on is over."""
        self.rule = rule
        if rule is None and self._storm.phase is not Phase.CLEAR:
            before, self._storm = self._storm, Storm()
            self._over_at = self._clock.now()
            if before.on:
                self._pages.close(before)

    def look(self) -> None:
        """Every second: what time alone changes, and the message."""
        self._sick.forget_gone()
        if self.rule is not None:
            self._count(now=True)
            self._pages.tell(self._storm)

    def _count(self, *, now: bool = False) -> None:
        rule = self.rule
        if rule is None or not (now or self._worth_it()) or (not self._sick and self._storm == Storm()):
            return
        self._news, self._counted_at = False, self._clock.monotonic()
        before, at = self._storm, self._clock.now()
        self._storm = step(before, self._sick.recent(before, rule, at), rule, self._sick.size(), at)
        if self._storm.phase is not before.phase:
            self._changed(before, at)

    def _worth_it(self) -> bool:
        if not self._news or self._storm.on:
            return False
        return len(self._sick) <= CHEAP or self._clock.monotonic() - self._counted_at >= AT_MOST_EVERY

    def _changed(self, before: Storm, at: datetime) -> None:
        after = self._storm.phase
        log.warning("storm", phase=after.value, was=before.phase.value, sick=len(self._sick))
        if before.on and not self._storm.on:
            self._pages.close(before)
        elif before.on:
            self._pages.tell(self._storm, force=True)
        if before.phase in (Phase.RAGING, Phase.DOUBT) and after not in (Phase.RAGING, Phase.DOUBT):
            self._over_at = at
        if after is not Phase.RAGING:
            self._engine.review()  # what was held is looked at afresh
