# ruff: noqa: ASYNC240 - the tests do to the file what people do, and block nobody
"""The SQL store on real files: what it survives, and what it says."""

import asyncio
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from time import monotonic, process_time

import pytest
from sqlalchemy import Connection

from agent.ports import StoreUnavailable
from agent.stores import SqlStore
from agent.stores.sql_commands import CHUNK, load
from tests.stores import faults
from tests.stores.makers import T0, at, decided, down, event, healthy, notice, restart, told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "codeblue.db"


async def a_store_with_one_service(path: Path, **options: bool) -> SqlStore:
    store = SqlStore(f"sqlite:///{path}", **options)  # type: ignore[arg-type]
    await store.commit("photos", 0, decided(down(), notice("n1"), restart("r1")))
    return store


async def test_what_was_committed_is_there_after_a_restart_of_the_agent(path: Path) -> None:
    first = await a_store_with_one_service(path)
    await first.claim(["r1"], at(1))
    await first.close()
    second = SqlStore(f"sqlite:///{path}")
    assert (await second.load())["photos"].state == down()
    assert [item.command for item in await second.pending()] == [notice("n1")]
    assert list(await second.interrupted()) == [restart("r1")]
    await second.close()


async def test_five_hundred_services_that_commit_at_once_are_done_within_a_second(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}")
    await store.load()
    before, cpu = monotonic(), process_time()
    versions = await asyncio.gather(
        *(store.commit(f"s{i}", 0, decided(down(f"s{i}"), restart(f"r{i}", f"s{i}"))) for i in range(500))
    )
    assert versions == [1] * 500
    assert monotonic() - before < 1.0
    assert process_time() - cpu < 0.5
    await store.close()


async def test_commits_that_wait_together_share_a_transaction(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}")
    begun: list[str] = []
    await store._writer.submit(lambda conn: trace(conn, begun))
    await asyncio.gather(*(store.commit(f"s{i}", 0, decided(healthy(f"s{i}"))) for i in range(100)))
    assert len([statement for statement in begun if statement.startswith("BEGIN")]) <= 3
    await store.close()


def trace(conn: Connection, into: list[str]) -> None:
    raw = conn.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.set_trace_callback(into.append)


async def test_a_job_that_cannot_be_done_fails_alone(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}")

    def poison(conn: Connection) -> int:
        conn.exec_driver_sql("UPDATE services SET version = 99")
        raise ValueError("poison")

    results = await asyncio.gather(
        *(store.commit(f"s{i}", 0, decided(healthy(f"s{i}"))) for i in range(5)),
        store._writer.submit(poison),
        *(store.commit(f"t{i}", 0, decided(healthy(f"t{i}"))) for i in range(5)),
        return_exceptions=True,
    )
    assert [result for result in results if result != 1] == [results[5]]
    assert isinstance(results[5], ValueError)
    assert {stored.version for stored in (await store.load()).values()} == {1}
    await store.close()


@pytest.mark.parametrize("loss", faults.LOSSES, ids=lambda loss: loss.__name__)
async def test_a_file_that_is_taken_away_is_noticed_before_anything_is_written(path: Path, loss: faults.Undo) -> None:
    store = await a_store_with_one_service(path, reopens=False)
    undo = loss(path)  # type: ignore[call-arg]
    with pytest.raises(StoreUnavailable, match=r"codeblue\.db"):
        await store.commit("photos", 1, decided(healthy()))
    with pytest.raises(StoreUnavailable):
        await store.claim(["n1"], at(1))
    if undo is not None:
        undo()
    assert await store.reopen() is True
    await store.close()


async def test_a_file_that_lost_its_wal_is_whole_again_once_it_is_reopened(path: Path) -> None:
    store = await a_store_with_one_service(path, reopens=False)
    faults.wal_deleted(path)
    with pytest.raises(StoreUnavailable, match="has lost its -wal file"):
        await store.commit("photos", 1, decided(healthy()))
    assert await store.reopen() is True
    assert (await store.load())["photos"].state == down()
    await store.close()


