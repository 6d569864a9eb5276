# ruff: noqa: ASYNC240 - the tests do to the file what people do, and block nobody
"""The store that never says no: what goes on while the database is away, and what is there when it is back."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from agent.core.commands import Outcome
from agent.core.result import Verdict
from agent.ports import ActionOutcome, Outgoing, Receipt, Run, VersionConflict
from agent.stores import ResilientStore, SqlStore
from agent.stores.journal import Journal
from tests.stores import faults
from tests.stores.makers import T0, Troubles, at, decided, down, event, healthy, notice, resilient, restart, told

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


@pytest.mark.parametrize("fault", [*faults.LOSSES, faults.locked], ids=lambda fault: fault.__name__)
async def test_everything_goes_on_without_the_file_and_is_in_it_afterwards(
    path: Path, troubles: Troubles, fault: Fault
) -> None:
    store = resilient(path, troubles)
    await store.load()
    await store.commit("db", 0, decided(healthy("db")))
    await store.commit("photos", 0, decided(down(), restart("r1"), notice("n1")))
    await store.commit("photos", 1, decided(down(), notice("n2"), notice("n3")))
    await store.claim(["n2"], at(1))
    await store.settle("n2", at(2), receipt=Receipt(data={"ts": "2"}))
    undo = fault(path)

    assert (
        await store.commit("photos", 2, replace(decided(down(), notice("n4"), cancelled=("n3",)), events=(event("e"),)))
        == 3
    )
    assert await store.claim(["r1", "n1", "n2", "n3"], at(3)) == {"r1", "n1"}
    assert await store.claim(["r1"], at(3)) == frozenset()
    await store.settle("r1", at(4), outcome=ActionOutcome(outcome=Outcome.DONE))
    await store.postpone("n1", at(9), "server: 500")
    await store.commit("new", 0, decided(healthy("new")))
    with pytest.raises(VersionConflict):
        await store.commit("photos", 2, decided())
    await store.set_note("alive", "yes")
    assert await store.opening("i1", "oncall") == Receipt(data={"ts": "2"})
    assert [row.text for row in await store.history("photos", since=T0)] == ["e"]
    assert troubles[-1] != ""

    undo()
    await store.heal()
    assert store.trouble == "" or "was moved to" in store.trouble
    await store.heal()
    assert troubles[-1] == ""
    assert await store.commit("photos", 3, decided(down())) == 4
    assert await store.commit("db", 1, decided(healthy("db", 5))) == 2
    await store.close()

    again = SqlStore(f"sqlite:///{path}")
    assert {name: stored.version for name, stored in (await again.load()).items()} == {"photos": 4, "db": 2, "new": 1}
    found = {
        key: (item.status, item.tries) for key, item in (await again.outgoing(["r1", "n1", "n2", "n3", "n4"])).items()
    }
    assert found == {
        "r1": ("done", 1),
        "n1": ("pending", 1),
        "n2": ("done", 1),
        "n3": ("cancelled", 0),
        "n4": ("pending", 0),
    }
    assert [row.text for row in await again.history("photos", since=T0)] == ["e"]
    assert await again.get_note("alive") == "yes"
    await again.close()


async def test_while_the_file_is_locked_pages_wait_for_nobody(path: Path, troubles: Troubles) -> None:
    store = resilient(path, troubles)
    await store.load()
    unlock = faults.locked(path)
    before = monotonic()
    await store.commit("photos", 0, decided(down(), notice("n1")))
    assert monotonic() - before < 3
    before = monotonic()
    for i in range(200):
        await store.commit(f"s{i}", 0, decided(healthy(f"s{i}")))
    assert monotonic() - before < 0.5
    await store.heal()
    assert "is locked by another program" in store.trouble
    unlock()
    await store.heal()
    assert troubles == [troubles[0], ""]
    assert set(await on_disk(path, "n1")) == {"n1"}
    await store.close()


async def test_many_that_fail_together_all_go_on_from_memory(path: Path) -> None:
    store = resilient(path)
    await store.load()
    path.unlink()
    results = await asyncio.gather(
        *(store.commit(f"s{i}", 0, decided(down(f"s{i}"), restart(f"r{i}", f"s{i}"))) for i in range(300))
    )
    assert results == [1] * 300
    await store.heal()
    assert len(await on_disk(path, *(f"r{i}" for i in range(300)))) == 300
    await store.close()


async def test_what_is_decided_while_it_heals_is_written_too(path: Path) -> None:
    store = resilient(path)
    await store.load()
    path.unlink()
    await store.commit("photos", 0, decided(down()))
    healing = asyncio.ensure_future(store.heal())
    written = 0
    while not healing.done():
        await store.commit(f"s{written}", 0, decided(healthy(f"s{written}"), notice(f"n{written}", f"s{written}")))
        written += 1
        await asyncio.sleep(0.001)
    await healing
    assert written > 0
    assert len(await on_disk(path, *(f"n{i}" for i in range(written)))) == written
    await store.close()


async def test_a_settled_command_of_an_older_file_is_not_carried_out_again(path: Path) -> None:
    store = resilient(path)
    await store.load()
    await store.commit("photos", 0, decided(down(), notice("n1"), restart("r1")))
    await store.close()
    backup = path.read_bytes()
    store = resilient(path)
    await store.load()
    await store.claim(["n1", "r1"], at(1))
    await store.settle("n1", at(2))
    await store.settle("r1", at(2), outcome=ActionOutcome(outcome=Outcome.DONE))
    await store.commit("photos", 1, decided(healthy()))
    other = path.with_name("backup")
    other.write_bytes(backup)
    other.replace(path)
    await store.commit("photos", 2, decided(healthy(seconds=9)))
    await store.heal()
    await store.close()
    again = resilient(path)
    assert (await again.load())["photos"].state == healthy(seconds=9)
    assert list(await again.pending()) == []
    await again.close()


# ---------------------------------------------------------------------------------------------------- kill -9


async def test_a_restart_that_was_begun_from_memory_is_not_begun_again_after_a_kill(path: Path) -> None:
    store = resilient(path)
    await store.load()
    await store.commit("photos", 0, decided(down(), restart("r1"), restart("r2")))
    unlock = faults.locked(path)
    assert await store.claim(["r1"], at(1)) == {"r1"}
    unlock()
    # killed here: nothing is closed, nothing is healed
    assert (await on_disk(path, "r1"))["r1"].status == "pending"
    after = resilient(path)
    await after.load()
    assert list(await after.interrupted()) == [restart("r1")]
    assert [item.command.key for item in await after.pending()] == ["r2"]
    assert await after.claim(["r1", "r2"], at(2)) == {"r2"}
    assert Journal(Path(f"{path}.begun")).read() == frozenset()
    await after.close()
    await store.close()


async def test_a_journal_with_a_broken_line_still_tells_the_others(path: Path) -> None:
    store = resilient(path)
    await store.load()
    await store.commit("photos", 0, decided(down(), restart("r1")))
    await store.close()
    Path(f"{path}.begun").write_bytes(b'"unknown"\n"r1"\n"r')
    after = resilient(path)
    await after.load()
    assert list(await after.interrupted()) == [restart("r1")]
    await after.close()


async def test_runs_and_timeline_of_the_bad_time_are_bounded_and_written(path: Path) -> None:
    store = resilient(path)
    await store.load()
    path.unlink()
    version = 0
    for burst in range(130):
        rows = [event(f"{burst}-{i}", seconds=burst) for i in range(100)]
        version = await store.commit("photos", version, told(*rows))
    run = Run(service="photos", check="http", verdict=Verdict.PASS, reason="ok", first_at=at(0), last_at=at(9), count=2)
    await store.save_runs([run])
    await store.save_runs([replace(run, last_at=at(19), count=3)])
    await store.heal()
    assert len(await store.history("photos", since=T0, limit=20_000)) == 10_000
    assert await store.runs("photos", "http", since=T0) == [replace(run, last_at=at(19), count=3)]
    await store.close()


async def test_a_full_disk_stops_nothing_and_is_written_when_there_is_room(path: Path, troubles: Troubles) -> None:
    primary = SqlStore(f"sqlite:///{path}", reopens=False)
    store = ResilientStore(primary, on_trouble=troubles)
    await store.load()
    await primary._writer.submit(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1").scalar())
    big = replace(notice("n1"), evidence={"log": "x" * 200_000})
    assert await store.commit("photos", 0, decided(down(), big, restart("r1"))) == 1
    assert "no space is left" in store.trouble
    assert await store.claim(["n1", "r1"], at(1)) == {"n1", "r1"}
    await store.heal()
    assert "no space is left" in store.trouble
    conn = primary._database.connection()
    conn.exec_driver_sql("PRAGMA max_page_count=1000000").close()
    conn.rollback()
    await store.heal()
    assert troubles[-1] == ""
    assert {key: item.status for key, item in (await on_disk(path, "n1", "r1")).items()} == {
        "n1": "claimed",
        "r1": "claimed",
    }
    await store.close()


async def test_a_file_that_cannot_be_read_any_more_is_opened_anew(path: Path, troubles: Troubles) -> None:
    primary = SqlStore(f"sqlite:///{path}", reopens=False)
    store = ResilientStore(primary, on_trouble=troubles)
    await store.load()
    await store.commit("photos", 0, decided(down(), restart("r1")))
    held = primary._database._fd
    assert held is not None
    deaf = os.open(path, os.O_WRONLY)
    os.dup2(deaf, held)  # as when a network's file system has forgotten the file: EBADF in place of ESTALE
    os.close(deaf)
    assert await store.commit("photos", 1, decided(down(), notice("n1"))) == 2
    assert "cannot be read" in store.trouble
    await store.heal()
    assert store.trouble == ""
    assert {*await on_disk(path, "r1", "n1")} == {"r1", "n1"}
    await store.close()


async def test_a_healthy_service_costs_the_mirror_next_to_nothing(path: Path) -> None:
    states = [healthy(f"s{i}") for i in range(10_000)]
    store = resilient(path)
    await store.load()
    await asyncio.gather(*(store.commit(state.service, 0, decided(state)) for state in states))
    assert store.trouble == ""
    mirror = store._mirror
    assert all(mirror.states[state.service].state is state for state in states[:10])
    extra = sys.getsizeof(mirror.states) + 10_000 * sys.getsizeof(mirror.states["s0"])
    assert extra / 10_000 < 128  # bytes each
    await store.close()


async def test_what_an_older_file_says_is_pending_and_memory_has_long_forgotten_is_not_sent(path: Path) -> None:
    store = resilient(path)
    await store.load()
    await store.commit("photos", 0, decided(down(), notice("n1"), restart("r1")))
    await store.close()
    backup = path.with_name("backup")
    backup.write_bytes(path.read_bytes())
    store = resilient(path)
    await store.load()
    await store.claim(["n1", "r1"], at(1))
    await store.settle("n1", at(2))
    await store.settle("r1", at(2))
    await store.commit("photos", 1, decided(healthy()))
    await store.close()
    store = resilient(path)
    await store.load()
    backup.replace(path)
    await store.commit("photos", 2, decided(healthy(seconds=9)))
    await store.heal()
    assert list(await store.pending()) == []
    assert list(await store.claim(["n1", "r1"], at(3))) == []
    await store.close()


async def test_what_somebody_else_settled_in_the_meantime_stays_settled(path: Path) -> None:
    store = resilient(path)
    await store.load()
    await store.commit("photos", 0, decided(down(), notice("n1")))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await store.claim(["n1"], at(1))
    await store.postpone("n1", at(9), "server: 500")
    other.execute("UPDATE outbox SET status = 'cancelled' WHERE key = 'n1'")
    other.execute("COMMIT")
    other.close()
    await store.heal()
    assert store.trouble == ""
    assert (await store.outgoing(["n1"]))["n1"].status == "cancelled"
    await store.close()


async def test_loading_again_believes_the_database(path: Path) -> None:
    store = resilient(path)
    await store.load()
    await store.commit("photos", 0, decided(down(), notice("n1")))
    other = SqlStore(f"sqlite:///{path}")
    await other.commit("photos", 1, decided(healthy(), cancelled=("n1",)))
    await other.close()
    with pytest.raises(VersionConflict):
        await store.commit("photos", 1, decided())
    assert (await store.load())["photos"].version == 2
    path.unlink()
    assert await store.commit("photos", 2, decided(down())) == 3
    assert await store.claim(["n1"], at(1)) == frozenset()
    await store.close()
