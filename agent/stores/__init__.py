"""Where the agent keeps what it must not forget."""

from collections.abc import Callable
from pathlib import Path

from agent.stores.database import Database
from agent.stores.journal import Journal
from agent.stores.memory import MemoryStore
from agent.stores.mirror import Late
from agent.stores.resilient import ResilientStore
from agent.stores.sql import SqlStore

__all__ = ["Late", "MemoryStore", "ResilientStore", "SqlStore", "open_store"]


def open_store(url: str, on_trouble: Callable[[str], None]) -> ResilientStore:
    """The store that the agent runs on, for a SQLAlchemy URL. Opens nothing: call `load` first, and `heal` about once a
    second. Raises sqlalchemy.exc.ArgumentError for a text that is no URL."""
    path = Database(url).path
    journal = Journal(Path(f"{path}.begun")) if path else None
    return ResilientStore(SqlStore(url, reopens=False), on_trouble=on_trouble, journal=journal)
