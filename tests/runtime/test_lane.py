"""One channel's queue: urgency, pace, retries, silence on request, and taking back."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, tuples

from agent.core.commands import Notice, NoticeKind
from agent.ports import DeliveryError, Receipt
from agent.runtime.lane import AT_ONCE, Lane, LaneCalls
from agent.runtime.queue import Item
from tests.core.story import at
from tests.virtual_time import in_virtual_time


def notice(kind: NoticeKind, number: int = 1, incident: str = "api-1") -> Notice:
    return Notice(
        key=f"{incident}/{kind}/{number}",
        incident=incident,
        service="api",
        channel="oncall",
        kind=kind,
        title="api is down",
        summary="http: refused",
        at=at(0),
        opened_at=at(0),
    )


@dataclass
class Recorder:
    """A channel that fails as it is told to, and the outbox's end of a lane."""

    errors: list[DeliveryError] = field(default_factory=list)
    sent: list[tuple[float, str]] = field(default_factory=list)
    ends: list[tuple[str, str]] = field(default_factory=list)
    hang: float = 0.0
    unclaimable: set[str] = field(default_factory=set)

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        self.sent.append((asyncio.get_running_loop().time(), notice.key))
        await asyncio.sleep(self.hang)
        if self.errors:
            raise self.errors.pop(0)
        return Receipt(data={"ts": notice.key})

    async def verify(self) -> None: ...

    async def close(self) -> None: ...

    def calls(self) -> LaneCalls:
        async def claim(notice: Notice) -> bool:
            return notice.key not in self.unclaimable

        async def opening(notice: Notice) -> Receipt | None:
            return None

        async def end(what: str, notice: Notice) -> None:
            self.ends.append((what, notice.key))

        return LaneCalls(
            claim=claim,
            opening=opening,
            delivered=lambda notice, receipt, tries: end("delivered", notice),
            postponed=lambda notice, wait, error: end("postponed", notice),
            given_up=lambda notice, error: end("given_up", notice),
            retracted=lambda notice: end("retracted", notice),
        )

    def lane(self, per_second: float = 25.0) -> Lane:
        return Lane("oncall", self, per_second, self.calls())

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.sent]

    @property
    def gaps(self) -> list[float]:
        times = [moment for moment, _ in self.sent]
        return [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]


def refused(reason: str = "server", *, retryable: bool = True, retry_after: float | None = None) -> DeliveryError:
    return DeliveryError(reason, retryable=retryable, retry_after=retry_after)


def run(recorder: Recorder, *notices: Notice, for_seconds: float = 3600, per_second: float = 25.0) -> None:
    async def story() -> None:
        lane = recorder.lane(per_second)
        for item in notices:
            lane.put(item)
        await asyncio.sleep(for_seconds)
        await lane.stop()

    in_virtual_time(story())


class Stumbling(Lane):
    """A lane with a bug that shows once."""

    stumbled = False

    def _may_start(self, item: Item, now: float) -> float | None:
        if not self.stumbled:
            self.stumbled = True
            raise LookupError("nothing there")
        return super()._may_start(item, now)


def test_a_lane_that_crashes_goes_on() -> None:
    recorder = Recorder()

    async def story() -> None:
        lane = Stumbling("oncall", recorder, 25.0, recorder.calls())
        lane.put(notice(NoticeKind.OPENED))
        await asyncio.sleep(5)
        await lane.stop()

    in_virtual_time(story())
    assert recorder.ends == [("delivered", "api-1/opened/1")]


def test_a_page_goes_before_everything_that_was_queued_earlier() -> None:
    recorder = Recorder()
    updates = [notice(NoticeKind.UPDATE, number, incident=f"old-{number}") for number in range(1000)]
    run(
        recorder,
        *updates,
        notice(NoticeKind.NOTE),
        notice(NoticeKind.RESOLVED, incident="z"),
        notice(NoticeKind.OPENED),
    )
    assert recorder.keys[0] == "api-1/opened/1"
    assert recorder.keys[1] == "z/resolved/1"
    assert recorder.keys[-1] == "api-1/note/1"


