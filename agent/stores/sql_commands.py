"""What the SQL store does inside a transaction with states and commands: functions of a connection."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Insert, Table, and_, bindparam, case, delete, or_, select, update
from sqlalchemy.dialects import sqlite

from agent.core.commands import Command, NoticeKind, Restart
from agent.core.events import Decision
from agent.ports import ActionOutcome, Outgoing, Receipt, Stored, VersionConflict
from agent.stores.codec import clean, decode, encode, micros
from agent.stores.rows import (
    CANCELLED,
    CLAIMED,
    DEAD,
    DONE,
    NOTICE,
    OUTGOING,
    PENDING,
    RESTART,
    command_row,
    counts,
    event_rows,
    service_row,
    to_outgoings,
    to_stored,
)
from agent.stores.schema import outbox, services, timeline

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

WAITING = outbox.c.status == PENDING
SENT_BUT_UNSETTLED = and_(outbox.c.status == CLAIMED, outbox.c.kind == NOTICE)
UNSETTLED = outbox.c.status.in_((PENDING, CLAIMED))
CHUNK = 500  # rows between two signs of life
ONE_MORE_TRY = outbox.c.tries + case((outbox.c.status == CLAIMED, 1), else_=0)

SWAP = (
    update(services)
    .where(services.c.name == bindparam("this"), services.c.version == bindparam("seen"))
    .values(version=bindparam("version"), incident=bindparam("incident"), state=bindparam("state"))
)
LOAD = select(services.c.name, services.c.version, services.c.state)
CANCEL = update(outbox).where(WAITING)


@cache
def insert_into(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that can say what happens on a conflict, which is no part of standard SQL."""
    if dialect != "postgresql":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # some MiB that most agents never need

    return postgresql.insert(table)


@cache
def insert_new(dialect: str, table: Table, *unique: str) -> Insert:
    """An INSERT that leaves a row that is already there as it is."""
    return insert_into(dialect, table).on_conflict_do_nothing(index_elements=list(unique))


def load(conn: Connection) -> dict[str, Stored]:
    return {row.name: to_stored(row) for row in conn.execute(LOAD)}


def commit(conn: Connection, service: str, seen: int, decision: Decision, now: datetime) -> int:
    row = service_row(seen + 1, decision.state)
    dialect = conn.dialect.name
    if seen == 0:
        statement = insert_new(dialect, services, "name").execution_options(preserve_rowcount=True)
        changed = conn.execute(statement, row | {"name": service}).rowcount
    else:
        changed = conn.execute(SWAP, row | {"this": service, "seen": seen}).rowcount
    if changed != 1:
        raise VersionConflict(f"service {service} is not at version {seen} any more")
    if decision.commands:
        add_commands(conn, decision.commands)
    if decision.cancelled:
        keys = outbox.c.key.in_(decision.cancelled)
        conn.execute(CANCEL.where(keys).values(status=CANCELLED, settled_at=micros(now)))
    if decision.events:
        rows = event_rows(service, seen + 1, decision.events)
        conn.execute(insert_new(dialect, timeline, "service", "at", "version", "n"), rows)
    return seen + 1


def add_commands(conn: Connection, commands: Sequence[Command]) -> None:
    conn.execute(insert_new(conn.dialect.name, outbox, "key"), [command_row(command) for command in commands])


def forget(conn: Connection, service: str) -> None:
    conn.execute(delete(services).where(services.c.name == service))


def pending(conn: Connection, alive: Callable[[], None]) -> list[Outgoing]:
    """`alive` is called now and then: there may be a hundred thousand."""
    found: list[Outgoing] = []
    for rows in conn.execute(OUTGOING.where(or_(WAITING, SENT_BUT_UNSETTLED))).partitions(CHUNK):
        found += to_outgoings(rows)
        alive()
    return found


def interrupted(conn: Connection) -> list[Restart]:
    died = OUTGOING.where(outbox.c.status == CLAIMED, outbox.c.kind == RESTART)
    return [item.command for item in to_outgoings(conn.execute(died).all()) if isinstance(item.command, Restart)]


