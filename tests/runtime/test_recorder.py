"""The live row of a check, and its history as runs of equal verdicts."""

from collections.abc import Iterable
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckRow, Run, StoreUnavailable
from agent.runtime.recorder import REMEMBERED, Recorder, heartbeat
from agent.stores.memory import MemoryStore
from tests.core.story import FAIL, PASS, UNKNOWN, WARN, at, result


class Moody(MemoryStore):
    """A store that is away while it is told to be."""

    away = False

    async def save_runs(self, runs: Iterable[Run]) -> None:
        if self.away:
            raise StoreUnavailable("full")
        await super().save_runs(runs)


def row() -> CheckRow:
    return CheckRow(service="api", check="http", type="http")


def record(recorder: Recorder, one: CheckRow, *verdicts: Verdict, start: int = 0) -> None:
    for number, verdict in enumerate(verdicts):
        recorder.record(one, result(verdict, start + number * 10))


async def stored(store: MemoryStore) -> list[tuple[str, int]]:
    return [(run.verdict.value, run.count) for run in await store.runs("api", "http", since=at(-1))]


def test_the_row_shows_the_last_run_and_counts_them_all() -> None:
    one = row()
    record(Recorder(MemoryStore()), one, PASS, WARN, FAIL, FAIL, UNKNOWN)
    assert one.runs == [1, 1, 2, 1]
    assert (one.verdict, one.reason, one.at) == (UNKNOWN, "local", at(40).timestamp())
    assert one.took == 0.003


def test_misses_count_fails_in_a_row_and_unknown_changes_nothing() -> None:
    one, recorder = row(), Recorder(MemoryStore())
    record(recorder, one, PASS, FAIL, FAIL, UNKNOWN)
    assert one.misses == 2
    record(recorder, one, FAIL)
    assert one.misses == 3
    record(recorder, one, WARN)
    assert one.misses == 0


async def test_a_run_is_stored_when_another_verdict_ends_it() -> None:
    store = MemoryStore()
    one, recorder = row(), Recorder(store)
    record(recorder, one, PASS, PASS, PASS, FAIL, FAIL)
    await recorder.flush()
    assert await stored(store) == [("pass", 3)]
    record(recorder, one, PASS, start=50)
    await recorder.flush()
    assert await stored(store) == [("pass", 3), ("fail", 2)]
    first = (await store.runs("api", "http", since=at(-1)))[0]
    assert (first.first_at, first.last_at) == (at(0), at(20))


async def test_another_reason_ends_a_run_too() -> None:
    store = MemoryStore()
    one, recorder = row(), Recorder(store)
    record(recorder, one, FAIL)
    later = CheckResult(verdict=FAIL, reason="timeout", summary="", at=at(10), took=timedelta(0))
    recorder.record(one, later)
    await recorder.close([one])
    assert [run.reason for run in await store.runs("api", "http", since=at(-1))] == ["refused", "timeout"]


async def test_runs_wait_while_the_store_is_away_and_are_stored_once() -> None:
    store = Moody()
    one, recorder = row(), Recorder(store)
    store.away = True
    record(recorder, one, PASS, FAIL, PASS)
    await recorder.flush()
    await recorder.flush()
    store.away = False
    await recorder.flush()
    await recorder.flush()
    assert await stored(store) == [("pass", 1), ("fail", 1)]


async def test_a_clean_end_stores_the_runs_that_still_go_on_and_none_of_a_check_that_never_ran() -> None:
    store = MemoryStore()
    one, recorder = row(), Recorder(store)
    record(recorder, one, PASS, PASS)
    await recorder.close([one, CheckRow(service="api", check="never", type="http")])
    assert await stored(store) == [("pass", 2)]


@given(st.lists(st.sampled_from([PASS, WARN, FAIL, UNKNOWN]), max_size=60))
def test_stored_runs_add_up_to_what_was_seen(verdicts: list[Verdict]) -> None:
    import asyncio

    async def story() -> None:
        store = MemoryStore()
        one, recorder = row(), Recorder(store)
        record(recorder, one, *verdicts)
        await recorder.close([one])
        runs = await store.runs("api", "http", since=at(-1))
        assert [run.verdict for run in runs for _ in range(run.count)] == verdicts
        assert sum(one.runs) == len(verdicts)

    asyncio.run(story())


@given(st.lists(st.sampled_from(list(Verdict)), max_size=60))
def test_the_strip_shows_the_last_runs_of_each_check_the_newest_last(verdicts: list[Verdict]) -> None:
    one, other = row(), CheckRow(service="api", check="tcp", type="tcp")
    record(Recorder(MemoryStore()), one, *verdicts)
    marks = {PASS: "▮", WARN: "▪", FAIL: "▯", UNKNOWN: "?"}
    shown = "".join(marks[verdict] for verdict in verdicts[-REMEMBERED:])
    assert heartbeat([one, other]) == (f"http {shown}" if verdicts else "")


def test_a_check_that_always_passes_keeps_no_number_for_its_strip() -> None:
    one = row()
    record(Recorder(MemoryStore()), one, *[PASS] * 100)
    assert one.tail == 0
    assert heartbeat([one]) == "http " + "▮" * REMEMBERED
