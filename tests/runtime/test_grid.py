"""The moments at which slots and chores run."""

from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.grid import EPOCH, Grid

SECOND = timedelta(seconds=1)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("previous", "now", "expected"),
    [
        pytest.param(None, NOON, NOON, id="the first one may be now"),
        pytest.param(None, NOON + 0.1 * SECOND, NOON + 10 * SECOND, id="or the next one"),
        pytest.param(NOON, NOON, NOON + 10 * SECOND, id="never the same twice"),
        pytest.param(NOON, NOON + 3 * SECOND, NOON + 10 * SECOND, id="in time"),
        pytest.param(NOON, NOON + 33 * SECOND, NOON + 40 * SECOND, id="what was missed is left out"),
        pytest.param(
            NOON, NOON - timedelta(days=30), NOON + 10 * SECOND, id="a clock that went back: realign asks anew"
        ),
        pytest.param(None, NOON - timedelta(days=30), NOON - timedelta(days=30), id="as it does here"),
    ],
)
def test_the_next_moment(previous: datetime | None, now: datetime, expected: datetime) -> None:
    assert Grid(10 * SECOND).get_next_fire_time(previous, now) == expected


@given(
    every=st.timedeltas(min_value=timedelta(milliseconds=100), max_value=timedelta(days=7)),
    offset=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=7)),
    now=st.timedeltas(min_value=timedelta(days=400), max_value=timedelta(days=40_000)).map(EPOCH.__add__),
    before=st.none() | st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)),
)
def test_a_moment_lies_on_the_grid_soon_and_not_in_the_past(
    every: timedelta, offset: timedelta, now: datetime, before: timedelta | None
) -> None:
    previous = None if before is None else now + before
    found = Grid(every, offset).get_next_fire_time(previous, now)
    after = now if previous is None else max(now, previous)
    assert (found - EPOCH - offset) % every == timedelta(0)
    assert (found >= now) if previous is None else (found > after)
    assert found - after <= every


def test_a_job_that_missed_400_days_runs_once_and_at_once() -> None:
    job = Job(
        AsyncIOScheduler(timezone=UTC),
        id="x",
        func=print,
        args=(),
        kwargs={},
        trigger=Grid(SECOND),
        name="x",
        misfire_grace_time=None,
        coalesce=True,
        max_instances=1,
        next_run_time=NOON,
        executor="default",
    )
    begin = perf_counter()
    assert len(job._get_run_times(NOON + timedelta(days=400))) == 1
    assert perf_counter() - begin < 0.1
