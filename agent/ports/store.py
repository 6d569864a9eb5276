"""The store: the only truth after a kill -9."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agent.core.commands import Notice, Restart
from agent.core.events import Decision, Event
from agent.core.result import Verdict
from agent.core.state import ServiceState
from agent.ports.actions import ActionOutcome
from agent.ports.beats import BeatState
from agent.ports.channels import Receipt


class StoreUnavailable(Exception):
    """The store could not do it now (missing, locked, full, read-only). Nothing was changed; only where the text says
    that it did not answer is that not known."""


class VersionConflict(Exception):
    """Somebody else has changed the service since it was read. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A service's state and its version, which counts commits from 1; 0 is a service that was never stored."""

    version: int
    state: ServiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A command in the outbox. `status` is "pending", "claimed", "done", "dead" or "cancelled"; `tries` counts
    the attempts made; `due_at` is when the next may start; `error` is the last one's reason and message."""

    command: Restart | Notice
    status: str
    tries: int
    due_at: datetime
    error: str = ""
    receipt: Receipt | None = None
    outcome: ActionOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive runs of one check with the same verdict and reason: `count` of them, from first to last."""

    service: str
    check: str
    verdict: Verdict
    reason: str
    first_at: datetime
    last_at: datetime
    count: int


class Store(Protocol):
    """The only truth after a kill -9. Every method may raise StoreUnavailable; each write is all or nothing."""

    async def load(self) -> Mapping[str, Stored]:
        """Every stored service by name."""
        ...

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        """ONE transaction: the new state, new commands (pending, due at once), cancelled ones (only where still
        pending), timeline rows. Returns the new version. Raises VersionConflict if the stored version is not
        `seen_version`. A command whose key is already there is not added again, whatever became of it."""
        ...

    async def forget(self, service: str) -> None:
        """Drop the state of a service that config no longer names. Outbox and timeline stay."""
        ...

    async def pending(self) -> Sequence[Outgoing]:
        """Every command that is pending, oldest first, and every notice that an agent claimed and did not settle
        (it may have been sent: it goes again, under the same key)."""
        ...

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        """Mark pending commands as claimed and started, in one statement. Returns those that are now ours; the
        others were cancelled, settled or claimed by somebody else."""
        ...

    async def reclaim(self, key: str, at: datetime) -> bool:
        """Boot only: take over a notice that a dead agent had claimed. False for a restart, always."""
        ...

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        """It is done: a delivered notice with its receipt, or a restart with its outcome. Settled is settled. Ends the
        attempt that a claim began, and counts it; so does `bury`."""
        ...

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        """It failed and is tried again: back to pending, one more try counted. A claimed restart stays claimed."""
        ...

    async def bury(self, key: str, at: datetime, error: str) -> None:
        """It is a dead letter, for a person to replay."""
        ...

    async def retract(self, key: str, at: datetime) -> None:
        """Cancel a notice that is pending or claimed by us: it was overtaken while it failed. Settled ones stay."""
        ...

    async def interrupted(self) -> Sequence[Restart]:
        """Restarts that were claimed and never settled: the agent died in them. They are never run again."""
        ...

    async def ordered(self, since: datetime) -> Sequence[Restart]:
        """The restarts ordered since then, by whichever agent writes to this store, in the order in which they were
        stored; without those that came to nothing (cancelled, expired, refused, put off)."""
        ...

    async def outgoing(self, keys: Sequence[str]) -> Mapping[str, Outgoing]:
        """What became of these commands; unknown keys are left out."""
        ...

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        """The receipt of that incident's delivered opening notice on that channel."""
        ...

    async def dead_letters(self) -> Sequence[Outgoing]: ...

    async def replay(self, keys: Sequence[str], at: datetime) -> int:
        """Make dead notices pending again with their tries at zero. Returns how many there were. Never a restart."""
        ...

    async def history(self, service: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Event]:
        """The newest `limit` timeline rows since then, oldest first; of every service when None."""
        ...

    async def save_beats(self, beats: Mapping[tuple[str, str], BeatState]) -> None: ...

    async def load_beats(self) -> Mapping[tuple[str, str], BeatState]: ...

    async def save_runs(self, runs: Iterable[Run]) -> None:
        """A run of the same check that began at the same time is the same one, grown longer."""
        ...

    async def runs(self, service: str, check: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Run]: ...

    async def get_note(self, name: str) -> str | None:
        """A small named text that the agent keeps for itself (when it was last alive)."""
        ...

    async def set_note(self, name: str, text: str) -> None: ...

    async def purge(self, before: datetime) -> int:
        """Delete settled commands, timeline rows and runs older than that, a bounded number at a time, never one that
        belongs to an open incident. Returns how many; call again until it says 0."""
        ...

    async def close(self) -> None: ...
