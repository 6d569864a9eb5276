"""The tables, and how an older database is brought up to date. Times are integer microseconds since the epoch, UTC.

Whole values (states, commands, events, receipts) are JSON texts written by the codec; columns beside them exist only
where a query looks at them.
"""

from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    update,
)

from agent.ports import StoreUnavailable

SCHEMA_VERSION = 1

metadata = MetaData()
ROW = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _time(name: str, **more: Any) -> Column[int]:
    return Column(name, BigInteger, **more)


meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    _text("value"),
)

services = Table(
    "services",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    _text("incident"),  # the id of the open one, empty when none is
    _text("state"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", ROW, primary_key=True, autoincrement=True),  # the order in which commands were decided
    Column("key", Text, nullable=False, unique=True),
    _text("kind"),  # "restart" or "notice"
    _text("service"),
    _text("incident"),
    _text("channel"),
    _text("notice"),  # the kind of notice
    _text("status"),
    Column("tries", Integer, nullable=False, server_default="0"),
    _time("due_at", nullable=False),
    _time("created_at", nullable=False),
    _time("claimed_at"),
    _time("settled_at"),
    _text("body"),
    Column("receipt", Text),
    Column("outcome", Text),
    _text("error"),
    Index("outbox_by_status", "status", "seq"),
    Index("outbox_by_incident", "incident", "channel"),
    Index("outbox_by_settled", "settled_at"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("seq", ROW, primary_key=True, autoincrement=True),
    _text("service"),
    _time("at", nullable=False),
    Column("version", BigInteger, nullable=False),  # of the service, after the commit that wrote the row
    Column("n", Integer, nullable=False),  # place in that commit
    _text("incident"),
    _text("body"),
    # the same fact written a second time, after an outcome that could not be known, is the same row
    UniqueConstraint("service", "at", "version", "n"),
    Index("timeline_by_time", "at"),
)

runs = Table(
    "runs",
    metadata,
    Column("service", Text, primary_key=True),
    Column("check", Text, primary_key=True),
    Column("first_at", BigInteger, primary_key=True),
    _time("last_at", nullable=False),
    _text("verdict"),
    _text("reason"),
    Column("count", BigInteger, nullable=False),
    Index("runs_by_end", "last_at"),
)

beats = Table(
    "beats",
    metadata,
    Column("service", Text, primary_key=True),
    Column("check", Text, primary_key=True),
    _text("body"),
)

notes = Table(
    "notes",
    metadata,
    Column("name", Text, primary_key=True),
    _text("text"),
)


def identity_if_current(conn: Connection) -> str:
    """The database's own id; empty when `bring_up_to_date` has something to do. Only reads."""
    if not inspect(conn).has_table("meta"):
        return ""
    found = {str(name): str(value) for name, value in conn.execute(select(meta.c.name, meta.c.value))}
    return found.get("id", "") if found.get("schema") == str(SCHEMA_VERSION) else ""


def bring_up_to_date(conn: Connection) -> str:
    """Make the tables where there are none, run the migrations that are missing, and return the database's own id.

    Runs inside the caller's transaction, so that half a migration is never seen. Raises StoreUnavailable for a database
    that a newer codeblue wrote: nothing in it is touched.
    """
    if not inspect(conn).has_table("meta"):
        metadata.create_all(conn)
        identity = uuid4().hex
        conn.execute(
            insert(meta),
            [{"name": "schema", "value": str(SCHEMA_VERSION)}, {"name": "id", "value": identity}],
        )
        return identity
    found = {str(name): str(value) for name, value in conn.execute(select(meta.c.name, meta.c.value))}
    version = int(found.get("schema", "0"))
    if version > SCHEMA_VERSION:
        raise StoreUnavailable(
            f"the database was written by a newer codeblue (schema {version}, this one knows up to {SCHEMA_VERSION}): "
            "install that version again, or name another file in agent.store"
        )
    for step in range(version, SCHEMA_VERSION):
        MIGRATIONS[step](conn)
    if version < SCHEMA_VERSION:
        conn.execute(update(meta).where(meta.c.name == "schema").values(value=str(SCHEMA_VERSION)))
    return found["id"]


MIGRATIONS: dict[int, Any] = {}
"""From schema version n to n + 1: a function that takes the connection."""
