"""The embedded log store: what goes in comes out, and no trouble with its file reaches the agent."""

import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.logs import schema
from agent.logs.query import tail
from agent.logs.store import LogStore
from tests.logs.conftest import Said
from tests.logs.lines import NOW, line

Make = Callable[..., LogStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.db"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    made: list[LogStore] = []

    def begin(**options: object) -> LogStore:
        store = LogStore(path, **{"now": lambda: NOW, **options})  # type: ignore[arg-type]
        store.start()
        made.append(store)
        return store

    yield begin
    for store in made:
        store.close(1.0)


def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def texts(path: Path, lines: int = 100_000) -> list[str]:
    return [found.text for found in tail(path, lines=lines)]


def test_lines_come_back_as_they_went_in(make: Make, path: Path) -> None:
    lines = [
        line("plain", level=""),
        line("all of it", level="critical", trace_id="4bf92f", fields={"user": "42", "näme": "ü\n\"'"}, ago=-0.000001),
        line("日本語 \U0001f600 text", service="other", source="process:other", ago=-1),
    ]
    store = make()
    store.put(lines)
    assert store.flush(30)
    assert tail(path) == lines
    assert tail(path, "other") == [lines[2]]
    assert store.written == 3


def test_a_line_that_is_not_unicode_is_stored_with_question_marks(make: Make, path: Path) -> None:
    store = make()
    store.put([line("bad \udcff", source="file:/\udcff.log", fields={"k": "\udcff"})])
    assert store.flush(30)
    assert tail(path) == [line("bad ?", source="file:/?.log", fields={"k": "?"})]


def test_lines_get_into_the_file_without_being_asked(make: Make, path: Path) -> None:
    store = make()
    store.put([line("one")])
    until(lambda: store.written == 1)


def test_a_bunch_that_cannot_be_stored_at_all_is_dropped_alone_and_counted(make: Make, path: Path, said: Said) -> None:
    store = make()
    store.put([replace(line("x"), at="not a time")])  # type: ignore[arg-type]
    store.flush(30)
    assert store.dropped == 1
    assert [entry["event"] for entry in said] == ["log_lines_refused"]
    store.put([line("next")])
    assert store.flush(30)
    assert texts(path) == ["next"]


def test_positions_survive_with_the_lines_and_are_forgotten_on_none(make: Make, path: Path) -> None:
    store = make()
    store.put([line("one")], {"file:1:1": "10", "file:1:2": "20"})
    store.put([], {"file:1:2": None})
    store.close()
    assert LogStore(path).start() == {"file:1:1": "10"}


def test_only_the_owner_may_read_the_file(make: Make, path: Path) -> None:
    make()
    assert path.stat().st_mode & 0o077 == 0


def test_a_locked_file_delays_lines_and_loses_none(make: Make, path: Path, said: Said) -> None:
    store = make()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for n in range(10):
        store.put([line(str(n))])
    until(lambda: "locked" in store.trouble)
    assert store.queued == 10
    other.execute("COMMIT")
    other.close()
    until(lambda: store.written == 10)
    assert (store.trouble, store.dropped) == ("", 0)
    assert texts(path) == [str(n) for n in range(10)]
    assert [entry["event"] for entry in said] == ["log_store_unavailable", "log_store_recovered"]


def test_a_start_waits_for_who_has_the_file_locked_and_has_the_positions_then(path: Path, said: Said) -> None:
    """Without them lines would be lost or doubled. Another process that has the file for itself lets go of it."""
    first = LogStore(path)
    first.start()
    first.put([line("one")], {"file:1:1": "10"})
    first.close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.5, other.close)
    release.start()
    store = LogStore(path)
    assert store.start() == {"file:1:1": "10"}
    assert said == []
    release.join()
    store.close()


def test_who_has_no_patience_with_a_file_in_trouble_goes_on_as_soon_as_it_is(make: Make, path: Path) -> None:
    store = make()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.put([line("one")])
    began = time.monotonic()
    assert not store.flush(120, patient=False)
    assert time.monotonic() - began < 60
    other.execute("COMMIT")
    other.close()
    assert store.flush(60)


def test_a_deleted_file_is_begun_anew_with_the_positions(make: Make, path: Path) -> None:
    store = make()
    store.put([line("lost")], {"file:1:1": "10"})
    assert store.flush(30)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    store.put([line("kept")])
    until(lambda: store.written == 2)
    assert texts(path) == ["kept"]
    store.close()
    assert LogStore(path).start() == {"file:1:1": "10"}