def test_a_page_that_comes_while_a_crowd_is_being_sent_is_the_very_next() -> None:
    recorder = Recorder()

    async def story() -> None:
        lane = recorder.lane(per_second=25)
        for number in range(5000):
            lane.put(notice(NoticeKind.UPDATE, number, incident=f"old-{number}"))
        await asyncio.sleep(2)
        before = len(recorder.sent)
        lane.put(notice(NoticeKind.OPENED))
        await asyncio.sleep(0.05)
        assert recorder.keys[before : before + 2].count("api-1/opened/1") == 1
        await lane.stop()

    in_virtual_time(story())


def test_the_rate_is_kept() -> None:
    recorder = Recorder()
    run(recorder, *(notice(NoticeKind.NOTE, n, incident=f"i{n}") for n in range(100)), per_second=25)
    assert len(recorder.sent) == 100
    assert min(recorder.gaps) >= 0.04


def test_a_failing_delivery_is_tried_ten_times_with_doubling_waits_and_then_given_up() -> None:
    recorder = Recorder(errors=[refused() for _ in range(20)])
    run(recorder, notice(NoticeKind.OPENED))
    assert len(recorder.sent) == 10
    assert [round(gap) for gap in recorder.gaps] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert recorder.ends[-1] == ("given_up", "api-1/opened/1")


def test_an_error_that_no_retry_can_mend_is_given_up_at_once() -> None:
    recorder = Recorder(errors=[refused("auth", retryable=False)])
    run(recorder, notice(NoticeKind.OPENED))
    assert recorder.ends == [("given_up", "api-1/opened/1")]


def test_retry_after_silences_the_whole_channel_for_as_long_as_it_asked() -> None:
    recorder = Recorder(errors=[refused("rate_limited", retry_after=30)])

    async def story() -> None:
        lane = recorder.lane()
        lane.put(notice(NoticeKind.OPENED))
        await asyncio.sleep(1)
        lane.put(notice(NoticeKind.OPENED, 2, incident="b"))
        await asyncio.sleep(60)
        await lane.stop()

    in_virtual_time(story())
    assert recorder.gaps[0] >= 30
    assert sorted(key for what, key in recorder.ends if what == "delivered") == ["api-1/opened/1", "b/opened/2"]


def test_a_channel_that_never_answers_is_given_thirty_seconds_a_try() -> None:
    recorder = Recorder(hang=10_000)
    run(recorder, notice(NoticeKind.OPENED), for_seconds=70)
    assert recorder.gaps[0] == pytest.approx(31, abs=0.2)


def test_a_notice_that_was_taken_back_before_it_left_is_never_sent() -> None:
    recorder = Recorder(errors=[refused()])

    async def story() -> None:
        lane = recorder.lane()
        lane.put(notice(NoticeKind.OPENED))
        await asyncio.sleep(0.5)
        lane.cancel("api-1/opened/1")
        await asyncio.sleep(60)
        assert len(recorder.sent) == 1
        assert len(lane) == 0
        await lane.stop()

    in_virtual_time(story())


def test_a_notice_that_fails_after_it_was_taken_back_is_retracted_not_retried() -> None:
    recorder = Recorder(errors=[refused()], hang=5)

    async def story() -> None:
        lane = recorder.lane()
        lane.put(notice(NoticeKind.OPENED))
        await asyncio.sleep(1)
        lane.cancel("api-1/opened/1")
        await asyncio.sleep(60)
        assert recorder.ends == [("retracted", "api-1/opened/1")]
        await lane.stop()

    in_virtual_time(story())


def test_a_closing_message_waits_for_its_opening_one() -> None:
    recorder = Recorder(errors=[refused()])
    run(recorder, notice(NoticeKind.RESOLVED, 2), notice(NoticeKind.OPENED))
    assert [key for what, key in recorder.ends if what == "delivered"] == ["api-1/opened/1", "api-1/resolved/2"]


def test_what_the_store_says_is_not_ours_is_not_sent() -> None:
    recorder = Recorder(unclaimable={"api-1/opened/1"})
    run(recorder, notice(NoticeKind.OPENED))
    assert recorder.sent == []