async def test_by_itself_the_store_goes_on_with_a_fresh_file(path: Path) -> None:
    store = await a_store_with_one_service(path)
    path.unlink()
    with pytest.raises(StoreUnavailable, match="was deleted or moved"):
        await store.load()
    assert await store.commit("photos", 0, decided()) == 1
    await store.close()


async def test_a_locked_database_is_unavailable_for_writes_and_readable(path: Path) -> None:
    store = await a_store_with_one_service(path)
    unlock = faults.locked(path)
    before = monotonic()
    with pytest.raises(StoreUnavailable, match="is locked by another program"):
        await store.commit("photos", 1, decided(healthy()))
    assert monotonic() - before < 2
    assert (await store.load())["photos"].version == 1
    unlock()
    assert await store.commit("photos", 1, decided(healthy())) == 2
    await store.close()


async def test_a_full_database_is_unavailable_and_nothing_is_half_written(path: Path) -> None:
    store = await a_store_with_one_service(path)
    pages = await store._writer.submit(lambda conn: conn.exec_driver_sql("PRAGMA page_count").scalar_one())
    await store._writer.submit(lambda conn: conn.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar())
    long = told(*(event("x" * 1000, seconds=i) for i in range(100)), state=healthy())
    with pytest.raises(StoreUnavailable, match="no space is left"):
        await store.commit("photos", 1, long)
    assert (await store.load())["photos"].state == down()
    assert list(await store.history(None, since=T0)) == []
    await store.close()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.parent.rmdir(), "does not exist"),
    ],
    ids=["a folder", "no folder for it"],
)
async def test_a_place_where_no_file_can_be_says_so(tmp_path: Path, make: faults.Undo, text: str) -> None:
    path = tmp_path / "sub" / "codeblue.db"
    path.parent.mkdir()
    make(path)  # type: ignore[call-arg]
    store = SqlStore(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match=text):
        await store.load()
    await store.close()


