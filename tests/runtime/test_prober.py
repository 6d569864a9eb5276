"""One run of one check: its turn, its time, its bugs, and nothing of it after the stop."""

import asyncio
from typing import Any, cast

import pytest

from agent.core.policy import CheckPolicy
from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, CheckRow, CheckType, Options, Tools
from agent.runtime.limits import Limits
from agent.runtime.probe import Probe
from agent.runtime.prober import Prober
from tests.virtual_time import in_virtual_time
from tests.world import Trace


class Nothing(Options):
    """No options."""


class Bench:
    """A prober, and what came out of it."""

    def __init__(self, total: int = 10, per_host: int = 10) -> None:
        self.limits = Limits(total, per_host)
        self.seen: list[tuple[str, CheckResult]] = []
        self.traced: list[bool] = []
        self.contexts: list[CheckContext] = []
        self.prober = Prober(cast(Tools, None), self.limits, self._trace, self._observe)

    def _trace(self, confirming: bool) -> Trace:
        self.traced.append(confirming)
        return Trace(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")

    def _observe(self, probe: Probe, result: CheckResult, began: float, trace: Trace) -> None:
        self.seen.append((probe.name, result))

    def probe(
        self, run: Any, *, name: str = "http", keeps_time: bool = False, host: str = "", timeout: float = 3.0
    ) -> Probe:
        async def kept(options: Nothing, context: CheckContext) -> CheckResult:
            self.contexts.append(context)
            return cast(CheckResult, await run(context))

        kind = CheckType(name="fake", options=Nothing, run=kept, about="", keeps_time=keeps_time)
        row = CheckRow(service="api", check=name, type="fake")
        return Probe("api", name, kind, Nothing(), timeout, CheckPolicy(), row, host=host)


async def passing(context: CheckContext) -> CheckResult:
    return context.passed("ok")


def taking(seconds: float) -> Any:
    async def run(context: CheckContext) -> CheckResult:
        await asyncio.sleep(seconds)
        return context.passed("ok")

    return run


def test_a_result_is_observed_with_its_check_and_the_check_is_free_again() -> None:
    async def story() -> None:
        bench = Bench()
        probe = bench.probe(passing)
        bench.prober.start(probe)
        assert probe.running
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [(name, result.verdict) for name, result in bench.seen] == [("http", Verdict.PASS)]
        assert not probe.running
        assert bench.limits.inside == 0

    in_virtual_time(story())


def test_a_check_never_overlaps_with_itself_and_what_was_skipped_is_counted() -> None:
    async def story() -> None:
        bench = Bench()
        skipped: list[float] = []
        bench.prober.skipped = lambda: skipped.append(asyncio.get_running_loop().time())
        probe = bench.probe(taking(2.5))
        for _ in range(3):
            bench.prober.start(probe)
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        assert len(bench.seen) == 1
        assert len(skipped) == 2

    in_virtual_time(story())


def test_a_removed_check_is_not_run() -> None:
    async def story() -> None:
        bench = Bench()
        probe = bench.probe(passing)
        probe.removed = True
        bench.prober.start_confirming(probe)
        await asyncio.sleep(1)
        assert bench.seen == []

    in_virtual_time(story())


def test_a_confirming_run_is_traced_in_full_and_hands_its_trace_on() -> None:
    async def story() -> None:
        bench = Bench()
        probe = bench.probe(passing)
        bench.prober.start(probe)
        await asyncio.sleep(1)
        bench.prober.start_confirming(probe)
        await asyncio.sleep(1)
        assert bench.traced == [False, True]
        assert bench.contexts[-1].traceparent.startswith("00-")

    in_virtual_time(story())


def test_a_target_that_does_not_answer_in_time_is_a_fail() -> None:
    async def story() -> None:
        bench = Bench()
        bench.prober.start(bench.probe(taking(1e6)))
        await asyncio.sleep(3.1)
        assert bench.seen[0][1].verdict is Verdict.FAIL
        assert bench.seen[0][1].reason == "timeout"
        assert bench.seen[0][1].summary == "no answer within 3 s"

    in_virtual_time(story())


def test_a_check_that_promised_to_keep_time_is_not_watched() -> None:
    async def story() -> None:
        bench = Bench()
        bench.prober.start(bench.probe(taking(10), keeps_time=True))
        await asyncio.sleep(11)
        assert bench.seen[0][1].verdict is Verdict.PASS

    in_virtual_time(story())


@pytest.mark.parametrize("error", [ValueError("bad"), KeyError("x"), AssertionError(), RuntimeError("loop")])
def test_an_exception_out_of_a_check_is_our_bug_and_never_the_targets_fault(error: Exception) -> None:
    async def story() -> None:
        async def crash(_: CheckContext) -> CheckResult:
            raise error

        bench = Bench()
        probe = bench.probe(crash)
        bench.prober.start(probe)
        await asyncio.sleep(1)
        assert bench.seen[0][1].verdict is Verdict.UNKNOWN
        assert bench.seen[0][1].reason == "bug"
        assert type(error).__name__ in bench.seen[0][1].summary
        assert not probe.running
        assert bench.limits.inside == 0

    in_virtual_time(story())


class TestPromise8ASlowTargetDelaysNobodyElse:
    def test_waiting_for_a_place_is_not_counted_as_the_targets_time(self) -> None:
        async def story() -> None:
            bench = Bench(total=1)
            bench.prober.start(bench.probe(taking(2.9), name="first"))
            bench.prober.start(bench.probe(taking(2.9), name="second"))
            await asyncio.sleep(10)
            assert [(name, result.verdict) for name, result in bench.seen] == [
                ("first", Verdict.PASS),
                ("second", Verdict.PASS),
            ]

        in_virtual_time(story())

    def test_the_time_without_a_place_is_told_as_lateness(self) -> None:
        async def story() -> None:
            bench = Bench(total=1)
            waited: list[float] = []
            bench.prober.waited = waited.append
            for number in range(3):
                bench.prober.start(bench.probe(taking(2), name=f"c{number}"))
            await asyncio.sleep(10)
            assert waited == pytest.approx([2.0, 4.0], abs=0.01), "who was let in at once was not late"

        in_virtual_time(story())

    def test_a_host_that_hangs_holds_up_only_its_own_checks(self) -> None:
        async def story() -> None:
            bench = Bench(total=100, per_host=2)
            for number in range(20):
                bench.prober.start(bench.probe(taking(1e6), name=f"hung-{number}", host="10.0.0.1"))
            for number in range(20):
                bench.prober.start(bench.probe(passing, name=f"well-{number}", host=f"10.0.1.{number}"))
            await asyncio.sleep(0.01)
            assert {name for name, _ in bench.seen} == {f"well-{number}" for number in range(20)}

        in_virtual_time(story())

    def test_a_check_that_waits_for_its_place_is_not_queued_a_second_time(self) -> None:
        async def story() -> None:
            bench = Bench(total=1)
            bench.prober.start(bench.probe(taking(2), name="first"))
            late = bench.probe(passing, name="late")
            for _ in range(5):
                bench.prober.start(late)
            assert bench.limits.waiting <= 1
            await asyncio.sleep(5)
            assert [name for name, _ in bench.seen] == ["first", "late"]

        in_virtual_time(story())


class TestTheStop:
    def test_what_is_running_is_given_up_unobserved_and_no_place_stays_taken(self) -> None:
        async def story() -> None:
            bench = Bench(total=2, per_host=1)
            probes = [bench.probe(taking(60), name=f"c{n}", host="h", timeout=100) for n in range(5)]
            for each in probes:
                bench.prober.start(each)
            await asyncio.sleep(1)
            assert bench.limits.waiting == 4
            await bench.prober.stop()
            assert bench.seen == []
            assert bench.limits.inside == 0
            assert bench.limits.try_enter("h"), "the place of the one that was given up is free"

        in_virtual_time(story())

    def test_a_confirming_run_that_was_asked_for_before_the_stop_does_not_begin_after_it(self) -> None:
        """It would find the agent's own children stopped, and page about that at the next start."""

        async def story() -> None:
            bench = Bench()
            probe = bench.probe(passing)
            asyncio.get_running_loop().call_later(2, bench.prober.start_confirming, probe)
            await bench.prober.stop()
            await asyncio.sleep(5)
            assert bench.seen == []

        in_virtual_time(story())
