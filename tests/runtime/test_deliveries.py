"""Test messages go through the real lanes and outbox and leave nothing behind; the last outcomes are known."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.core.commands import Notice, NoticeKind
from agent.core.events import Input
from agent.ports import DeliveryError, Receipt, Vitals
from agent.runtime.clock import Clock
from agent.runtime.outbox import Outbox
from agent.stores.memory import MemoryStore
from tests.core.story import START
from tests.virtual_time import in_virtual_time
from tests.world import FakeChannel

REFUSED = DeliveryError("auth", "invalid_auth", retryable=False)
AWAY = DeliveryError("network", "connection refused", retryable=True)


def limited(seconds: float) -> DeliveryError:
    return DeliveryError("rate_limited", "slow down", retryable=True, retry_after=seconds)


def a_page(channel: str) -> Notice:
    return Notice(
        key=f"api-1/{channel}/opened/1",
        incident="api-1",
        service="api",
        channel=channel,
        kind=NoticeKind.OPENED,
        title="api is down",
        summary="",
        at=START,
        opened_at=START,
    )


def a_test(number: int = 1) -> Notice:
    return Notice(
        key=f"test/oncall/{number}",
        incident="",
        service="codeblue",
        channel="oncall",
        kind=NoticeKind.NOTE,
        title="TEST",
        summary="",
        at=START,
        opened_at=START,
    )


@dataclass
class Hanging(FakeChannel):
    """Never answers tests; takes everything else."""

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        if notice.title == "TEST":
            await asyncio.sleep(1e6)
        return await super().send(notice, opening)


@dataclass
class Life:
    """An outbox with one channel, `per_second`, and what it told the core and the metrics."""

    channel: FakeChannel = field(default_factory=FakeChannel)
    per_second: float = 25.0
    store: MemoryStore = field(default_factory=MemoryStore)
    vitals: Vitals = field(default_factory=lambda: Vitals(started=START))
    told: list[tuple[str, Input]] = field(default_factory=list)
    counted: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(lambda: START.timestamp() + loop.time() - 1_000_000.0, loop.time)
        self.outbox = Outbox(
            clock=clock,
            store=self.store,
            vitals=self.vitals,
            report=lambda service, event: self.told.append((service, event)),
            counts=self,
        )
        self.outbox.use({"oncall": (self.channel, self.per_second)}, {})
        self.began = loop.time()

    def notice(self, channel: str, kind: str, outcome: str) -> None:
        self.counted.append((channel, kind, outcome))

    @property
    def elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self.began


def living(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    in_virtual_time(story())


def test_a_test_that_arrives_is_told_and_leaves_no_trace_in_store_or_core() -> None:
    async def story() -> None:
        life = Life()
        trial = await life.outbox.try_out(a_test(), 30)
        assert trial.receipt == Receipt(data={"key": "test/oncall/1"})
        assert (trial.tries, trial.error, trial.given_up) == (0, None, False)
        assert (life.told, await life.store.pending(), await life.store.dead_letters()) == ([], [], [])
        assert life.counted == [("oncall", "test", "delivered")]
        assert life.outbox.lanes.waiting() == 0

    living(story)


@pytest.mark.parametrize(
    ("errors", "tries", "given_up"),
    [
        pytest.param([REFUSED], 1, True, id="one that will not pass is the answer at once"),
        pytest.param([AWAY, AWAY, AWAY, AWAY], 3, True, id="one that might pass is tried again, but not for long"),
        pytest.param([AWAY, AWAY], 2, False, id="and has passed"),
        pytest.param([limited(5), limited(5), limited(5)], 3, False, id="a limit is waited for"),
    ],
)
def test_what_fails_is_tried_again_as_far_as_that_helps(
    errors: list[DeliveryError], tries: int, given_up: bool
) -> None:
    async def story() -> None:
        life = Life(FakeChannel(errors=deque(errors)))
        trial = await life.outbox.try_out(a_test(), 30)
        assert (trial.tries, trial.given_up, trial.receipt is not None) == (tries, given_up, not given_up)
        assert trial.error is errors[min(tries, len(errors)) - 1]
        await asyncio.sleep(600)
        assert len(life.channel.sent) == (0 if given_up else 1), "what was given up never comes"
        assert (life.vitals.dead_letters, await life.store.dead_letters(), life.told) == (0, [], [])
        assert life.outbox.deliveries.last["oncall"].outcome == ("dead" if given_up else "delivered")

    living(story)


def test_what_could_not_be_sent_in_time_is_taken_back_and_never_comes() -> None:
    async def story() -> None:
        life = Life(FakeChannel(errors=deque([limited(100)])))
        trial = await life.outbox.try_out(a_test(), 30)
        assert life.elapsed == pytest.approx(30)
        assert (trial.receipt, trial.given_up, trial.error and trial.error.reason) == (None, False, "rate_limited")
        assert not life.outbox.deliveries.busy("oncall"), "another one may be made"
        await asyncio.sleep(600)
        assert life.channel.sent == []
        assert life.outbox.lanes.waiting() == 0

    living(story)


def test_a_test_keeps_the_channels_pace_and_lets_pages_go_first() -> None:
    async def story() -> None:
        life = Life(per_second=1.0)
        pages = [
            Notice(
                key=f"api-{number}/oncall/opened/1",
                incident=f"api-{number}",
                service="api",
                channel="oncall",
                kind=NoticeKind.OPENED,
                title="api is down",
                summary="",
                at=START,
                opened_at=START,
            )
            for number in range(5)
        ]
        life.outbox.offer(pages)
        trial = await life.outbox.try_out(a_test(), 30)
        assert trial.receipt is not None
        assert [notice.title for notice in life.channel.sent] == ["api is down"] * 5 + ["TEST"]
        assert life.elapsed >= 4

    living(story)


def test_a_test_that_hangs_holds_up_no_page() -> None:
    async def story() -> None:
        life = Life(Hanging())
        trying = asyncio.get_running_loop().create_task(life.outbox.try_out(a_test(), 20))
        await asyncio.sleep(0.1)
        assert life.outbox.deliveries.busy("oncall")
        page = a_page("oncall")
        life.outbox.offer([page])
        await asyncio.sleep(1)
        assert life.channel.sent == [page]
        assert (await trying).receipt is None

    living(story)


def test_the_end_of_the_agent_ends_the_waiting() -> None:
    async def story() -> None:
        life = Life(Hanging())
        trying = asyncio.get_running_loop().create_task(life.outbox.try_out(a_test(), 20))
        await asyncio.sleep(1)
        await life.outbox.stop(grace=0.5)
        trial = await trying
        assert life.elapsed < 3
        assert (trial.receipt, trial.given_up) == (None, False)

    living(story)


def test_the_last_outcome_of_each_channel_is_that_of_any_message() -> None:
    async def story() -> None:
        life = Life(FakeChannel(errors=deque([AWAY])))
        page = a_page("oncall/alice")
        life.outbox.offer([page])
        await asyncio.sleep(0.5)
        last = life.outbox.deliveries.last["oncall"]
        assert (last.address, last.kind, last.outcome) == ("oncall/alice", "opened", "retried")
        assert last.error == "network: connection refused"
        await asyncio.sleep(10)
        last = life.outbox.deliveries.last["oncall"]
        assert (last.outcome, last.error) == ("delivered", "")
        assert len(life.told) == 1, "an ordinary message goes its ordinary way"

    living(story)
