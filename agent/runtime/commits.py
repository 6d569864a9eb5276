"""A decision becomes the state of its service: durable first, and with every restart that it orders counted."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from agent.core.commands import Restart
from agent.core.events import Decision
from agent.core.policy import GroupRule
from agent.core.state import ServiceState
from agent.ports import Store, StoreUnavailable, VersionConflict
from agent.runtime.groups import Groups
from agent.runtime.host_budget import HostBudget
from agent.runtime.probe import Watched

log = structlog.get_logger()


class Commits:
    """The store's side of the live table. A restart is spent of its budgets, and its group's turn is taken, in the
    moment of the decision, before the commit: two services that fail in the same instant don't both get the last."""

    def __init__(self, store: Store, budget: HostBudget, table: Mapping[str, Watched]) -> None:
        self.budget = budget
        self.groups = Groups(table)
        self._store = store

    def use(self, at_most: int, per: timedelta, groups: Mapping[str, GroupRule]) -> None:
        """Change the restart budget of this host, and the rules of groups; what was spent stays spent."""
        self.budget.at_most, self.budget.per = at_most, per
        self.groups.rules = groups

    def begin(self, watched: Watched) -> None:
        """It comes under watch with what its state says was spent. One that config names again has no state, and is
        the same service all the same: its budget is not a new one."""
        self.groups.changed()
        row = watched.row
        if not row.state.restarts and (spent := self.budget.of(row.name)):
            row.state = replace(row.state, restarts=spent)
        self.budget.spend(row.name, row.state.restarts)

    async def forget(self, service: str) -> None:
        """It is no longer watched."""
        self.groups.changed()
        try:
            await self._store.forget(service)
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="forget", service=service, error=str(error))

    async def commit(self, watched: Watched, decision: Decision) -> bool:
        """Make it durable where there is anything to keep. False: the stored state is another one (now loaded)."""
        state, name = watched.row.state, watched.row.name
        if decision.state is state and not decision.events and not decision.commands:
            return True
        ordered = [command.at for command in decision.commands if isinstance(command, Restart)]
        self.budget.spend(name, ordered)
        if ordered:
            self.groups.take(watched)
        if decision.events or decision.commands or decision.cancelled or watched.version:
            try:
                watched.version = await self._store.commit(name, watched.version, decision)
            except VersionConflict:
                self.budget.give_back(name, ordered)
                self.groups.settle(watched)
                stored = (await self._store.load()).get(name)
                watched.version = stored.version if stored else 0
                watched.row.state = stored.state if stored else ServiceState(service=name)
                return False
            except StoreUnavailable as error:
                log.error("store_unavailable", what="commit", service=name, error=str(error))
        watched.row.state = decision.state
        self.groups.settle(watched)
        return True

    def never_came_to_be(self, watched: Watched, before: ServiceState) -> None:
        """An order of the state before was not carried out: its restart costs nothing."""
        self.budget.give_back(watched.row.name, {*before.restarts} - {*watched.row.state.restarts})