async def test_garbage_at_the_start_is_moved_aside_and_kept(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    store = SqlStore(f"sqlite:///{path}")
    assert await store.load() == {}
    assert "was moved to codeblue.db.corrupt-" in store.set_aside()
    assert store.set_aside() == ""
    (kept,) = path.parent.glob("codeblue.db.corrupt-*")
    assert kept.read_bytes() == b"garbage" * 1000
    await store.close()


async def test_damage_inside_is_found_once_it_is_met(path: Path) -> None:
    store = await a_store_with_one_service(path)
    for i in range(200):
        await store.commit(f"s{i}", 0, told(event("x" * 500, seconds=i), state=healthy(f"s{i}")))
    await store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    path.write_bytes(content)
    again = SqlStore(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match=r"is damaged|is not a SQLite"):
        await again.history(None, since=T0)
    assert await again.load() == {}
    assert len(list(path.parent.glob("codeblue.db.corrupt-*"))) >= 1
    await again.close()


async def test_a_database_of_a_newer_codeblue_is_refused_and_left_alone(path: Path) -> None:
    store = await a_store_with_one_service(path)
    await store.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    other.close()
    again = SqlStore(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match=r"newer codeblue \(schema 99"):
        await again.load()
    await again.close()
    assert list(path.parent.glob("*corrupt*")) == []


async def test_a_state_that_cannot_be_read_does_not_hide_the_others(path: Path) -> None:
    store = await a_store_with_one_service(path)
    await store.commit("db", 0, decided(down("db"), notice("n2", "db"), restart("r2", "db")))
    broken = "UPDATE services SET state = '{}' WHERE name = 'db'"
    await store._writer.submit(lambda conn: conn.exec_driver_sql(broken))
    await store._writer.submit(lambda conn: conn.exec_driver_sql("UPDATE outbox SET body = 'x' WHERE service = 'db'"))
    found = await store.load()
    assert found["photos"].state == down()
    assert (found["db"].version, found["db"].state.incident) == (1, None)
    waiting = {item.command.key: item.command for item in await store.pending()}
    assert set(waiting) == {"n1", "r1", "n2"}  # the page without its text still goes out, the restart does not
    assert "could not be read" in getattr(waiting["n2"], "title", "")
    await store.close()


async def test_a_disk_that_hangs_is_noticed_and_what_had_not_begun_is_never_done(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}", patience=0.2)
    await store.load()
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()
    release = threading.Event()

    def hang(_conn: Connection) -> None:
        loop.call_soon_threadsafe(hanging.set)
        release.wait(5)

    stuck = asyncio.ensure_future(store._writer.submit(hang))
    await hanging.wait()
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await store.commit("photos", 0, decided())
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await stuck
    release.set()
    assert await store._writer.submit(load, writes=False) == {}
    await store.close()


async def test_an_agent_that_was_held_up_itself_does_not_blame_the_disk(path: Path) -> None:
    """Stopped for a while (SIGSTOP, a machine that was paused), it finds its own write unanswered, and long overdue."""
    store = SqlStore(f"sqlite:///{path}", patience=1.0)
    await store.load()
    release = threading.Event()

    def slow(_conn: Connection) -> str:
        release.wait(10)
        return "done"

    waiting = asyncio.ensure_future(store._writer.submit(slow))
    await asyncio.sleep(0)
    held_up(1.5)
    await asyncio.sleep(0.1)  # the look that was due meanwhile
    assert not waiting.done()
    release.set()
    assert await waiting == "done"
    await store.close()


def held_up(seconds: float) -> None:
    """Nothing of the loop runs."""
    time.sleep(seconds)


async def test_reading_many_waiting_messages_shows_signs_of_life_so_that_it_is_not_taken_for_a_disk_that_hangs(
    path: Path,
) -> None:
    store = SqlStore(f"sqlite:///{path}")
    many, signs = 5_000, 0

    def alive() -> None:
        nonlocal signs
        signs += 1

    await store.commit("photos", 0, decided(down(), *(notice(f"n{n}") for n in range(many))))
    store._writer.alive = alive  # type: ignore[method-assign]
    assert len((await store.snapshot()).commands) == many
    assert signs >= many // CHUNK
    signs = 0
    assert len(await store.pending()) == many
    assert signs >= many // CHUNK
    await store.close()


async def test_the_file_is_for_its_owner_only_and_written_through(path: Path) -> None:
    store = await a_store_with_one_service(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2)):
        query = f"PRAGMA {pragma}"
        assert await store._writer.submit(lambda conn, q=query: conn.exec_driver_sql(q).scalar()) == value
    await store.close()


async def test_a_closed_store_is_unavailable(path: Path) -> None:
    store = await a_store_with_one_service(path)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.load()
    assert not Path(f"{path}-wal").exists()


async def test_a_thousand_starts_leave_the_rows_as_they_were(path: Path) -> None:
    store = await a_store_with_one_service(path)
    for start in range(1000):
        await store.set_note("alive", str(start))
        if start % 100 == 0:
            await store.close()
            store = SqlStore(f"sqlite:///{path}")
            await store.load()
    await store.close()
    with sqlite3.connect(path) as other:
        tables = ("meta", "services", "outbox", "timeline", "runs", "beats", "notes")
        counts = [other.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    other.close()
    assert counts == [2, 1, 2, 0, 0, 0, 1]


async def test_a_purge_takes_at_most_500_rows_of_a_table_at_a_time(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}")
    await store.commit("photos", 0, told(*(event(f"e{i}", seconds=i) for i in range(1200))))
    assert [await store.purge(at(5000)) for _ in range(4)] == [500, 500, 200, 0]
    await store.close()