def test_the_same_key_is_queued_once() -> None:
    recorder = Recorder()
    run(recorder, notice(NoticeKind.OPENED), notice(NoticeKind.OPENED))
    assert recorder.keys == ["api-1/opened/1"]


def test_a_bug_in_a_channel_is_an_error_like_any_other() -> None:
    class Broken(Recorder):
        async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
            await super().send(notice, opening)
            raise KeyError("ts")

    recorder = Broken()
    run(recorder, notice(NoticeKind.OPENED))
    assert len(recorder.sent) == 10
    assert recorder.ends[-1][0] == "given_up"


def test_waits_are_told_to_whoever_stores_them() -> None:
    waits: list[timedelta] = []
    recorder = Recorder(errors=[refused(), refused("rate_limited", retry_after=7)])

    async def story() -> None:
        async def postponed(notice: Notice, wait: timedelta, error: DeliveryError) -> None:
            waits.append(wait)

        calls = recorder.calls()
        lane = Lane(
            "oncall",
            recorder,
            25,
            LaneCalls(
                claim=calls.claim,
                opening=calls.opening,
                delivered=calls.delivered,
                postponed=postponed,
                given_up=calls.given_up,
                retracted=calls.retracted,
            ),
        )
        lane.put(notice(NoticeKind.OPENED))
        await asyncio.sleep(60)
        await lane.stop()

    in_virtual_time(story())
    assert waits == [timedelta(seconds=1), timedelta(seconds=7)]


def on(channel: str, notice: Notice) -> Notice:
    return replace(notice, channel=channel, key=f"{notice.key}/{channel}")


class TestTheOrder:
    def test_nothing_of_an_incident_goes_before_its_page(self) -> None:
        recorder = Recorder(errors=[refused()])
        run(recorder, notice(NoticeKind.OPENED), notice(NoticeKind.UPDATE, 2), notice(NoticeKind.REMINDER, 3))
        done = [key for what, key in recorder.ends if what == "delivered"]
        assert done == ["api-1/opened/1", "api-1/reminder/3", "api-1/update/2"]

    def test_a_closing_message_waits_for_the_page_to_its_own_address_only(self) -> None:
        recorder = Recorder(errors=[refused() for _ in range(4)])

        async def story() -> None:
            lane = recorder.lane()
            lane.put(on("sms/bob", notice(NoticeKind.OPENED)))
            await asyncio.sleep(1.5)  # two tries of it have failed
            lane.put(on("sms/alice", notice(NoticeKind.RESOLVED, 2)))
            await asyncio.sleep(0.2)
            assert recorder.keys[-1] == "api-1/resolved/2/sms/alice", "which did not wait for bob's page"
            await lane.stop()

        in_virtual_time(story())

    def test_a_page_that_is_taken_back_holds_up_nothing(self) -> None:
        recorder = Recorder(errors=[refused(retry_after=500)])

        async def story() -> None:
            lane = recorder.lane()
            lane.put(notice(NoticeKind.OPENED))
            await asyncio.sleep(1)
            lane.put(notice(NoticeKind.RESOLVED, 2))
            await asyncio.sleep(1)
            assert recorder.keys == ["api-1/opened/1"]
            lane.cancel("api-1/opened/1")
            await asyncio.sleep(1)
            assert recorder.keys == ["api-1/opened/1", "api-1/resolved/2"]
            await asyncio.sleep(600)
            assert ("retracted", "api-1/opened/1") in recorder.ends
            assert len(lane) == 0
            await lane.stop()

        in_virtual_time(story())

    def test_messages_of_one_incident_go_one_at_a_time_and_those_of_others_meanwhile(self) -> None:
        recorder = Recorder(hang=5)

        async def story() -> None:
            lane = recorder.lane()
            for number in (1, 2):
                lane.put(notice(NoticeKind.NOTE, number))
            lane.put(notice(NoticeKind.NOTE, 1, incident="b"))
            await asyncio.sleep(2)
            assert recorder.keys == ["api-1/note/1", "b/note/1"]
            await asyncio.sleep(4)
            assert recorder.keys[-1] == "api-1/note/2"
            await lane.stop()

        in_virtual_time(story())


