"""What the SQL store does inside a transaction with its records: timeline, runs, beats, notes, and their purge."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, select, tuple_

from agent.core.events import Event
from agent.core.result import Verdict
from agent.ports import BeatState, Run
from agent.stores.codec import Unreadable, decode, from_micros, micros
from agent.stores.rows import log
from agent.stores.schema import beats, notes, outbox, runs, services, timeline
from agent.stores.sql_commands import insert_into

PURGED_AT_ONCE = 500
OPEN_INCIDENTS = select(services.c.incident).where(services.c.incident != "")
TROUBLED = select(services.c.name).where(services.c.incident != "")


def history(conn: Connection, service: str | None, since: datetime, limit: int) -> list[Event]:
    newest = select(timeline.c.body).where(timeline.c.at >= micros(since))
    if service is not None:
        newest = newest.where(timeline.c.service == service)
    rows = conn.execute(newest.order_by(timeline.c.at.desc(), timeline.c.seq.desc()).limit(limit)).scalars().all()
    events = []
    for body in reversed(rows):
        try:
            events.append(decode(Event, body))
        except Unreadable as error:
            log.warning("stored_event_unreadable", error=str(error))
    return events


def save_beats(conn: Connection, encoded: Sequence[tuple[str, str, str]]) -> None:
    new = insert_into(conn.dialect.name, beats)
    keep = new.on_conflict_do_update(index_elements=["service", "check"], set_={"body": new.excluded.body})
    conn.execute(keep, [{"service": service, "check": check, "body": body} for service, check, body in encoded])


def load_beats(conn: Connection) -> dict[tuple[str, str], BeatState]:
    found = {}
    for row in conn.execute(select(beats)):
        try:
            found[row.service, row.check] = decode(BeatState, row.body)
        except Unreadable as error:
            log.error("stored_beat_unreadable", service=row.service, check=row.check, error=str(error))
    return found


def save_runs(conn: Connection, some: Sequence[Run]) -> None:
    new = insert_into(conn.dialect.name, runs)
    changes = {"last_at": new.excluded.last_at, "count": new.excluded.count}
    longer = new.on_conflict_do_update(
        index_elements=["service", "check", "first_at"], set_=changes, where=runs.c.count <= new.excluded.count
    )
    rows = [
        {
            "service": run.service,
            "check": run.check,
            "first_at": micros(run.first_at),
            "last_at": micros(run.last_at),
            "verdict": run.verdict.value,
            "reason": run.reason,
            "count": run.count,
        }
        for run in some
    ]
    conn.execute(longer, rows)


def find_runs(conn: Connection, service: str, check: str | None, since: datetime, limit: int) -> list[Run]:
    newest = select(runs, runs.c.count.label("times")).where(runs.c.service == service, runs.c.last_at >= micros(since))
    if check is not None:
        newest = newest.where(runs.c.check == check)
    rows = conn.execute(newest.order_by(runs.c.first_at.desc(), runs.c.check.desc()).limit(limit)).all()
    return [
        Run(
            service=row.service,
            check=row.check,
            verdict=Verdict(row.verdict),
            reason=row.reason,
            first_at=from_micros(row.first_at),
            last_at=from_micros(row.last_at),
            count=row.times,
        )
        for row in reversed(rows)
    ]


def get_note(conn: Connection, name: str) -> str | None:
    return conn.execute(select(notes.c.text).where(notes.c.name == name)).scalar()


def set_notes(conn: Connection, texts: Mapping[str, str]) -> None:
    new = insert_into(conn.dialect.name, notes)
    keep = new.on_conflict_do_update(index_elements=["name"], set_={"text": new.excluded.text})
    conn.execute(keep, [{"name": name, "text": text} for name, text in texts.items()])


def purge(conn: Connection, before: datetime) -> int:
    """One chunk: at most 500 rows of each table."""
    limit = micros(before)
    settled = and_(outbox.c.settled_at < limit, outbox.c.incident.not_in(OPEN_INCIDENTS))
    told = and_(timeline.c.at < limit, timeline.c.incident.not_in(OPEN_INCIDENTS))
    ended = and_(runs.c.last_at < limit, runs.c.service.not_in(TROUBLED))
    return _purge_by(conn, outbox.c.seq, settled) + _purge_by(conn, timeline.c.seq, told) + _purge_runs(conn, ended)


def _purge_by(conn: Connection, seq: ColumnElement[int], old: ColumnElement[bool]) -> int:
    table = seq.table
    return conn.execute(delete(table).where(seq.in_(select(seq).where(old).limit(PURGED_AT_ONCE)))).rowcount


def _purge_runs(conn: Connection, old: ColumnElement[bool]) -> int:
    key = (runs.c.service, runs.c.check, runs.c.first_at)
    chunk = select(*key).where(old).limit(PURGED_AT_ONCE)
    return conn.execute(delete(runs).where(tuple_(*key).in_(chunk))).rowcount
