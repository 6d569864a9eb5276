"""The restarts that all agents of a fleet share: a limit on how much they may stir up together.

The orders of all of them stand in one database, which is nobody's own store (`agent.fleet_store`). An agent counts its
own at once, and learns of the others' every few seconds. Where two are quicker than that, the order in which the
database took them decides, before anything is begun.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from agent.core.budget import in_words
from agent.core.commands import Restart
from agent.core.events import Decision
from agent.core.state import ServiceState
from agent.ports import ActionOutcome, Store, StoreUnavailable, VersionConflict
from agent.runtime.host_budget import UNLIMITED, HostBudget

log = structlog.get_logger()

OWN = timedelta(seconds=30)  # for so long what was ordered here counts, though the database may not have it yet


@dataclass(slots=True)
class FleetBudget(HostBudget):
    """A budget that is filled from the fleet's database, too: `ledger`, in which each order of `agent` is a command of
    a service of its own. Without a ledger, or as one of `UNLIMITED`, it asks nobody anything."""

    ledger: Store | None = None
    agent: str = ""

    async def look(self, now: datetime) -> None:
        """Learn what all agents have ordered. What the database can't say now leaves things as they were."""
        ledger = self._asked()
        if ledger is None:
            return
        before = set(self._spent)
        try:
            rows = await ledger.ordered(now - self.per)
        except StoreUnavailable as error:
            log.debug("store_unavailable", what="fleet budget", error=str(error))
            return
        fresh = {spent for spent in self._spent if spent not in before or now - spent[1] < OWN}
        self._spent = {(row.service, row.at) for row in rows} | fresh

    async def refusal(self, order: Restart, now: datetime) -> str:
        """Why an order may not be begun: as many stand before it as the budget has, or nobody can tell. Empty when it
        may be; then it stands there, for all to see."""
        ledger = self._asked()
        if ledger is None:
            return ""
        key = self._key(order)
        try:
            await self._enter(ledger, key, order)
            keys = [row.key for row in await ledger.ordered(now - self.per)]
        except StoreUnavailable as error:
            return f"the restart budget of the fleet can't be asked for: {error}"
        before = keys.index(key) if key in keys else len(keys)
        if before < self.at_most:
            return ""
        return f"the restart budget of the fleet is used up: {before} of {self.at_most} in {in_words(self.per)}"

    async def settled(self, order: Restart, outcome: ActionOutcome, now: datetime) -> None:
        """What became of it: one that came to nothing costs nothing."""
        ledger = self._asked()
        if ledger is None:
            return
        try:
            await ledger.settle(self._key(order), now, outcome=outcome)
        except StoreUnavailable as error:
            log.warning("store_unavailable", what="fleet budget", key=order.key, error=str(error))

    async def purge(self, before: datetime) -> None:
        """Forget what no window reaches back to any more."""
        ledger = self._asked()
        try:
            while ledger is not None and await ledger.purge(before - self.per):
                pass
        except StoreUnavailable as error:
            log.debug("store_unavailable", what="fleet budget", error=str(error))

    async def close(self) -> None:
        if self.ledger is not None:
            await self.ledger.close()

    def _asked(self) -> Store | None:
        return self.ledger if self.at_most < UNLIMITED else None

    def _key(self, order: Restart) -> str:
        return f"{self.agent}/{order.key}"

    async def _enter(self, ledger: Store, key: str, order: Restart) -> None:
        try:
            state = ServiceState(service=key)
            await ledger.commit(key, 0, Decision(state=state, commands=(replace(order, key=key),)))
        except VersionConflict:
            return  # it stands there already
        await ledger.forget(key)
