"""One agent to a database: what an agent finds unfinished in it, it takes for its own of before."""

from contextlib import suppress
from datetime import datetime, timedelta

from agent.ports import Store, StoreUnavailable
from agent.runtime.clock import Clock

OWNER = "owner"  # the store's note of which agent runs on it
STILL_ALIVE = timedelta(seconds=30)  # it notes that it lives every ten


class StoreInUse(Exception):
    """Another agent runs on this database: `owner`, as people know it."""

    def __init__(self, owner: str) -> None:
        super().__init__(
            f"agent.store: the agent {owner} runs on this database: each needs one of its own (what a fleet may "
            "restart together is agent.fleet_restarts, with agent.fleet_store)"
        )


class Ownership:
    """Whether the agent of that `name` runs on this store."""

    def __init__(self, store: Store, clock: Clock, name: str) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._ours = False

    async def refuse(self, alive_until: datetime | None) -> None:
        """Raises StoreInUse where another one does, `alive_until` being when any last lived."""
        owner = await self._store.get_note(OWNER)
        lives = alive_until is not None and self._clock.now() - alive_until < STILL_ALIVE
        if owner and owner != self._name and lives:
            raise StoreInUse(owner)

    async def take(self) -> None:
        """From here on it does."""
        await self._store.set_note(OWNER, self._name)
        self._ours = True

    async def release(self) -> None:
        """A clean end: the next one need not wait, whoever it is."""
        if self._ours:
            with suppress(StoreUnavailable):
                await self._store.set_note(OWNER, "")
