"""When checks run: slots on a grid of the wall clock, whatever happens to that clock."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.policy import CheckPolicy
from agent.core.result import CheckResult
from agent.core.schedule import phase
from agent.ports import CheckContext, CheckRow, CheckType, Options
from agent.runtime.calendar import CronSlots
from agent.runtime.clock import Clock
from agent.runtime.probe import Probe
from agent.runtime.scheduler import FIRST_ROUND, Scheduler
from tests.processes import eventually
from tests.virtual_time import in_virtual_time

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


async def nothing() -> None:
    """A chore without work."""


class Nothing(Options):
    """No options."""


async def _run(_: Nothing, context: CheckContext) -> CheckResult:
    return context.passed("ok")


KIND = CheckType(name="fake", options=Nothing, run=_run, about="")


def probe(name: str, every: float | None = 10.0, cron: tuple[str, str] | None = None) -> Probe:
    return Probe(
        "api",
        name,
        KIND,
        Nothing(),
        3.0,
        CheckPolicy(),
        CheckRow(service="api", check=name, type="fake"),
        every=timedelta(seconds=every) if every and cron is None else None,
        cron=cron,
    )


class Bench:
    """A scheduler whose clock the test moves, and what it started and how late."""

    def __init__(self) -> None:
        self.wall = NOON.timestamp()
        self.mono = 1000.0
        self.started: list[str] = []
        self.lateness: list[tuple[float, int]] = []
        self.scheduler = Scheduler(
            Clock(lambda: self.wall, lambda: self.mono),
            lambda each: self.started.append(each.name),
            lambda seconds, count: self.lateness.append((seconds, count)),
        )

    @property
    def jobs(self) -> list[Any]:
        return list(self.scheduler._aps.get_jobs())

    @property
    def next(self) -> dict[str, datetime]:
        """The next moment of each job, as a running scheduler would have it."""
        self.scheduler.realign()
        return {job.id: job.next_run_time for job in self.jobs}

    def passes(self, seconds: float, *, step: float = 0.0) -> None:
        self.mono += seconds
        self.wall += seconds + step

    async def fire(self) -> None:
        for job in self.jobs:
            await job.func(*job.args)


def same_slot(count: int, every: float) -> list[Probe]:
    """So many checks whose names fall into one phase."""
    span = timedelta(seconds=every)
    wanted = phase("api/a0", span)
    found = [probe(f"a{n}", every) for n in range(count * 2000) if phase(f"api/a{n}", span) == wanted]
    assert len(found) >= count
    return found[:count]


def test_checks_of_one_interval_and_phase_are_one_job_that_starts_them_all() -> None:
    async def story() -> None:
        bench = Bench()
        bench.scheduler.add(same_slot(5, 10))
        assert len(bench.jobs) == 1
        await bench.fire()
        assert len(bench.started) == 5
        assert bench.lateness[0][1] == 5

    in_virtual_time(story())


def test_a_large_slot_starts_its_checks_in_groups_within_a_tenth_of_a_second() -> None:
    async def story() -> None:
        bench = Bench()
        bench.scheduler.add(same_slot(60, 10))
        firing = asyncio.ensure_future(bench.fire())
        await asyncio.sleep(0)
        assert len(bench.started) == 25
        await asyncio.sleep(0.099)
        assert firing.done()
        assert len(set(bench.started)) == len(bench.started) == 60
        assert [count for _, count in bench.lateness] == [60]

    in_virtual_time(story())


def test_a_phase_is_the_same_after_a_restart_of_the_agent() -> None:
    async def story() -> None:
        first, second = Bench(), Bench()
        second.passes(12_345.678)
        for bench in (first, second):
            bench.scheduler.add([probe("http"), probe("tcp", 60), probe("disk", 3600)])
        offsets = [
            {name: moment.timestamp() % float(name.split("/")[1]) for name, moment in bench.next.items()}
            for bench in (first, second)
        ]
        assert offsets[0] == pytest.approx(offsets[1], abs=1e-4)
        assert len(offsets[0]) == 3

    in_virtual_time(story())


def test_every_next_moment_is_within_one_interval() -> None:
    async def story() -> None:
        bench = Bench()
        bench.scheduler.add(probe(f"c{n}", every) for n, every in enumerate((0.5, 1, 10, 60, 3600, 86_400, 604_800)))
        for name, moment in bench.next.items():
            every = float(name.split("/")[1])
            assert NOON <= moment <= NOON + timedelta(seconds=every)

    in_virtual_time(story())


def test_slots_of_a_week_are_told_apart_to_the_tenth_of_a_second() -> None:
    """Six significant digits would make one id of two phases, and the scheduler would refuse the second."""

    async def story() -> None:
        bench = Bench()
        bench.scheduler.add(probe(f"weekly-{n}", 604_800) for n in range(3000))
        assert len(bench.jobs) == len({phase(f"api/weekly-{n}", timedelta(days=7)) for n in range(3000)})

    in_virtual_time(story())


def test_a_check_that_is_removed_runs_no_more_and_its_empty_slot_goes() -> None:
    async def story() -> None:
        bench = Bench()
        kept, gone = same_slot(2, 10)
        bench.scheduler.add([kept, gone])
        bench.scheduler.remove([gone])
        await bench.fire()
        assert bench.started == [kept.name]
        bench.scheduler.remove([kept])
        assert bench.jobs == []
        bench.scheduler.remove([kept])  # twice is harmless
        bench.scheduler.add([kept])
        assert len(bench.jobs) == 1

    in_virtual_time(story())


def test_a_check_whose_interval_changes_leaves_its_old_slot() -> None:
    async def story() -> None:
        bench = Bench()
        before, after = probe("http", 10), probe("http", 5)
        bench.scheduler.add([before])
        bench.scheduler.remove([before])
        bench.scheduler.add([after])
        assert [job.id.split("/")[1] for job in bench.jobs] == ["5.0"]

    in_virtual_time(story())


class TestPromise8LatenessIsMeasuredAndAClockStepIsNoSecondRun:
    def test_a_slot_fires_once_when_the_clock_is_set_back_onto_a_moment_it_has_had(self) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("http")])
            await bench.fire()
            bench.passes(1, step=-5)
            bench.scheduler.realign()
            await bench.fire()
            assert bench.started == ["http"]
            bench.passes(9)
            await bench.fire()
            assert bench.started == ["http", "http"]

        in_virtual_time(story())

    @pytest.mark.parametrize("hours", [-24 * 365, -1, 1, 24 * 365])
    def test_no_job_waits_for_longer_than_its_interval_after_a_step(self, hours: int) -> None:
        """The agent's own chores too: they see that the store is back and that sight returns."""

        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("http"), probe("slow", 3600), probe("report", cron=("*/10 * * * *", "UTC"))])
            bench.scheduler.add_chore("flush", timedelta(seconds=1), nothing)
            assert bench.next
            bench.passes(0.2, step=hours * 3600)
            bench.scheduler.realign()
            now = datetime.fromtimestamp(bench.wall, UTC)
            longest = {"slot": 3600, "cron": 600, "chor": 1}
            for job in bench.jobs:
                assert now <= job.next_run_time <= now + timedelta(seconds=longest[job.id[:4]])

        in_virtual_time(story())

    @pytest.mark.parametrize(("late", "told"), [(0.0, 0.0), (0.03, 0.03), (4.0, 4.0), (-0.01, 0.0)])
    def test_lateness_is_told_against_the_grid(self, late: float, told: float) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("http")])
            due = next(iter(bench.next.values())).timestamp()
            bench.wall = due + late
            await bench.fire()
            assert bench.lateness[0][0] == pytest.approx(told, abs=0.001)

        in_virtual_time(story())

    def test_a_whole_interval_that_was_missed_is_told_too(self) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("http")])
            bench.wall = next(iter(bench.next.values())).timestamp()
            await bench.fire()
            bench.passes(40)  # back on the grid, three runs later than it should be
            await bench.fire()
            assert bench.lateness[1][0] == pytest.approx(30, abs=0.001)

        in_virtual_time(story())

    async def test_a_real_scheduler_keeps_its_cadence(self) -> None:
        moments: list[float] = []
        clock = Clock()
        scheduler = Scheduler(clock, lambda _: moments.append(clock.now().timestamp()), lambda *_: None)
        scheduler.add([probe("quick", 0.1)])
        scheduler.start()
        await asyncio.sleep(1.25)
        await scheduler.stop()
        assert 11 <= len(moments) <= 14
        offset = phase("api/quick", timedelta(seconds=0.1)).total_seconds()
        behind = sorted((moment - offset) % 0.1 for moment in moments)
        assert behind[len(behind) // 2] < 0.03, "half of them are this near to the grid"
        count = len(moments)
        await asyncio.sleep(0.25)
        assert len(moments) == count, "nothing runs after the stop"


class TestTheFirstRound:
    def test_a_check_that_is_rarely_due_runs_once_soon_after_it_came(self) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add(probe(f"hourly-{n}", 3600) for n in range(200))
            await asyncio.sleep(FIRST_ROUND.total_seconds() / 2)
            assert 60 < len(bench.started) < 140, "spread, not at once"
            await asyncio.sleep(FIRST_ROUND.total_seconds() / 2)
            assert set(Counter(bench.started).values()) == {1}
            assert len(bench.started) == 200

        in_virtual_time(story())

    def test_one_whose_own_slot_comes_soon_needs_none(self) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("http", 10), probe("quick", 1)])
            await asyncio.sleep(60)
            assert bench.started == []

        in_virtual_time(story())

    def test_one_that_is_gone_before_its_first_run_never_has_it(self) -> None:
        async def story() -> None:
            bench = Bench()
            hourly = probe("hourly", 3600)
            bench.scheduler.add([hourly])
            hourly.removed = True
            bench.scheduler.remove([hourly])
            await asyncio.sleep(60)
            assert bench.started == []

        in_virtual_time(story())

    def test_none_comes_after_the_stop(self) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("hourly", 3600)])
            await bench.scheduler.stop()
            await asyncio.sleep(60)
            assert bench.started == []

        in_virtual_time(story())

    def test_a_check_by_the_calendar_waits_for_its_time(self) -> None:
        async def story() -> None:
            bench = Bench()
            bench.scheduler.add([probe("nightly", cron=("0 3 * * *", "UTC"))])
            await asyncio.sleep(60)
            assert bench.started == []

        in_virtual_time(story())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestChecksByTheCalendar:
    @pytest.mark.parametrize(
        ("expression", "zone", "after", "fires"),
        [
            pytest.param("0 3 * * *", "UTC", "2026-03-01T12:00", "2026-03-02T03:00", id="daily"),
            pytest.param("0 3 * * *", "UTC", "2026-03-01T03:00", "2026-03-02T03:00", id="not twice at its own moment"),
            pytest.param("0 3 * * 0", "UTC", "2026-03-02T00:00", "2026-03-08T03:00", id="day 0 is Sunday"),
            pytest.param("0 3 * * 7", "UTC", "2026-03-02T00:00", "2026-03-08T03:00", id="and so is day 7"),
            pytest.param("0 3 * * 1-5", "UTC", "2026-03-06T12:00", "2026-03-09T03:00", id="working days"),
            pytest.param("0 3 13 * 5", "UTC", "2026-03-02T00:00", "2026-03-06T03:00", id="the 13th or any Friday"),
            pytest.param("0 3 * * *", "Europe/Berlin", "2026-01-10T12:00", "2026-01-11T02:00", id="winter in Berlin"),
            pytest.param("0 3 * * *", "Europe/Berlin", "2026-07-10T12:00", "2026-07-11T01:00", id="summer in Berlin"),
            pytest.param("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00", id="skipped in spring"),
            pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30", id="first in autumn"),
            pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30", id="and only once"),
            pytest.param("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:59", "2026-10-25T01:00", id="doubled hour"),
        ],
    )
    def test_the_next_moment_is_crontabs(self, expression: str, zone: str, after: str, fires: str) -> None:
        trigger = CronSlots(expression, zone)
        assert trigger.get_next_fire_time(None, utc(after)) == utc(fires)
        assert trigger.get_next_fire_time(utc(after), utc(after)) == utc(fires)

    def test_of_what_was_missed_only_the_next_comes(self) -> None:
        trigger = CronSlots("0 * * * *", "UTC")
        assert trigger.get_next_fire_time(utc("2026-03-01T01:00"), utc("2026-03-09T12:30")) == utc("2026-03-09T13:00")

    def test_a_calendar_check_is_started_and_can_be_removed(self) -> None:
        async def story() -> None:
            bench = Bench()
            nightly = probe("nightly", cron=("0 3 * * *", "UTC"))
            bench.scheduler.add([nightly])
            await bench.fire()
            assert bench.started == ["nightly"]
            bench.scheduler.remove([nightly])
            assert bench.jobs == []

        in_virtual_time(story())


