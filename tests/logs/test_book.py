"""The pipeline as checks, pages and metrics see it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.logs.book import Logs
from agent.logs.query import search
from agent.logs.store import LogStore
from agent.ports import LogBook, LogLine, LogSpec
from tests.logs.conftest import Said
from tests.logs.lines import NOW, line

Counts = Counter[tuple[str, str, str]]


@pytest.fixture
def counts() -> Counts:
    return Counter()


@pytest.fixture
async def logs(tmp_path: Path, counts: Counts) -> AsyncIterator[Logs]:
    def on_count(service: str, source: str, level: str, n: int) -> None:
        counts[service, source, level] += n

    (tmp_path / "var").mkdir()
    book = Logs(LogStore(tmp_path / "logs.db"), on_count=on_count)
    yield book
    await book.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - figures of other threads
            await asyncio.sleep(0.01)


def texts(lines: list[LogLine]) -> list[str]:
    return [found.text for found in lines]


async def test_a_file_goes_all_the_way_to_counts_tail_and_search(logs: Logs, counts: Counts, tmp_path: Path) -> None:
    log = tmp_path / "var" / "app.log"
    await logs.start([LogSpec(service="photos", files=(str(tmp_path / "var" / "*.log"),))])
    log.write_text('{"level":"error","msg":"it broke","trace_id":"abc"}\nplain\n')
    await until(lambda: logs.store.written == 2)
    assert counts == {("photos", f"file:{log}", "error"): 1, ("photos", f"file:{log}", ""): 1}
    assert texts(await logs.tail("photos", before=datetime.now(UTC))) == ["it broke", "plain"]
    (hit,) = search(logs.store.path, "broke", service="photos")
    assert (hit.trace_id, hit.level, hit.source) == ("abc", "error", f"file:{log}")


async def test_a_supervised_process_feeds_raw_lines(logs: Logs, counts: Counts) -> None:
    await logs.start([])
    logs.feed_text("process:hello", "hello", b"ERROR it broke\n")
    logs.feed_text("process:hello", "hello", b"\n")
    assert counts == {("hello", "process:hello", "error"): 1}
    assert texts(await logs.tail("hello", before=datetime.now(UTC))) == ["ERROR it broke"]
    await until(lambda: logs.store.written == 1)


async def test_tail_is_of_one_service_and_up_to_a_moment_and_oldest_first(logs: Logs) -> None:
    await logs.start([])
    for n in range(10, 0, -1):
        logs.feed(line(str(n), ago=n))
        logs.feed(line("other", ago=n, service="other"))
    assert texts(await logs.tail("photos", before=NOW - timedelta(seconds=3), lines=3)) == ["5", "4", "3"]
    assert await logs.tail("photos", before=NOW, lines=0) == []
    assert await logs.tail("nobody", before=NOW) == []


async def test_tail_reaches_back_into_the_store_and_gives_nothing_twice(logs: Logs) -> None:
    await logs.start([])
    for n in range(200, 0, -1):
        logs.feed(line(str(n), ago=n))
    logs.feed(line("same", ago=0.5))
    logs.feed(line("same", ago=0.5))
    assert await asyncio.to_thread(logs.store.flush, 30)
    found = texts(await logs.tail("photos", before=NOW, lines=100))
    assert found == [*(str(n) for n in range(98, 0, -1)), "same", "same"]


async def test_tail_of_an_earlier_life_comes_from_the_store(tmp_path: Path) -> None:
    first = Logs(LogStore(tmp_path / "logs.db"))
    await first.start([])
    first.feed(line("before", ago=10))
    await first.stop()
    second = Logs(LogStore(tmp_path / "logs.db"))
    await second.start([])
    second.feed(line("after", ago=5))
    assert texts(await second.tail("photos", before=NOW)) == ["before", "after"]
    await second.stop()


async def test_tail_answers_at_once_also_when_the_store_is_broken(tmp_path: Path) -> None:
    logs = Logs(LogStore(tmp_path / "missing" / "logs.db"))
    await logs.start([])
    for n in range(30):
        logs.feed(line(str(n), ago=30 - n))
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        assert len(await logs.tail("photos", before=NOW, lines=20)) == 20
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05, "others on the machine may hold up some, not all"
    assert len(await logs.tail("photos", before=NOW, lines=40)) == 30
    (tmp_path / "missing").mkdir()
    await logs.stop()


async def test_matching_lines_are_counted_from_the_first_question_on(logs: Logs) -> None:
    await logs.start([])
    logs.feed_text("process:hello", "hello", "refused before")
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert logs.count("hello", "refused", since) == 0
    assert logs.last_match("hello", "refused") is None
    logs.feed_text("process:hello", "hello", "refused once")
    logs.feed_text("process:hello", "hello", "all well")
    logs.feed_text("process:other", "other", "refused elsewhere")
    assert logs.count("hello", "refused", since) == 1
    found = logs.last_match("hello", "refused")
    assert found is not None
    assert found.text == "refused once"


async def test_an_expression_that_is_none_is_said_once_and_counts_nothing(logs: Logs, said: Said) -> None:
    await logs.start([])
    assert [logs.count("x", "(", NOW), logs.count("x", "(", NOW)] == [0, 0]
    assert [entry["event"] for entry in said] == ["log_pattern_invalid"]
    assert logs.pattern_trouble("x", "(")
    assert not logs.pattern_trouble("x", "fine")


async def test_reconfiguring_goes_on_in_what_stays_and_begins_what_is_new(logs: Logs, tmp_path: Path) -> None:
    one, two = tmp_path / "var" / "one.log", tmp_path / "var" / "two.log"
    await logs.start([LogSpec(service="one", files=(str(one),))])
    one.write_text("1\n")
    two.write_text("2\n")
    await until(lambda: logs.store.queued + logs.store.written == 1)
    await logs.reconfigure([LogSpec(service="one", files=(str(one),)), LogSpec(service="two", files=(str(two),))])
    with one.open("a") as file:
        file.write("1 again\n")
    await until(lambda: logs.store.written == 3)
    assert texts(await logs.tail("one", before=datetime.now(UTC))) == ["1", "1 again"]
    assert texts(await logs.tail("two", before=datetime.now(UTC))) == ["2"]


async def test_the_store_in_a_watched_folder_is_not_read(logs: Logs, tmp_path: Path, said: Said) -> None:
    await logs.start([LogSpec(service="all", files=(str(tmp_path / "*"),))])
    (tmp_path / "app.txt").write_text("one\n")
    await until(lambda: logs.store.written)
    await asyncio.sleep(1.2)
    assert logs.store.written == 1
    assert {entry["event"] for entry in said} <= {"log_file_excluded"}


async def test_others_on_the_event_loop_are_not_kept_waiting_by_a_flood(logs: Logs, tmp_path: Path) -> None:
    log = tmp_path / "var" / "app.log"
    await logs.start([LogSpec(service="flood", files=(str(log),))])
    log.write_text("2026-11-21T09:00:00Z ERROR request 17 from 10.0.0.7 failed: connection refused\n" * 60_000)
    waits: list[float] = []
    while logs.store.queued + logs.store.written < 60_000:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append(time.perf_counter() - began)
    waits.sort()
    assert waits[len(waits) // 2] < 0.02


async def test_it_keeps_the_contract_of_the_log_book(logs: Logs) -> None:
    book: LogBook = logs
    assert await book.tail("nobody", before=NOW) == []
