"""Everything that lives, read in one go; and what memory knew while the database was away, written back in one go."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update

from agent.core.commands import Restart
from agent.core.events import Event
from agent.ports import BeatState, Outgoing, Run, Stored
from agent.stores.codec import from_micros, micros
from agent.stores.rows import CANCELLED, CLAIMED, DEAD, DONE, OUTGOING, PENDING, event_rows, outgoing_row, service_row
from agent.stores.rows import to_outgoing as read_outgoing
from agent.stores.schema import notes, outbox, services, timeline
from agent.stores.sql_commands import UNSETTLED, insert_into, insert_new, load
from agent.stores.sql_records import OPEN_INCIDENTS, load_beats, save_beats, save_runs, set_notes

FINAL = (DONE, CANCELLED)
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that an agent needs to go on without its database: states, commands that are not settled or belong to an
    open incident (each with the time at which it was claimed or settled), beats and notes."""

    states: Mapping[str, Stored] = field(default_factory=dict)
    commands: Sequence[tuple[Outgoing, datetime]] = ()
    beats: Mapping[tuple[str, str], BeatState] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writeback:
    """What memory knows better than the database. `everything`: the database is not the one that was open before, and
    whatever it holds of states and unsettled commands is out of date. `beats` are encoded (service, check, text),
    `events` are (service, version, place in its commit, event)."""

    everything: bool = False
    states: Sequence[tuple[str, Stored]] = ()
    forgotten: Sequence[str] = ()
    commands: Sequence[tuple[Outgoing, datetime]] = ()
    beats: Sequence[tuple[str, str, str]] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[tuple[str, int, int, Event]] = ()
    runs: Sequence[Run] = ()


def snapshot(conn: Connection, alive: Callable[[], None]) -> Snapshot:
    """Read it. `alive` is called between chunks: a hundred thousand queued messages take their time."""
    living = or_(UNSETTLED, and_(outbox.c.incident != "", outbox.c.incident.in_(OPEN_INCIDENTS)))
    commands = []
    rows = conn.execute(OUTGOING.add_columns(outbox.c.claimed_at, outbox.c.settled_at).where(living))
    for number, row in enumerate(rows):
        if number % CHUNK == 0:
            alive()
        item = read_outgoing(row)
        if item is not None:
            commands.append((item, from_micros(row.settled_at or row.claimed_at or row.created_at)))
    alive()
    texts = {row.name: row.text for row in conn.execute(select(notes))}
    return Snapshot(states=load(conn), commands=commands, beats=load_beats(conn), notes=texts)


def write_back(conn: Connection, what: Writeback, alive: Callable[[], None]) -> None:
    """All of it, or nothing. Settled stays settled, a restart that was begun is never pending again, and a version
    never goes back: what somebody else did in the meantime stands. `alive` is called between chunks."""
    if what.everything:
        conn.execute(delete(services))
        _retire(conn, {item.command.key for item, _ in what.commands})
    for names in _chunks(what.forgotten):
        conn.execute(delete(services).where(services.c.name.in_(names)))
    for states in _chunks(what.states):
        _write_states(conn, states)
        alive()
    for commands in _chunks(what.commands):
        _write_commands(conn, commands)
        alive()
    for events in _chunks(what.events):
        _write_events(conn, events)
        alive()
    for beats in _chunks(what.beats):
        save_beats(conn, beats)
        alive()
    for some in _chunks(what.runs):
        save_runs(conn, some)
        alive()
    healed = {"store_healed": datetime.now(UTC).isoformat()}  # always one write: it proves that writing works
    set_notes(conn, dict(what.notes) | healed)


def _retire(conn: Connection, living: set[str]) -> None:
    """Commands of an older life of the file (a backup that was put in its place) are not carried out again."""
    keys = [key for key in conn.execute(select(outbox.c.key).where(UNSETTLED)).scalars() if key not in living]
    for some in _chunks(keys):
        old = update(outbox).where(outbox.c.key.in_(some))
        now = micros(datetime.now(UTC))
        conn.execute(old.values(status=CANCELLED, settled_at=now, error="the database file was replaced"))


def _write_states(conn: Connection, states: Sequence[tuple[str, Stored]]) -> None:
    new = insert_into(conn.dialect.name, services)
    columns = ("version", "incident", "state")
    newer = new.on_conflict_do_update(
        index_elements=["name"],
        set_={name: new.excluded[name] for name in columns},
        where=services.c.version <= new.excluded.version,
    )
    conn.execute(newer, [service_row(stored.version, stored.state) | {"name": name} for name, stored in states])


def _write_commands(conn: Connection, commands: Sequence[tuple[Outgoing, datetime]]) -> None:
    keys = [item.command.key for item, _ in commands]
    there = conn.execute(select(outbox.c.key, outbox.c.status).where(outbox.c.key.in_(keys)))
    known = {row.key: row.status for row in there}
    rows = [outgoing_row(item, micros(at)) for item, at in commands if _knows_better(item, known)]
    if not rows:
        return
    new = insert_into(conn.dialect.name, outbox)
    columns = ("status", "tries", "due_at", "claimed_at", "settled_at", "receipt", "outcome", "error")
    values: dict[str, Any] = {name: new.excluded[name] for name in columns}
    conn.execute(new.on_conflict_do_update(index_elements=["key"], set_=values), rows)


def _knows_better(item: Outgoing, known: Mapping[str, str]) -> bool:
    there = known.get(item.command.key)
    if there in FINAL:
        return False
    begun = there in (CLAIMED, DEAD) and isinstance(item.command, Restart)
    return not (begun and item.status == PENDING)


def _write_events(conn: Connection, events: Sequence[tuple[str, int, int, Event]]) -> None:
    rows = [event_rows(service, version, [event])[0] | {"n": n} for service, version, n, event in events]
    conn.execute(insert_new(conn.dialect.name, timeline, "service", "at", "version", "n"), rows)


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
