"""The store in a SQL database: SQLite by default, PostgreSQL by URL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from agent.core.commands import Restart
from agent.core.events import Decision, Event
from agent.ports import ActionOutcome, BeatState, Outgoing, Receipt, Run, Stored
from agent.stores import restore, sql_commands, sql_records
from agent.stores.codec import clean, encode
from agent.stores.database import Database
from agent.stores.writer import Writer


def _now() -> datetime:
    return datetime.now(UTC)


class SqlStore:
    """`Store` over SQLAlchemy Core. Nothing is opened before the first call.

    The event loop never waits for the disk: one thread does all of it, and commits everything that waits in one
    transaction. A lock that another program holds is waited for `busy` seconds. A database that does not answer for
    `patience` seconds is StoreUnavailable; then, and only then, it is not known whether a write that had begun was
    done. With `reopens=False` the store refuses everything after the first trouble until `reopen`: for a caller that
    has something to write back first.

    `url` is SQLAlchemy's: "sqlite:///codeblue.db", "sqlite:////var/lib/codeblue/codeblue.db",
    "postgresql+psycopg://user@host/name". Raises ArgumentError for one that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = 2.0,
        busy: float = 1.0,
        reopens: bool = True,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._database = Database(url, busy=busy)
        self._writer = Writer(self._database, patience=patience, reopens=reopens)
        self._now = now

    async def load(self) -> Mapping[str, Stored]:
        return await self._writer.submit(sql_commands.load, writes=False)

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        now = self._now()
        return await self._writer.submit(lambda conn: sql_commands.commit(conn, service, seen_version, decision, now))

    async def forget(self, service: str) -> None:
        await self._writer.submit(lambda conn: sql_commands.forget(conn, service))

    async def pending(self) -> Sequence[Outgoing]:
        return await self._writer.submit(lambda conn: sql_commands.pending(conn, self._writer.alive), writes=False)

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        return await self._writer.submit(lambda conn: sql_commands.claim(conn, keys, at))

    async def reclaim(self, key: str, at: datetime) -> bool:
        return await self._writer.submit(lambda conn: sql_commands.reclaim(conn, key, at))

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        await self._writer.submit(lambda conn: sql_commands.settle(conn, key, at, receipt, outcome))

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        await self._writer.submit(lambda conn: sql_commands.postpone(conn, key, due_at, error))

    async def bury(self, key: str, at: datetime, error: str) -> None:
        await self._writer.submit(lambda conn: sql_commands.bury(conn, key, at, error))

    async def retract(self, key: str, at: datetime) -> None:
        await self._writer.submit(lambda conn: sql_commands.retract(conn, key, at))

    async def interrupted(self) -> Sequence[Restart]:
        return await self._writer.submit(sql_commands.interrupted, writes=False)

    async def ordered(self, since: datetime) -> Sequence[Restart]:
        return await self._writer.submit(lambda conn: sql_commands.ordered(conn, since), writes=False)

    async def outgoing(self, keys: Sequence[str]) -> Mapping[str, Outgoing]:
        return await self._writer.submit(lambda conn: sql_commands.outgoing(conn, keys), writes=False)

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        return await self._writer.submit(lambda conn: sql_commands.opening(conn, incident, channel), writes=False)

    async def dead_letters(self) -> Sequence[Outgoing]:
        return await self._writer.submit(sql_commands.dead_letters, writes=False)

    async def replay(self, keys: Sequence[str], at: datetime) -> int:
        return await self._writer.submit(lambda conn: sql_commands.replay(conn, keys, at))

    async def history(self, service: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Event]:
        return await self._writer.submit(lambda conn: sql_records.history(conn, service, since, limit), writes=False)

    async def save_beats(self, beats: Mapping[tuple[str, str], BeatState]) -> None:
        # encoded here and not in the thread: a BeatState goes on changing
        encoded = encode_beats(beats)
        if encoded:
            await self._writer.submit(lambda conn: sql_records.save_beats(conn, encoded))

    async def load_beats(self) -> Mapping[tuple[str, str], BeatState]:
        return await self._writer.submit(sql_records.load_beats, writes=False)

    async def save_runs(self, runs: Iterable[Run]) -> None:
        some = list(runs)
        if some:
            await self._writer.submit(lambda conn: sql_records.save_runs(conn, some))

    async def runs(self, service: str, check: str | None, *, since: datetime, limit: int = 1000) -> Sequence[Run]:
        return await self._writer.submit(
            lambda conn: sql_records.find_runs(conn, service, check, since, limit), writes=False
        )

    async def get_note(self, name: str) -> str | None:
        return await self._writer.submit(lambda conn: sql_records.get_note(conn, name), writes=False)

    async def set_note(self, name: str, text: str) -> None:
        await self._writer.submit(lambda conn: sql_records.set_notes(conn, {name: clean(text)}))

    async def purge(self, before: datetime) -> int:
        return await self._writer.submit(lambda conn: sql_records.purge(conn, before))

    async def close(self) -> None:
        await self._writer.close()

    # ---------------------------------------------------------------- for whoever goes on without the database

    async def snapshot(self) -> restore.Snapshot:
        """All that an agent needs to go on without the database, as of one moment."""
        return await self._writer.submit(lambda conn: restore.snapshot(conn, self._writer.alive), writes=False)

    async def reopen(self) -> bool:
        """Look at the database again. True: it may not hold what was written to it before."""
        return await self._writer.reopen()

    async def write_back(self, what: restore.Writeback) -> None:
        """Write what memory knew while the database was away, in one transaction."""
        await self._writer.submit(lambda conn: restore.write_back(conn, what, self._writer.alive))

    def set_aside(self) -> str:
        """What there is to say about a file that was moved aside since the last call."""
        text, self._database.set_aside = self._database.set_aside, ""
        return text


def encode_beats(beats: Mapping[tuple[str, str], BeatState]) -> list[tuple[str, str, str]]:
    return [(service, check, encode(state)) for (service, check), state in beats.items()]