class TestUpdatesThatNobodyNeedsAnyMore:
    def test_of_several_that_had_to_wait_only_the_newest_goes(self) -> None:
        recorder = Recorder(errors=[refused("rate_limited", retry_after=60)])

        async def story() -> None:
            lane = recorder.lane()
            for number in range(1, 6):
                lane.put(notice(NoticeKind.UPDATE, number))
                await asyncio.sleep(1)
            await asyncio.sleep(120)
            await lane.stop()

        in_virtual_time(story())
        assert recorder.keys == ["api-1/update/1", "api-1/update/5"]
        retracted = sorted(key for what, key in recorder.ends if what == "retracted")
        assert retracted == [f"api-1/update/{number}" for number in range(1, 5)], "and each of them is accounted for"

    def test_all_that_come_at_once_go_while_nothing_holds_them_up(self) -> None:
        recorder = Recorder()
        run(recorder, *(notice(NoticeKind.UPDATE, number) for number in range(1, 5)))
        assert recorder.keys == [f"api-1/update/{number}" for number in range(1, 5)]

    def test_none_goes_after_the_closing_message(self) -> None:
        recorder = Recorder()
        run(recorder, notice(NoticeKind.UPDATE, 2), notice(NoticeKind.RESOLVED, 3))
        assert recorder.keys == ["api-1/resolved/3"]
        assert ("retracted", "api-1/update/2") in recorder.ends

    def test_only_those_of_the_same_incident_and_address_make_one_needless(self) -> None:
        recorder = Recorder(errors=[refused("rate_limited", retry_after=60)])
        run(
            recorder,
            notice(NoticeKind.UPDATE, 1, incident="z"),
            on("sms/alice", notice(NoticeKind.UPDATE, 2)),
            on("sms/bob", notice(NoticeKind.UPDATE, 2)),
            notice(NoticeKind.UPDATE, 2, incident="b"),
        )
        assert len([key for what, key in recorder.ends if what == "delivered"]) == 4

    def test_what_a_person_replays_after_the_end_goes(self) -> None:
        recorder = Recorder()

        async def story() -> None:
            lane = recorder.lane()
            lane.put(notice(NoticeKind.RESOLVED, 3))
            await asyncio.sleep(10)
            lane.put(notice(NoticeKind.UPDATE, 2))
            await asyncio.sleep(10)
            await lane.stop()

        in_virtual_time(story())
        assert recorder.keys == ["api-1/resolved/3", "api-1/update/2"]


class TestAPageIsNeverBehindAnUpdate:
    def test_a_hundred_thousand_queued_updates_delay_a_page_by_less_than_a_second(self) -> None:
        recorder = Recorder(hang=0.2)

        async def story() -> None:
            lane = recorder.lane(per_second=25)
            for number in range(100_000):
                lane.put(notice(NoticeKind.UPDATE, number, incident=f"i{number % 5000}"))
            await asyncio.sleep(3)
            asked = asyncio.get_running_loop().time()
            lane.put(notice(NoticeKind.OPENED))
            await asyncio.sleep(2)
            begun = next(moment for moment, key in recorder.sent if key == "api-1/opened/1")
            assert begun - asked <= 0.05, "on the channel's clock"
            await lane.stop()

        in_virtual_time(story())

    def test_a_crowd_of_updates_of_one_incident_costs_no_more_than_one_look_each(self) -> None:
        recorder = Recorder()

        async def story() -> float:
            lane = recorder.lane(per_second=25)
            for number in range(100_000):
                lane.put(notice(NoticeKind.UPDATE, number))
            began = time.process_time()
            await asyncio.sleep(2)
            lane.put(notice(NoticeKind.OPENED, incident="b"))
            await asyncio.sleep(0.1)
            spent = time.process_time() - began
            assert "b/opened/1" in recorder.keys
            await lane.stop()
            return spent

        assert in_virtual_time(story()) < 30, "seconds of CPU; looking at each for each would take hours"

    def test_a_page_does_not_wait_for_messages_that_hang(self) -> None:
        recorder = Recorder(hang=25)

        async def story() -> None:
            lane = recorder.lane()
            for number in range(100):
                lane.put(notice(NoticeKind.UPDATE, number, incident=f"i{number}"))
            await asyncio.sleep(5)
            assert len(recorder.sent) == AT_ONCE - 1
            lane.put(notice(NoticeKind.OPENED))
            await asyncio.sleep(0.1)
            assert recorder.keys[-1] == "api-1/opened/1"
            await lane.stop()

        in_virtual_time(story())

    def test_the_pace_is_kept_over_pages_and_the_rest_together(self) -> None:
        recorder = Recorder()
        pages = [notice(NoticeKind.OPENED, incident=f"p{number}") for number in range(50)]
        updates = [notice(NoticeKind.UPDATE, number, incident=f"u{number}") for number in range(50)]
        run(recorder, *updates, *pages, per_second=10)
        times = [moment for moment, _ in recorder.sent]
        for first in range(90):
            assert times[first + 10] - times[first] >= 0.9 - 1e-6, "never more than one early in any second"


