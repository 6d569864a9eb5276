"""What is taken up from the store: when the agent starts, and when a database that was away can be read at last."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from agent.assembly import alert_rule, beat_tokens
from agent.checking import Checking
from agent.chores import ALIVE
from agent.config.model import Config
from agent.core.policy import Policy
from agent.deciding import Deciding
from agent.drills.book import Drills
from agent.ownership import Ownership
from agent.people import People
from agent.ports import ServiceRow, Stored
from agent.runtime.alerts_in import AlertsIn
from agent.runtime.clock import Clock
from agent.runtime.probe import Watched
from agent.runtime.signals import Signals
from agent.runtime.together import Together
from agent.stores import ResilientStore


class Recovery:
    """The order matters: whatever may withhold a page is there before anything is decided."""

    def __init__(
        self,
        *,
        store: ResilientStore,
        clock: Clock,
        ownership: Ownership,
        checking: Checking,
        deciding: Deciding,
        people: People,
        signals: Signals,
        alerts_in: AlertsIn,
        together: Together,
        drills: Drills,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ownership = ownership
        self._beats = checking.beats
        self._engine = deciding.engine
        self._outbox = deciding.outbox
        self._people = people
        self._signals = signals
        self._alerts_in = alerts_in
        self._together = together
        self._drills = drills

    async def remember(self, config: Config, note_alive: Callable[[], Awaitable[None]]) -> Mapping[str, Stored]:
        """Boot: what the store knows of services; heartbeats are taken in from here on. Raises StoreInUse."""
        stored = await self._store.load()
        noted = await self._store.get_note(ALIVE)
        now, alive_until = self._clock.now(), datetime.fromisoformat(noted) if noted else None
        await self._ownership.refuse(alive_until)
        await note_alive()
        await self._ownership.take()
        self._beats.restore(await self._store.load_beats(), (alive_until, now) if alive_until else None)
        self._beats.configure(beat_tokens(config), now)
        await self._people.duty.load()
        await self._alerts_in.load(alert_rule(config))
        await self._people.silences.load(readable=not self._store.trouble)
        await self._drills.load()
        return stored

    async def go_on(self, stored: Mapping[str, Stored]) -> None:
        """Boot, once what config names is under watch: what was open and under way then goes on."""
        table = self._engine.table

        async def commands() -> None:
            await self._outbox.recover({name: watched.row.state for name, watched in table.items()})

        await self._take_up(stored, commands)

    async def heal(self) -> None:
        """Write back what the database has missed; and take up what it knew, where that can be read only now."""
        late = await self._store.heal()
        if late is None:
            return
        self._take_later(late.states)
        await self._people.silences.load()
        await self._alerts_in.load(self._alerts_in.rule)
        await self._drills.load()
        await self._take_up(late.states, lambda: self._outbox.adopt(late.interrupted, late.pending))
        if late.beats:
            self._beats.restore(late.beats)

    def _take_later(self, states: Mapping[str, Stored]) -> None:
        """Services that have no history in memory go on from the database's."""
        for name, stored in states.items():
            watched = self._engine.table.get(name)
            if watched is not None and watched.version < stored.version:
                watched.row.state, watched.version = stored.state, stored.version
                self._engine.watch(watched)

    async def _take_up(self, stored: Mapping[str, Stored], commands: Callable[[], Awaitable[None]]) -> None:
        """Services that config does not name are watched until what is open is closed; those fed from outside go on."""
        self._signals.restore(stored)
        self._drills.restore(stored)
        orphans = [name for name in stored if name not in self._engine.table]
        for name in orphans:
            row = ServiceRow(name=name, state=stored[name].state)
            self._engine.watch(Watched(row=row, policy=Policy(service=name), probes={}, version=stored[name].version))
        self._together.restore()
        await commands()
        for name in orphans:
            await self._engine.unwatch(name)
        await self._drills.finish()