def test_a_file_that_is_no_database_is_moved_aside(make: Make, path: Path) -> None:
    path.write_bytes(b"this is not a database, it is a letter to my aunt\n" * 100)
    store = make()
    store.put([line("one")])
    until(lambda: store.written == 1)
    assert texts(path) == ["one"]
    (aside,) = path.parent.glob("logs.db.corrupt-*")
    assert aside.read_bytes().startswith(b"this is not")


def test_a_file_that_goes_bad_while_it_is_used_is_moved_aside(make: Make, path: Path) -> None:
    store = make()
    store.put([line(f"old {n}") for n in range(2000)], {"file:1:1": "10"})
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    again = make()
    again.put([line("new")], {"file:1:2": "20"})
    until(lambda: again.written == 1)
    assert texts(path) == ["new"]
    assert len(list(path.parent.glob("logs.db.corrupt-*"))) == 1


def test_a_full_disk_drops_the_oldest_lines_counts_them_and_says_so_once(make: Make, path: Path, said: Said) -> None:
    """The limit on the size of files stands in for the disk: sqlite sees a write that fails."""
    store = make(most_queued=1000)
    store.put([line("before")])
    assert store.flush(30)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, hard))
    try:
        for n in range(60):
            store.put([line(f"{n} {'x' * 300}") for _ in range(50)], {"file:1:1": str(n)})
        until(lambda: store.trouble)
        assert store.queued <= 1000
        assert not store.full, "a broken store holds nobody up"
        time.sleep(1.2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry["event"] for entry in said] == ["log_store_unavailable"]
    until(lambda: not store.queued)
    assert store.dropped > 0
    assert store.written + store.dropped == 3001
    assert texts(path)[-1].startswith("59 ")
    store.close()
    assert LogStore(path).start() == {"file:1:1": "59"}


def test_lines_that_come_during_a_write_that_hangs_push_out_the_oldest_not_the_newest(make: Make, path: Path) -> None:
    """Half of what may wait is being written, at most; another connection's lock holds that up."""
    store = make(most_queued=1000)
    assert store.flush(30)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for n in range(20):
        store.put([line(f"{n}")] * 50)
    until(lambda: len(store._writing) > 0)
    for n in range(20, 40):
        store.put([line(f"{n}")] * 50)
    other.execute("COMMIT")
    other.close()
    assert store.flush(30)
    assert store.dropped > 0
    assert store.written + store.dropped == 2000
    assert texts(path)[-1] == "39"


def test_a_folder_that_is_missing_at_start_is_no_reason_to_stop(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "later" / "logs.db")
    assert store.start() == {}
    store.put([line("one")])
    until(lambda: store.trouble)
    store.path.parent.mkdir()
    until(lambda: store.written == 1)
    store.close()


def test_sources_that_can_wait_are_told_to_while_the_writer_is_behind(path: Path) -> None:
    store = LogStore(path, most_queued=100)  # its writer is not running
    store.put([line("x")] * 51)
    assert store.full
    assert store.queued == 51


def test_old_lines_are_deleted_in_chunks_and_are_not_found_any_more(make: Make, path: Path) -> None:
    store = make(retention=timedelta(hours=1), tidy_every=0.05)
    store.put([line(f"old{n}", ago=3601) for n in range(4500)])
    store.put([line("young", ago=3599)])
    assert store.flush(30)
    until(lambda: len(texts(path)) == 1)
    assert texts(path) == ["young"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM lines_words WHERE lines_words MATCH 'old17'").fetchone() == (0,)
    connection.execute("INSERT INTO lines_words(lines_words) VALUES ('integrity-check')")
    connection.close()


def test_the_file_stays_within_its_size_whatever_comes(make: Make, path: Path) -> None:
    limit = 2_000_000
    store = make(size=limit, tidy_every=0.02)
    for n in range(60):
        store.put([line(f"{n} {m} {'word ' * 30}") for m in range(500)])
        until(lambda: store.queued < 2000)
    until(lambda: not store.queued)
    connection = sqlite3.connect(path)
    until(lambda: schema.used_bytes(connection) <= limit)
    connection.close()
    left = texts(path)
    assert left[-1].startswith("59 499")
    assert 1000 < len(left) < 30_000
    until(lambda: path.stat().st_size < 2 * limit)


def test_other_threads_may_read_while_lines_come_in(make: Make, path: Path) -> None:
    store = make()
    for n in range(40):
        store.put([line(f"{n}")] * 100)
        tail(path)
    assert store.flush(30)
    assert len(texts(path)) == 4000
