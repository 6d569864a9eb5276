"""The store that never says no: a database, and memory for as long as the database is away.

While all is well every write goes to the database first and is then repeated in a mirror in memory. When the database
cannot be used, the mirror alone is written, and a timer's `heal` writes it back. Nothing reaches the database in
between: it would meet a state that memory has left behind.

What is promised while the database is away, and what cannot be:
- Decisions, claims and settlements go on, and all of them are in the database after `heal`, under the same keys and
  versions. A write whose end was not seen is written again and is the same row.
- A restart that is begun from memory is noted in a journal beside the file first, so that a kill -9 does not make the
  next agent run it again, also on a full disk. Where a disk takes no writes at all, a kill -9 in that time can.
- What was decided from memory alone dies with the process: the next agent sees the service down anew.

A file that was deleted, replaced or damaged while the agent ran is followed by a fresh one with all that memory holds.
An agent that begins while its database is locked begins as if it were new; the database's own states, commands and
beats come back from `heal` as `Late`, merged (see merge.py) with what memory has made of the world since.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Protocol, TypeVar

import structlog

from agent.core.commands import Restart
from agent.core.events import Decision, Event
from agent.ports import ActionOutcome, BeatState, Outgoing, Receipt, Run, Store, Stored, StoreUnavailable
from agent.stores.codec import clean
from agent.stores.journal import Journal
from agent.stores.mirror import Late, Mirror
from agent.stores.restore import Snapshot, Writeback

T = TypeVar("T")
log = structlog.get_logger()

OPEN_LAPS = 3


class Primary(Store, Protocol):
    """A store that can be read and written back as a whole. After it raised StoreUnavailable it refuses everything
    until `reopen`."""

    async def snapshot(self) -> Snapshot: ...

    async def reopen(self) -> bool: ...

    async def write_back(self, what: Writeback) -> None: ...

    def set_aside(self) -> str: ...


def _now() -> datetime:
    return datetime.now(UTC)


class ResilientStore:
    """`Store` that raises StoreUnavailable never. `on_trouble` is told what is wrong with the database, and "" when it
    is well again. The owner calls `load` first, and `heal` about once a second."""

    def __init__(
        self,
        primary: Primary,
        *,
        on_trouble: Callable[[str], None],
        journal: Journal | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._primary = primary
        self._on_trouble = on_trouble
        self._journal = journal
        self._now = now
        self._mirror = Mirror()
        self._said = ""
        self._away = False
        self._another = False  # the database that is there now has not been told what the mirror holds
        self._healing = False
        self._gate: asyncio.Event | None = None

    @property
    def trouble(self) -> str:
        """What is wrong with the database, empty when nothing is."""
        return self._said

    # -------------------------------------------------------------------------------------------- away and back

    async def heal(self) -> Late | None:
        """Try to have the database back, and write to it what memory knows. Returns what the database held when it
        can be read for the first time, otherwise None. Costs nothing while all is well."""
        if self._healing:
            return None
        if not self._away:
            self._say(self._primary.set_aside())
            return None
        self._healing = True
        late = None
        try:
            self._another = await self._primary.reopen() or self._another
            if not self._mirror.loaded:
                late = self._mirror.merge(await self._primary.snapshot())
                self._note_begun()
            await self._catch_up()
        except StoreUnavailable as error:
            self._say(str(error))
        else:
            if self._journal:
                self._journal.clear()
                await self._journal.prepare()
            log.info("store_healed", services=len(self._mirror.states))
            self._say(self._primary.set_aside())
        finally:
            self._healing = False
        return late

    async def _catch_up(self) -> None:
        """Write what memory knows until nothing was decided while it was written. Whoever goes on writing too fast for
        that has to wait, in the end, for one transaction."""
        try:
            for lap in count(1):
                if lap == OPEN_LAPS:
                    self._gate = asyncio.Event()
                changes = self._mirror.take_changes()
                try:
                    await self._primary.write_back(self._mirror.writeback(changes, everything=self._another))
                except BaseException:
                    self._mirror.give_back(changes)
                    raise
                self._another = False
                if not self._mirror.changes:
                    self._away = self._mirror.recording = False
                    return
        finally:
            gate, self._gate = self._gate, None
            if gate is not None:
                gate.set()

    async def _enter(self) -> bool:
        """Whether to write to the database; waits while the last of the catching up is done."""
        if self._gate is not None:
            await self._gate.wait()
        return not self._away

    def _leave(self, error: StoreUnavailable) -> None:
        """Go on from memory."""
        self._away = self._mirror.recording = True
        self._say(str(error))

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            if text:
                log.error("store_trouble", reason=text)
            self._on_trouble(text)

    def _note_begun(self) -> None:
        if self._journal:
            self._mirror.begun(self._journal.read(), self._now())

    async def _ask(self, work: Callable[[], Awaitable[T]], otherwise: Callable[[], T]) -> T:
        """Read from the database, or from memory while it is away."""
        if not self._away:
            try:
                return await work()
            except StoreUnavailable as error:
                self._leave(error)
        return otherwise()

    async def _tell(self, work: Callable[[], Awaitable[T]], repeat: Callable[[], T]) -> T:
        """Write to the database, and repeat it in memory; memory alone while the database is away."""
        if await self._enter():
            try:
                result = await work()
            except StoreUnavailable as error:
                self._leave(error)
            else:
                repeat()
                return result
        return repeat()

    # -------------------------------------------------------------------------------------------- the contract

    async def load(self) -> Mapping[str, Stored]:
        """Also reads everything else that lives, so that the agent can go on without the database from here on."""
        if not self._away:
            try:
                found = await self._primary.snapshot()
            except StoreUnavailable as error:
                self._leave(error)
            else:
                self._mirror.adopt(found)
                self._say(self._primary.set_aside())
                await self._settle_journal()
                if self._journal:
                    await self._journal.prepare()
        return self._mirror.load()

    async def _settle_journal(self) -> None:
        """Restarts that the agent before began without its database were begun, whatever the database says."""
        begun = self._journal.read() if self._journal else frozenset()
        if begun:
            known = [key for key in begun if isinstance(self._mirror.command(key), Restart)]
            await self.claim(known, self._now())
            if self._journal and not self._away:
                self._journal.clear()

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        if await self._enter():
            try:
                version = await self._primary.commit(service, seen_version, decision)
            except StoreUnavailable as error:
                self._leave(error)
            else:
                return self._mirror.apply(service, version, decision, self._now())
        return self._mirror.commit(service, seen_version, decision, self._now())

    async def forget(self, service: str) -> None:
        await self._tell(lambda: self._primary.forget(service), lambda: self._mirror.forget(service))

    async def pending(self) -> Sequence[Outgoing]:
        found = await self._ask(self._primary.pending, self._mirror.pending)
        for item in found:
            if self._mirror.command(item.command.key) is None:  # somebody else put it there: a replay by hand
                self._mirror.put(item, item.due_at)
        return found

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        if await self._enter():
            try:
                ours = await self._primary.claim(keys, at)
            except StoreUnavailable as error:
                self._leave(error)
            else:
                self._mirror.claim(ours, at)
                self._mirror.lose([key for key in keys if key not in ours])
                return ours
        ours = self._mirror.claim(keys, at)
        restarts = [key for key in ours if isinstance(self._mirror.command(key), Restart)]
        if restarts and self._journal:
            await self._journal.add(restarts)
        return ours

    async def reclaim(self, key: str, at: datetime) -> bool:
        return await self._tell(lambda: self._primary.reclaim(key, at), lambda: self._mirror.reclaim(key, at))

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        await self._tell(
            lambda: self._primary.settle(key, at, receipt=receipt, outcome=outcome),
            lambda: self._mirror.settle(key, at, receipt, outcome),
        )

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        await self._tell(
            lambda: self._primary.postpone(key, due_at, error), lambda: self._mirror.postpone(key, due_at, clean(error))
        )

    async def bury(self, key: str, at: datetime, error: str) -> None:
        await self._tell(lambda: self._primary.bury(key, at, error), lambda: self._mirror.bury(key, at, clean(error)))

    async def retract(self, key: str, at: datetime) -> None:
        await self._tell(lambda: self._primary.retract(key, at), lambda: self._mirror.retract(key, at))

    async def interrupted(self) -> Sequence[Restart]:
        return await self._ask(self._primary.interrupted, self._mirror.interrupted)

    async def ordered(self, since: datetime) -> Sequence[Restart]:
        return await self._ask(lambda: self._primary.ordered(since), lambda: self._mirror.ordered(since))

    async def outgoing(self, keys: Sequence[str]) -> Mapping[str, Outgoing]:
        return await self._ask(lambda: self._primary.outgoing(keys), lambda: self._mirror.outgoing(keys))

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        return await self._ask(
            lambda: self._primary.opening(incident, channel), lambda: self._mirror.opening(incident, channel)
        )

    async def dead_letters(self) -> Sequence[Outgoing]:
        return await self._ask(self._primary.dead_letters, self._mirror.dead_letters)

    async def replay(self, keys: Sequence[str], at: datetime) -> int:
        for key, item in (await self.outgoing(keys)).items():
            if self._mirror.command(key) is None:
                self._mirror.put(item, item.due_at)
        return await self._tell(lambda: self._primary.replay(keys, at), lambda: self._mirror.replay(keys, at))

    async def history(self, service: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Event]:
        return await self._ask(
            lambda: self._primary.history(service, since=since, limit=limit),
            lambda: self._mirror.history(service, since, limit),
        )

    async def save_beats(self, beats: Mapping[tuple[str, str], BeatState]) -> None:
        await self._tell(lambda: self._primary.save_beats(beats), lambda: self._mirror.save_beats(beats))

    async def load_beats(self) -> Mapping[tuple[str, str], BeatState]:
        return await self._ask(self._primary.load_beats, lambda: dict(self._mirror.beats))

    async def save_runs(self, runs: Iterable[Run]) -> None:
        some = list(runs)
        await self._tell(lambda: self._primary.save_runs(some), lambda: self._mirror.save_runs(some))

    async def runs(self, service: str, check: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Run]:
        return await self._ask(
            lambda: self._primary.runs(service, check, since=since, limit=limit),
            lambda: self._mirror.runs(service, check, since, limit),
        )

    async def get_note(self, name: str) -> str | None:
        return await self._ask(lambda: self._primary.get_note(name), lambda: self._mirror.notes.get(name))

    async def set_note(self, name: str, text: str) -> None:
        kept = clean(text)
        await self._tell(lambda: self._primary.set_note(name, kept), lambda: self._mirror.set_note(name, kept))

    async def purge(self, before: datetime) -> int:
        return await self._ask(lambda: self._primary.purge(before), lambda: 0)

    async def close(self) -> None:
        """Tries a last time to have the database back."""
        if self._away:
            await self.heal()
        await self._primary.close()
