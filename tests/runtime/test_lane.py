"""One channel's queue: urgency, pace, retries, silence on request, and taking back."""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from agent.core.model import Notice, NoticeKind
from agent.ports import DeliveryError, Receipt
from agent.runtime.lane import Lane, LaneCalls
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
    run(recorder, notice(NoticeKind.OPENED), notice(NoticeKind.OPENED, 2, incident="b"))
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
