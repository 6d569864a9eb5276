# ruff: noqa: ASYNC240 - the tests do to the file what people do, and block nobody
"""A start with a database that cannot be used: it is moved aside, or left alone, or learnt from late."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.state import Incident
from agent.ports import Beat, BeatState, Outgoing, Receipt, VersionConflict
from agent.stores import ResilientStore, SqlStore
from tests.stores import faults
from tests.stores.makers import Troubles, at, decided, down, healthy, notice, resilient, restart

Fault = Callable[[Path], faults.Undo]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "codeblue.db"


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


async def on_disk(path: Path, *keys: str) -> dict[str, Outgoing]:
    """What another process reads from the file."""
    other = SqlStore(f"sqlite:///{path}")
    found = dict(await other.outgoing(keys))
    await other.close()
    return found


async def test_a_file_that_is_no_database_is_moved_aside_and_that_is_said_once(path: Path, troubles: Troubles) -> None:
    path.write_bytes(b"no database" * 1000)
    store = resilient(path, troubles)
    assert await store.load() == {}
    assert "was moved to codeblue.db.corrupt-" in store.trouble
    assert await store.commit("photos", 0, decided()) == 1
    await store.heal()
    assert len(troubles) == 2
    assert troubles[1] == ""
    assert len(list(path.parent.glob("codeblue.db.corrupt-*"))) == 1
    await store.close()


async def test_a_database_of_a_newer_codeblue_stays_untouched_while_the_agent_works(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}")
    await store._writer.submit(lambda conn: conn.exec_driver_sql("UPDATE meta SET value='99' WHERE name='schema'"))
    await store.close()
    before = path.read_bytes()
    careful = resilient(path)
    assert await careful.load() == {}
    assert await careful.commit("photos", 0, decided(down(), notice("n1"))) == 1
    await careful.heal()
    assert "newer codeblue" in careful.trouble
    assert await careful.claim(["n1"], at(1)) == {"n1"}
    await careful.close()
    assert path.read_bytes() == before


async def begin_while_it_is_locked(path: Path) -> tuple[ResilientStore, faults.Undo]:
    """A store whose database was there, with things in it, and locked so that not even reading is possible."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE meta SET value = value")
    other.execute("COMMIT")
    store = resilient(path)
    assert await store.load() == {}
    assert "is locked" in store.trouble
    return store, other.close


async def before_the_start(path: Path) -> None:
    first = SqlStore(f"sqlite:///{path}")
    await first.commit(
        "photos", 0, decided(replace(down(), restarts=(at(0),)), notice("n1"), restart("r1"), restart("r2"))
    )
    await first.claim(["n1", "r1"], at(1))
    await first.settle("n1", at(2), receipt=Receipt(data={"ts": "1"}))
    await first.commit("db", 0, decided(healthy("db")))
    await first.save_beats(
        {("db", "backup"): BeatState(first_at=at(-100), success=Beat(at=at(-50), kind="success"), total=7)}
    )
    await first.close()


async def test_an_agent_that_began_while_the_file_was_locked_learns_late_what_it_held(path: Path) -> None:
    await before_the_start(path)
    store, unlock = await begin_while_it_is_locked(path)
    await store.commit("photos", 0, decided(healthy(seconds=50)))
    await store.commit("db", 0, decided(down("db", "i9", 50), notice("n9", "db", "i9")))
    await store.save_beats({("db", "backup"): BeatState(first_at=at(50), last=Beat(at=at(60), kind="start"), total=1)})
    assert await store.heal() is None
    unlock()
    late = await store.heal()
    assert late is not None
    assert late.states["photos"].state == replace(down(), restarts=(at(0),))  # its closing message is owed
    assert late.states["db"].state == down("db", "i9", 50)  # newer than what the file held
    assert late.interrupted == (restart("r1"),)
    assert [item.command for item in late.pending] == [restart("r2")]
    assert late.beats["db", "backup"].total == 8
    assert late.beats["db", "backup"].success == Beat(at=at(-50), kind="success")
    with pytest.raises(VersionConflict):
        await store.commit("photos", 1, decided())
    version = late.states["photos"].version
    assert await store.commit("photos", version, decided(healthy())) == version + 1
    assert await store.heal() is None
    await store.close()
    found = await on_disk(path, "n1", "r1", "r2", "n9")
    assert {key: item.status for key, item in found.items()} == {
        "n1": "done",
        "r1": "claimed",
        "r2": "pending",
        "n9": "pending",
    }


async def test_incidents_of_both_lives_become_one_with_the_debts_of_both(path: Path) -> None:
    await before_the_start(path)
    store, unlock = await begin_while_it_is_locked(path)
    await store.commit(
        "photos", 0, decided(replace(down("photos", "i2", 70), restarts=(at(71),)), notice("n5", incident="i2"))
    )
    unlock()
    late = await store.heal()
    assert late is not None
    merged = late.states["photos"].state
    assert isinstance(merged.incident, Incident)
    assert merged.incident.id == "i1"
    assert merged.restarts == (at(0), at(71))
    await store.close()
