"""The restarts that all agents share which write to one database: a limit on how much a fleet may stir up.

An agent counts its own at once, and learns of the others' from the database every few seconds. Where two are quicker
than that, the database's own order of what was ordered decides, before anything is begun. Agents with databases of
their own know nothing of each other: for them it is a second limit on one host.
"""

from datetime import datetime, timedelta

import structlog

from agent.core.budget import in_words
from agent.core.model import Restart
from agent.ports import Store, StoreUnavailable
from agent.runtime.host_budget import UNLIMITED, HostBudget

log = structlog.get_logger()

OWN = timedelta(seconds=30)  # for so long what was ordered here counts, though the database may not have it yet


class FleetBudget(HostBudget):
    """A budget that is filled from the database too. One of `UNLIMITED` asks the database nothing."""

    @property
    def limited(self) -> bool:
        return self.at_most < UNLIMITED

    async def look(self, store: Store, now: datetime) -> None:
        """Learn what all agents have ordered. What the database can't say now leaves things as they were."""
        if not self.limited:
            return
        before = set(self._spent)
        try:
            rows = await store.ordered(now - self.per)
        except StoreUnavailable as error:
            log.debug("store_unavailable", what="fleet budget", error=str(error))
            return
        fresh = {spent for spent in self._spent if spent not in before or now - spent[1] < OWN}
        self._spent = {(row.service, row.at) for row in rows} | fresh

    async def refusal(self, store: Store, order: Restart, now: datetime) -> str:
        """Why an order that was already stored may not be begun: so many were stored before it that the budget was used
        up by them. Empty when it may be. Raises StoreUnavailable."""
        if not self.limited:
            return ""
        rows = await store.ordered(now - self.per)
        keys = [row.key for row in rows]
        before = keys.index(order.key) if order.key in keys else len(keys)
        if before < self.at_most:
            return ""
        return f"the restart budget of the fleet is used up: {before} of {self.at_most} in {in_words(self.per)}"