def ordered(conn: Connection, since: datetime) -> list[Restart]:
    moment = micros(since)
    # what was ordered since then was settled since then, or not at all: there is an index on each
    recent = or_(outbox.c.settled_at >= moment, UNSETTLED)
    rows = conn.execute(OUTGOING.where(recent, outbox.c.kind == RESTART, outbox.c.created_at >= moment)).all()
    items = [item for item in to_outgoings(rows) if counts(item)]
    return [item.command for item in items if isinstance(item.command, Restart)]


def claim(conn: Connection, keys: Sequence[str], at: datetime) -> frozenset[str]:
    ours = (
        update(outbox)
        .where(outbox.c.key.in_(keys), WAITING)
        .values(status=CLAIMED, claimed_at=micros(at))
        .returning(outbox.c.key)
    )
    return frozenset(conn.execute(ours).scalars())


def reclaim(conn: Connection, key: str, at: datetime) -> bool:
    ours = update(outbox).where(outbox.c.key == key, SENT_BUT_UNSETTLED)
    return conn.execute(ours.values(claimed_at=micros(at))).rowcount == 1


def settle(conn: Connection, key: str, at: datetime, receipt: Receipt | None, outcome: ActionOutcome | None) -> None:
    done = update(outbox).where(outbox.c.key == key, UNSETTLED)
    conn.execute(
        done.values(
            status=DONE,
            tries=ONE_MORE_TRY,
            settled_at=micros(at),
            receipt=encode(receipt) if receipt else None,
            outcome=encode(outcome) if outcome else None,
        )
    )


def postpone(conn: Connection, key: str, due_at: datetime, error: str) -> None:
    # a restart that was begun is never pending again, whoever asks for it
    again = update(outbox).where(outbox.c.key == key, or_(WAITING, SENT_BUT_UNSETTLED))
    values: dict[str, Any] = {"status": PENDING, "due_at": micros(due_at), "claimed_at": None, "error": clean(error)}
    conn.execute(again.values(tries=outbox.c.tries + 1, **values))


def bury(conn: Connection, key: str, at: datetime, error: str) -> None:
    dead = update(outbox).where(outbox.c.key == key, UNSETTLED)
    conn.execute(dead.values(status=DEAD, tries=ONE_MORE_TRY, settled_at=micros(at), error=clean(error)))


def retract(conn: Connection, key: str, at: datetime) -> None:
    notice = update(outbox).where(outbox.c.key == key, outbox.c.kind == NOTICE, UNSETTLED)
    conn.execute(notice.values(status=CANCELLED, settled_at=micros(at)))


def outgoing(conn: Connection, keys: Sequence[str]) -> dict[str, Outgoing]:
    found = to_outgoings(conn.execute(OUTGOING.where(outbox.c.key.in_(keys))).all())
    return {item.command.key: item for item in found}


def opening(conn: Connection, incident: str, channel: str) -> Receipt | None:
    found = select(outbox.c.receipt).where(
        outbox.c.incident == incident,
        outbox.c.channel == channel,
        outbox.c.notice == NoticeKind.OPENED.value,
        outbox.c.status == DONE,
        outbox.c.receipt.is_not(None),
    )
    text = conn.execute(found.order_by(outbox.c.seq.desc()).limit(1)).scalar()
    return decode(Receipt, text) if text else None


def dead_letters(conn: Connection) -> list[Outgoing]:
    return to_outgoings(conn.execute(OUTGOING.where(outbox.c.status == DEAD)).all())


def replay(conn: Connection, keys: Sequence[str], at: datetime) -> int:
    dead = update(outbox).where(outbox.c.key.in_(keys), outbox.c.status == DEAD, outbox.c.kind == NOTICE)
    values = {"status": PENDING, "tries": 0, "due_at": micros(at), "claimed_at": None, "settled_at": None}
    return conn.execute(dead.values(**values)).rowcount
