"""One connection to the database, used by one thread, and what can go wrong with the file under it."""

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import URL, Connection, Engine, NullPool, RootTransaction, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from agent.ports import StoreUnavailable
from agent.stores.schema import bring_up_to_date, identity_if_current

log = structlog.get_logger()

HEADER = b"SQLite format 3\0"
SIDE_FILES = ("", "-wal", "-shm")
TROUBLES = {
    "BUSY": "is locked by another program",
    "LOCKED": "is locked by another program",
    "FULL": "cannot grow: no space is left",
    "READONLY": "cannot be written: it is read-only",
    "PERM": "may not be used: no permission",
    "AUTH": "may not be used: no permission",
    "CANTOPEN": "cannot be opened: is its folder there, and may it be written?",
    "IOERR": "cannot be read or written: disk I/O error",
    "CORRUPT": "is damaged",
    "NOTADB": "is not a SQLite database",
    "NOMEM": "cannot be used: out of memory",
    "SCHEMA": "was changed by another program",
    "PROTOCOL": "is locked by another program",
}
PASSING = ("BUSY", "LOCKED", "FULL")  # the open connection stays good
DAMAGE = ("CORRUPT", "NOTADB")


class Database:
    """Opens the database of a URL, notices when its file is no longer the one that was opened, and says in plain words
    what an error means. Every method may block and belongs to the one thread that owns the connection.

    A SQLite file that is damaged or is none is moved aside to `*.corrupt-<time>`, never deleted, and a fresh one is
    begun; `set_aside` then says so until somebody reads it.
    """

    def __init__(self, url: str, *, busy: float = 1.0) -> None:
        self.url: URL = make_url(url)
        self.busy = busy  # seconds to wait for a lock that somebody else holds
        self.path = _path_of(self.url)
        self.set_aside = ""
        self.another = False  # what is open now may not hold what was written before; for the caller to clear
        self._id: tuple[object, ...] | None = None
        self._conn: Connection | None = None
        self._engine: Engine | None = None
        self._fd: int | None = None
        self._abandoned: list[tuple[Connection, Engine]] = []
        self._suspect = False  # something said that the file is damaged: it is examined before it is used again
        self._has_wal = False

    @property
    def name(self) -> str:
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    def connection(self) -> Connection:
        """The open connection; opens it first where there is none. Raises StoreUnavailable."""
        if self._conn is None:
            self._conn = self._open()
        return self._conn

    def check(self) -> None:
        """Raises StoreUnavailable, and lets go of the connection, when the file was deleted, moved, replaced or
        overwritten since it was opened."""
        if self._fd is None or self.path is None:
            return
        lost = self._what_happened(self.path, self._fd)
        if not lost:
            return
        if self._same_file(self.path, self._fd):
            self._suspect = self.another = True  # closing writes the -wal file back: it may be whole, or an older one
            self._drop()
        else:
            self._abandon()
        raise StoreUnavailable(f"database {self.name} {lost}")

    def trouble(self, error: Exception) -> StoreUnavailable | None:
        """What an error says about the database, None when it is about the statement. Lets go of a connection that
        cannot be used any more."""
        if isinstance(error, StoreUnavailable):
            return error
        if isinstance(error, OSError):
            return StoreUnavailable(f"database {self.name} cannot be used: {error.strerror or error}")
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            return self._sqlite_trouble(cause)
        if not isinstance(error, DBAPIError):
            return None
        if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
            self._drop()
            return StoreUnavailable(f"database {self.name}: {str(cause).strip()}")
        return None

    def close(self) -> None:
        self._drop()

    def _sqlite_trouble(self, cause: sqlite3.Error) -> StoreUnavailable | None:
        # an exception that Python itself raises has no SQLite code: "Cannot operate on a closed database"
        code = str(getattr(cause, "sqlite_errorname", "") or "").removeprefix("SQLITE_").split("_")[0]
        if code in TROUBLES:
            self._suspect = self._suspect or code in DAMAGE
            if code not in PASSING:
                self._drop()
            return StoreUnavailable(f"database {self.name} {TROUBLES[code]} ({cause})")
        if "no such table" in str(cause):
            self._drop()
            return StoreUnavailable(f"database {self.name} has lost its tables ({cause})")
        return None

    @staticmethod
    def _same_file(path: Path, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(path))
        except OSError:
            return False

    def _what_happened(self, path: Path, fd: int) -> str:
        try:
            there = os.stat(path)
        except FileNotFoundError:
            return "was deleted or moved"
        except OSError as error:
            return f"cannot be reached: {error.strerror}"
        try:
            if not os.path.samestat(os.fstat(fd), there):
                return "was replaced by another file"
            if os.pread(fd, len(HEADER), 0) != HEADER:
                return "was overwritten"
        except OSError as error:  # a network's file system that forgot the file, a disk that fails
            return f"cannot be read: {error.strerror}"
        if self._has_wal and not os.path.exists(f"{path}-wal"):
            return "has lost its -wal file"
        return ""

    def _open(self) -> Connection:
        try:
            return self._open_once()
        except (DBAPIError, sqlite3.Error, OSError, StoreUnavailable) as error:
            found = self.trouble(error) or error
            self._drop()
            if not (self._suspect and self.path and self.path.is_file()):
                raise found from error
        self._set_aside(self.path)
        try:
            return self._open_once()
        except (DBAPIError, sqlite3.Error, OSError, StoreUnavailable) as error:
            found = self.trouble(error) or error
            self._drop()
            raise found from error

    def _open_once(self) -> Connection:
        engine = self._make_engine()
        if self.path:
            self._fd = _open_file(self.path)
            # a -wal file that was left behind may still complete what is no database by itself
            self._suspect = self._suspect or os.pread(self._fd, len(HEADER), 0) not in (HEADER, b"")
        conn = engine.connect()
        self._engine, self._conn = engine, conn
        if self._suspect and self.path:
            self._examine(conn)
        with self.transaction(conn, writes=False):
            identity = identity_if_current(conn)
        if not identity:
            with self.transaction(conn, writes=True):
                identity = bring_up_to_date(conn)
        self._has_wal = os.path.exists(f"{self.path}-wal")
        status = os.fstat(self._fd) if self._fd is not None else None
        found = (identity, status and (status.st_dev, status.st_ino))
        self.another = self.another or (self._id is not None and found != self._id)
        self._id, self._suspect = found, False
        return conn

    @staticmethod
    def transaction(conn: Connection, *, writes: bool) -> RootTransaction:
        """Begin one. On SQLite a writing one takes the write lock at once: one that begins by reading and then writes
        fails without waiting when somebody else wrote in between."""
        conn.info["begin"] = "BEGIN IMMEDIATE" if writes else "BEGIN"
        return conn.begin()

    @staticmethod
    def _examine(conn: Connection) -> None:
        """Raises the error of a damaged database when it is one."""
        raw = conn.connection.dbapi_connection
        if not isinstance(raw, sqlite3.Connection):
            return
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        found = str(raw.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            damage = sqlite3.DatabaseError(f"quick_check: {found}")
            damage.sqlite_errorname = "SQLITE_CORRUPT"
            raise damage

    def _make_engine(self) -> Engine:
        if self.url.get_backend_name() != "sqlite":
            return create_engine(self.url, poolclass=NullPool, connect_args={"connect_timeout": 2})
        # the connection is made by one thread and may be closed by another when the first is gone
        options = {"timeout": self.busy, "check_same_thread": False}
        engine = create_engine(self.url, poolclass=NullPool, connect_args=options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _set_aside(self, path: Path) -> None:
        """Move a file that cannot be used out of the way, with its side files, so that a person can look at it."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        target = path.with_name(f"{path.name}.corrupt-{stamp}")
        for side in SIDE_FILES:
            source = Path(f"{path}{side}")
            if source.exists():
                source.rename(f"{target}{side}")
        self.set_aside = f"database {path} was not usable: it was moved to {target.name} and a fresh one begun"
        log.error("store_set_aside", database=str(path), moved_to=target.name)
        self._suspect = False

    def _abandon(self) -> None:
        """Let go of a file that is no longer at its place, without closing it: closing would delete the side files by
        name, and by now those may belong to the file that took its place."""
        if self._conn is not None and self._engine is not None:
            self._abandoned.append((self._conn, self._engine))
        self._conn = None
        self._close_fd()

    def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            try:
                conn.close()
            except (DBAPIError, OSError) as error:
                log.warning("store_close_failed", database=self.name, error=str(error))
        self._close_fd()

    def _close_fd(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _path_of(url: URL) -> Path | None:
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).absolute()


def _open_file(path: Path) -> int:
    """A descriptor of the database file, made (for its owner only) where it is missing. It is opened before SQLite
    opens the file and closed after, because closing any descriptor of a file gives up the process's locks on it."""
    if path.is_dir():
        raise StoreUnavailable(f"database {path} is a folder: name a file in agent.store")
    if not path.parent.is_dir():
        raise StoreUnavailable(f"database {path} cannot be opened: the folder {path.parent} does not exist")
    return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _prepare_sqlite(raw: sqlite3.Connection, _record: object) -> None:
    raw.isolation_level = None  # transactions begin where we say so, not where the driver guesses
    raw.execute("PRAGMA journal_mode=WAL").close()
    raw.execute("PRAGMA synchronous=FULL").close()
    raw.execute("PRAGMA foreign_keys=OFF").close()
    raw.execute("PRAGMA journal_size_limit=67108864").close()


def _begin_sqlite(conn: Connection) -> None:
    conn.exec_driver_sql(str(conn.info.get("begin", "BEGIN")))