def test_a_thousand_incidents_in_a_minute_are_accepted_within_a_second_each() -> None:
    """The 99th percentile from the decision to the channel's answer, on a channel that takes 200 ms for each."""
    recorder = Recorder(hang=0.2)
    asked: dict[str, float] = {}
    accepted: dict[str, float] = {}

    async def story() -> None:
        loop = asyncio.get_running_loop()
        calls = recorder.calls()

        async def delivered(notice: Notice, receipt: Receipt, tries: int) -> None:
            accepted[notice.key] = loop.time()

        lane = Lane("oncall", recorder, 25.0, replace(calls, delivered=delivered))
        random = Random(7)
        for moment in sorted(random.uniform(0, 60) for _ in range(1000)):
            await asyncio.sleep(max(0.0, 1_000_000.0 + moment - loop.time()))
            page = notice(NoticeKind.OPENED, incident=f"i{len(asked)}")
            asked[page.key] = loop.time()
            lane.put(page)
            lane.put(notice(NoticeKind.UPDATE, incident=f"i{len(asked) - 1}"))
        await asyncio.sleep(5)
        await lane.stop()

    in_virtual_time(story())
    took = sorted(accepted[key] - begun for key, begun in asked.items())
    assert len(took) == 1000
    assert took[989] <= 1.0


@given(
    lists(
        tuples(sampled_from(list(NoticeKind)), integers(1, 3), sampled_from(["sms/alice", "sms/bob"]), integers(0, 3)),
        max_size=30,
    ),
    lists(integers(0, 2), max_size=9),  # one that fails ten times is given up
)
def test_in_any_mixture_each_story_begins_with_its_page_and_nothing_is_lost(
    mixture: list[tuple[NoticeKind, int, str, int]], failures: list[int]
) -> None:
    errors = [refused(retry_after=float(wait * 3)) for wait in failures]
    recorder = Recorder(errors=errors, hang=0.3)
    notices = {n.key: n for kind, i, to, n_ in mixture for n in [on(to, notice(kind, n_, incident=f"i{i}"))]}

    async def story() -> int:
        lane = recorder.lane()
        for each in notices.values():
            lane.put(each)
            await asyncio.sleep(0.1)
        await asyncio.sleep(7200)
        await lane.stop()
        return len(lane)

    assert in_virtual_time(story()) == 0
    ends = [(what, key) for what, key in recorder.ends if what != "postponed"]
    assert sorted(key for _, key in ends) == sorted(notices), "each came to exactly one end"
    assert all(what == "delivered" or notices[key].kind is NoticeKind.UPDATE for what, key in ends)
    for key, each in notices.items():
        if each.kind is NoticeKind.RESOLVED:
            before = [k for _, k in ends[: ends.index(("delivered", key))]]
            queued_before = list(notices)[: list(notices).index(key)]
            pages = [k for k in queued_before if notices[k].kind is NoticeKind.OPENED]
            own = [k for k in pages if (notices[k].incident, notices[k].channel) == (each.incident, each.channel)]
            assert set(own) <= set(before), "its page went first"