async def test_a_chore_that_takes_longer_than_its_interval_is_late_and_nobody_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench, runs, release = Bench(), [], asyncio.Event()

    async def slow() -> None:
        runs.append(1)
        await release.wait()

    bench.scheduler.add_chore("slow", timedelta(milliseconds=20), slow)
    bench.scheduler.start()
    await asyncio.sleep(0.2)
    assert len(runs) == 1
    release.set()
    await eventually(lambda: len(runs) > 1)
    await bench.scheduler.stop()
    assert caplog.text == ""


async def test_a_chore_that_fails_is_told_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    bench, runs = Bench(), []

    async def fails() -> None:
        runs.append(1)
        raise LookupError("a bug")

    bench.scheduler.add_chore("fails", timedelta(milliseconds=20), fails)
    bench.scheduler.start()
    await eventually(lambda: len(runs) > 2)
    await bench.scheduler.stop()
    assert "a bug" in caplog.text


async def test_a_chore_that_is_under_way_comes_to_its_end_when_the_agent_stops() -> None:
    bench, begun, done = Bench(), asyncio.Event(), []

    async def save() -> None:
        begun.set()
        await asyncio.sleep(0.1)
        done.append("saved")

    bench.scheduler.add_chore("save", timedelta(milliseconds=20), save)
    bench.scheduler.start()
    await begun.wait()
    await bench.scheduler.stop(5.0)
    assert done == ["saved"]
    await asyncio.sleep(0.1)
    assert done == ["saved"], "nothing is begun any more"


async def test_a_stop_waits_no_longer_than_its_grace_and_what_it_cuts_off_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench, begun = Bench(), asyncio.Event()

    async def hangs() -> None:
        begun.set()
        await asyncio.Event().wait()

    bench.scheduler.add_chore("hangs", timedelta(milliseconds=20), hangs)
    bench.scheduler.start()
    await begun.wait()
    async with asyncio.timeout(5):
        await bench.scheduler.stop(0.05)
        await asyncio.sleep(0.05)
    assert caplog.text == ""
