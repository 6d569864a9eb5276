"""The store in memory: for tests, and for an agent that shall keep nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime

from agent.core.commands import Restart
from agent.core.events import Decision, Event
from agent.ports import ActionOutcome, BeatState, Outgoing, Receipt, Run, Stored
from agent.stores.ledger import Ledger


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """`Store` in memory: the same promises, but for surviving the process. Keeps at most `keep` timeline rows, runs and
    settled commands each."""

    def __init__(self, *, keep: int = 10_000, now: Callable[[], datetime] = _now) -> None:
        self._ledger = Ledger(keep=keep)
        self._now = now

    async def load(self) -> Mapping[str, Stored]:
        return self._ledger.load()

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        return self._ledger.commit(service, seen_version, decision, self._now())

    async def forget(self, service: str) -> None:
        self._ledger.forget(service)

    async def pending(self) -> Sequence[Outgoing]:
        return self._ledger.pending()

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        return self._ledger.claim(keys, at)

    async def reclaim(self, key: str, at: datetime) -> bool:
        return self._ledger.reclaim(key, at)

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        self._ledger.settle(key, at, receipt, outcome)

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        self._ledger.postpone(key, due_at, error)

    async def bury(self, key: str, at: datetime, error: str) -> None:
        self._ledger.bury(key, at, error)

    async def retract(self, key: str, at: datetime) -> None:
        self._ledger.retract(key, at)

    async def interrupted(self) -> Sequence[Restart]:
        return self._ledger.interrupted()

    async def ordered(self, since: datetime) -> Sequence[Restart]:
        return self._ledger.ordered(since)

    async def outgoing(self, keys: Sequence[str]) -> Mapping[str, Outgoing]:
        return self._ledger.outgoing(keys)

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        return self._ledger.opening(incident, channel)

    async def dead_letters(self) -> Sequence[Outgoing]:
        return self._ledger.dead_letters()

    async def replay(self, keys: Sequence[str], at: datetime) -> int:
        return self._ledger.replay(keys, at)

    async def history(self, service: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Event]:
        return self._ledger.history(service, since, limit)

    async def save_beats(self, beats: Mapping[tuple[str, str], BeatState]) -> None:
        self._ledger.save_beats(deepcopy(dict(beats)))

    async def load_beats(self) -> Mapping[tuple[str, str], BeatState]:
        return deepcopy(self._ledger.beats)

    async def save_runs(self, runs: Iterable[Run]) -> None:
        self._ledger.save_runs(runs)

    async def runs(self, service: str, check: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Run]:
        return self._ledger.runs(service, check, since, limit)

    async def get_note(self, name: str) -> str | None:
        return self._ledger.notes.get(name)

    async def set_note(self, name: str, text: str) -> None:
        self._ledger.set_note(name, text)

    async def purge(self, before: datetime) -> int:
        return self._ledger.purge(before)

    async def close(self) -> None:
        return None
