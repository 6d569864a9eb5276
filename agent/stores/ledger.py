"""The contract of the store as plain operations on memory: the memory store, and the mirror of the resilient one."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agent.core.commands import Command, Notice, NoticeKind, Restart
from agent.core.events import Decision, Event
from agent.ports import ActionOutcome, BeatState, Outgoing, Receipt, Run, Stored, VersionConflict
from agent.stores.rows import CANCELLED, CLAIMED, DEAD, DONE, PENDING, counts

BeatKey = tuple[str, str]
RunKey = tuple[str, str, datetime]
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Changes:
    """What was written to a ledger and not yet to the database: names and keys of what changed, and the rows that are
    only ever added. `events` are (service, version after the commit, place in the commit, event)."""

    services: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)
    beats: set[BeatKey] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)
    events: list[tuple[str, int, int, Event]] = field(default_factory=list)
    runs: dict[RunKey, Run] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(
            self.services or self.forgotten or self.commands or self.beats or self.notes or self.events or self.runs
        )

    def __ior__(self, later: "Changes") -> "Changes":
        self.services |= later.services
        self.forgotten |= later.forgotten
        self.commands |= later.commands
        self.beats |= later.beats
        self.notes |= later.notes
        self.events += later.events
        self.runs |= later.runs
        return self


class Ledger:
    """States, commands, timeline, runs, beats and notes in memory. Every method does what the method of that name in
    `Store` promises, at once.

    Bounded: at most `keep` timeline rows, runs and settled commands each, the oldest go first, but never a
    command of an open incident. With `recording`, `changes` gathers what a database must be told later; of timeline
    rows and runs only the newest 10 * `keep`.
    """

    def __init__(self, *, keep: int = 10_000) -> None:
        self.keep = keep
        self.recording = False
        self.changes = Changes()
        self.states: dict[str, Stored] = {}
        self.commands: dict[str, Outgoing] = {}
        self.times: dict[str, datetime] = {}  # when a command was claimed or settled
        self.timeline: deque[Event] = deque(maxlen=keep)
        self.beats: dict[BeatKey, BeatState] = {}
        self.notes: dict[str, str] = {}
        self.run_log: dict[RunKey, Run] = {}
        self._settled: deque[str] = deque()

    # -------------------------------------------------------------------------------------------- states

    def load(self) -> dict[str, Stored]:
        return dict(self.states)

    def version(self, service: str) -> int:
        stored = self.states.get(service)
        return stored.version if stored else 0

    def commit(self, service: str, seen_version: int, decision: Decision, now: datetime) -> int:
        if self.version(service) != seen_version:
            raise VersionConflict(f"service {service} is not at version {seen_version} any more")
        return self.apply(service, seen_version + 1, decision, now)

    def apply(self, service: str, version: int, decision: Decision, now: datetime) -> int:
        """A commit that was already decided upon, by whoever keeps the versions."""
        self.states[service] = Stored(version=version, state=decision.state)
        for command in decision.commands:
            self._add(command)
        for key in decision.cancelled:
            self._change(key, now, (PENDING,), status=CANCELLED)
        self.timeline.extend(decision.events)
        if self.recording:
            self.changes.services.add(service)
            self.changes.events += [(service, version, n, event) for n, event in enumerate(decision.events)]
            del self.changes.events[: -10 * self.keep]
        return version

    def forget(self, service: str) -> None:
        self.states.pop(service, None)
        if self.recording:
            self.changes.forgotten.add(service)

    def _add(self, command: Command) -> None:
        if command.key not in self.commands:
            self.put(Outgoing(command=command, status=PENDING, tries=0, due_at=command.at), command.at)
            self._note(command.key)

    # -------------------------------------------------------------------------------------------- commands

    def put(self, item: Outgoing, at: datetime) -> None:
        """Take in a command as it stands elsewhere; `at` is when it was claimed or settled."""
        key = item.command.key
        self.commands[key] = item
        self.times[key] = at
        if item.status not in (PENDING, CLAIMED):
            self._settled.append(key)
            self._evict()

    def drop(self, key: str) -> None:
        self.commands.pop(key, None)
        self.times.pop(key, None)

    def pending(self) -> list[Outgoing]:
        return [
            item
            for item in self.commands.values()
            if item.status == PENDING or (item.status == CLAIMED and isinstance(item.command, Notice))
        ]

    def interrupted(self) -> list[Restart]:
        return [
            item.command
            for item in self.commands.values()
            if item.status == CLAIMED and isinstance(item.command, Restart)
        ]

    def ordered(self, since: datetime) -> list[Restart]:
        return [
            item.command
            for item in self.commands.values()
            if isinstance(item.command, Restart) and item.command.at >= since and counts(item)
        ]

    def claim(self, keys: Iterable[str], at: datetime) -> frozenset[str]:
        return frozenset(key for key in keys if self._change(key, at, (PENDING,), status=CLAIMED))

    def reclaim(self, key: str, at: datetime) -> bool:
        item = self.commands.get(key)
        return isinstance(item and item.command, Notice) and self._change(key, at, (CLAIMED,), status=CLAIMED)

    def settle(self, key: str, at: datetime, receipt: Receipt | None, outcome: ActionOutcome | None) -> None:
        tries = self._tries(key)
        self._change(key, at, (PENDING, CLAIMED), status=DONE, tries=tries, receipt=receipt, outcome=outcome)

    def postpone(self, key: str, due_at: datetime, error: str) -> None:
        item = self.commands.get(key)
        if item is None or (item.status == CLAIMED and isinstance(item.command, Restart)):
            return
        self._change(key, due_at, (PENDING, CLAIMED), status=PENDING, tries=item.tries + 1, due_at=due_at, error=error)

    def bury(self, key: str, at: datetime, error: str) -> None:
        self._change(key, at, (PENDING, CLAIMED), status=DEAD, tries=self._tries(key), error=error)

    def retract(self, key: str, at: datetime) -> None:
        if isinstance(self.command(key), Notice):
            self._change(key, at, (PENDING, CLAIMED), status=CANCELLED)

    def outgoing(self, keys: Iterable[str]) -> dict[str, Outgoing]:
        return {key: self.commands[key] for key in keys if key in self.commands}

    def opening(self, incident: str, channel: str) -> Receipt | None:
        for item in reversed(self.commands.values()):
            if item.status != DONE or item.receipt is None or not isinstance(item.command, Notice):
                continue
            found = item.command
            if (found.incident, found.channel, found.kind) == (incident, channel, NoticeKind.OPENED):
                return item.receipt
        return None

    def dead_letters(self) -> list[Outgoing]:
        return [item for item in self.commands.values() if item.status == DEAD]

    def replay(self, keys: Iterable[str], at: datetime) -> int:
        notices = [key for key in dict.fromkeys(keys) if isinstance(self.command(key), Notice)]
        return sum(self._change(key, at, (DEAD,), status=PENDING, tries=0, due_at=at) for key in notices)

    def command(self, key: str) -> Command | None:
        item = self.commands.get(key)
        return item.command if item else None

    def _tries(self, key: str) -> int:
        item = self.commands.get(key)
        return item.tries + (item.status == CLAIMED) if item else 0

    def _change(self, key: str, at: datetime, only: Sequence[str], **values: object) -> bool:
        item = self.commands.get(key)
        if item is None or item.status not in only:
            return False
        self.put(replace(item, **values), at)  # type: ignore[arg-type]
        self._note(key)
        return True

    def _note(self, key: str) -> None:
        if self.recording:
            self.changes.commands.add(key)

    def _evict(self) -> None:
        """Forget the oldest settled commands beyond the bound, but none that an open incident may still ask for."""
        for _ in range(min(2, len(self._settled) - self.keep)):
            key = self._settled.popleft()
            item = self.commands.get(key)
            if item is None or item.status in (PENDING, CLAIMED):
                continue
            stored = self.states.get(item.command.service)
            is_open = stored and stored.state.incident and stored.state.incident.id == item.command.incident
            if is_open or key in self.changes.commands:
                self._settled.append(key)
            else:
                self.drop(key)

    # -------------------------------------------------------------------------------------------- records

    def history(self, service: str | None, since: datetime, limit: int) -> list[Event]:
        rows = [row for row in self.timeline if row.at >= since and service in (None, row.service)]
        return sorted(rows, key=lambda row: row.at)[-limit:]

    def save_beats(self, beats: Mapping[BeatKey, BeatState]) -> None:
        self.beats.update(beats)
        if self.recording:
            self.changes.beats.update(beats)

    def save_runs(self, runs: Iterable[Run]) -> None:
        for run in runs:
            key = (run.service, run.check, run.first_at)
            for log in (self.run_log, self.changes.runs) if self.recording else (self.run_log,):
                known = log.get(key)
                if known is None:
                    log[key] = run
                elif known.count <= run.count:
                    log[key] = replace(known, last_at=run.last_at, count=run.count)
        for log, most in ((self.run_log, self.keep), (self.changes.runs, 10 * self.keep)):
            for key in list(log)[: max(0, len(log) - most)]:
                del log[key]

    def runs(self, service: str, check: str | None, since: datetime, limit: int) -> list[Run]:
        found = [
            run
            for run in self.run_log.values()
            if run.service == service and check in (None, run.check) and run.last_at >= since
        ]
        return sorted(found, key=lambda run: (run.first_at, run.check))[-limit:]

    def set_note(self, name: str, text: str) -> None:
        self.notes[name] = text
        if self.recording:
            self.changes.notes.add(name)

    def purge(self, before: datetime) -> int:
        incidents = {s.state.incident.id for s in self.states.values() if s.state.incident}
        troubled = {name for name, s in self.states.items() if s.state.incident}
        old_commands = [
            key
            for key, item in self.commands.items()
            if item.status in (DONE, DEAD, CANCELLED)
            and self.times[key] < before
            and item.command.incident not in incidents
        ]
        for key in old_commands:
            self.drop(key)
        kept = [row for row in self.timeline if row.at >= before or row.incident in incidents]
        old_rows = len(self.timeline) - len(kept)
        self.timeline = deque(kept, maxlen=self.keep)
        old_runs = [key for key, run in self.run_log.items() if run.last_at < before and run.service not in troubled]
        for run_key in old_runs:
            del self.run_log[run_key]
        return len(old_commands) + old_rows + len(old_runs)
