"""What the resilient store keeps in memory of its database, and what it owes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.core.commands import Restart
from agent.ports import BeatState, Outgoing, Stored
from agent.stores.ledger import Changes, Ledger
from agent.stores.merge import merge_beats, merge_states
from agent.stores.restore import Snapshot, Writeback
from agent.stores.rows import CLAIMED, PENDING
from agent.stores.sql import encode_beats

KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What the database held when it could be read at last, after the agent had begun without it: to be taken in as
    at a start. `states` are services to be known anew, `pending` commands to be sent, `interrupted` restarts that the
    agent before died in, `beats` heartbeats with both lives in them."""

    states: Mapping[str, Stored] = field(default_factory=dict)
    pending: tuple[Outgoing, ...] = ()
    interrupted: tuple[Restart, ...] = ()
    beats: Mapping[tuple[str, str], BeatState] = field(default_factory=dict)


class Mirror(Ledger):
    """A ledger that follows a database: every state (by reference: the engine holds the same objects), the commands
    that are not settled or belong to an open incident, beats and notes. While `recording`, it gathers what the
    database must be told."""

    def __init__(self) -> None:
        super().__init__(keep=KEPT)
        self.loaded = False  # the database was read once

    def adopt(self, found: Snapshot) -> None:
        """The database is the truth: be like it."""
        self.states = dict(found.states)
        for key in [key for key, item in self.commands.items() if item.status in (PENDING, CLAIMED)]:
            self.drop(key)
        for item, at in found.commands:
            self.put(item, at)
        self.beats.update(found.beats)
        self.notes.update(found.notes)
        self.loaded = True

    def merge(self, found: Snapshot) -> Late:
        """The database could be read at last: believe both, and say what is new to whoever began without it."""
        states = {}
        for name, disk in found.states.items():
            ours = self.states.get(name)
            merged = merge_states(disk.state, ours.state) if ours else disk.state
            version = max(disk.version, ours.version if ours else 0) + 1
            self.states[name] = states[name] = Stored(version=version, state=merged)
            self.changes.services.add(name)
        fresh = [(item, at) for item, at in found.commands if item.command.key not in self.commands]
        for item, at in fresh:
            self.put(item, at)
        beats = {
            key: merge_beats(disk, self.beats[key]) if key in self.beats else disk for key, disk in found.beats.items()
        }
        self.beats.update(beats)
        self.changes.beats.update(beats)
        self.notes = {**found.notes, **self.notes}
        self.loaded = True
        begun = [item for item, _ in fresh if item.status == CLAIMED and isinstance(item.command, Restart)]
        return Late(
            states=states,
            pending=tuple(item for item, _ in fresh if item.status in (PENDING, CLAIMED) and item not in begun),
            interrupted=tuple(item.command for item in begun if isinstance(item.command, Restart)),
            beats=beats,
        )

    def lose(self, keys: Iterable[str]) -> None:
        """Somebody else has cancelled, claimed or settled them."""
        for key in keys:
            item = self.commands.get(key)
            if item is not None and item.status == PENDING:
                self.drop(key)

    def begun(self, keys: frozenset[str], at: datetime) -> None:
        """Restarts that were begun whatever the database says."""
        self.claim([key for key in keys if isinstance(self.command(key), Restart)], at)

    def take_changes(self) -> Changes:
        changes, self.changes = self.changes, Changes()
        return changes

    def give_back(self, changes: Changes) -> None:
        """They could not be written: they are owed again, before what came later."""
        changes |= self.changes
        self.changes = changes

    def writeback(self, changes: Changes, *, everything: bool) -> Writeback:
        """The changes as they stand now, or all that is known, for a database that knows nothing of it."""
        names = list(self.states) if everything else [name for name in changes.services if name in self.states]
        keys = list(self.commands) if everything else [key for key in self.commands if key in changes.commands]
        beats = self.beats if everything else {key: self.beats[key] for key in changes.beats}
        return Writeback(
            everything=everything,
            states=[(name, self.states[name]) for name in names],
            forgotten=sorted(changes.forgotten),
            commands=[(self.commands[key], self.times.get(key, datetime.now(UTC))) for key in keys],
            beats=encode_beats(beats),
            notes=dict(self.notes) if everything else {name: self.notes[name] for name in changes.notes},
            events=changes.events,
            runs=list(changes.runs.values()),
        )
