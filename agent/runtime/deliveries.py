"""What became of the last message of each channel; and test messages, which somebody waits for and no store knows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.core.commands import Notice
from agent.ports import Delivery, DeliveryError, Receipt
from agent.runtime.lane import Lane, LaneCalls, lane_of

TEST = "test"  # the kind under which they are counted and listed
ENOUGH = 3  # failures of one test that might pass by themselves, before that is the answer


@dataclass(slots=True)
class Trial:
    """A test message on its way: `receipt` once it is delivered, `error` of the last try that failed."""

    lane: str
    tries: int = 0
    error: DeliveryError | None = None
    receipt: Receipt | None = None
    given_up: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Deliveries:
    """Stands between the lanes and their outbox (`around`). `count` is told the ends of test messages: the channel and
    the outcome."""

    def __init__(self, now: Callable[[], datetime], count: Callable[[str, str], None]) -> None:
        self.last: dict[str, Delivery] = {}
        self._now = now
        self._count = count
        self._trials: dict[str, Trial] = {}
        self._calls: LaneCalls | None = None

    def around(self, calls: LaneCalls) -> LaneCalls:
        """The same calls, but that of a test message only this object hears."""
        self._calls = calls
        return LaneCalls(
            claim=self._claim,
            opening=self._opening,
            delivered=self._delivered,
            postponed=self._postponed,
            given_up=self._given_up,
            retracted=self._retracted,
        )

    def busy(self, lane: str) -> bool:
        """Whether a test of that channel is being waited for."""
        return any(trial.lane == lane and not trial.over.is_set() for trial in self._trials.values())

    async def send(self, lane: Lane, notice: Notice, within: float) -> Trial:
        """Queue it there and wait for its end, `within` seconds; what has not left by then is taken back. An error that
        might pass is tried again as always, but not for long."""
        trial = self._trials[notice.key] = Trial(lane.name)
        lane.put(notice)
        try:
            async with asyncio.timeout(within):
                await trial.over.wait()
        except TimeoutError:
            pass
        finally:
            trial.over.set()
            lane.cancel(notice.key)
        return trial

    def stop(self) -> None:
        """Nobody need wait any longer."""
        for trial in self._trials.values():
            trial.over.set()

    # ------------------------------------------------------------------------------------------ from the lanes

    async def _claim(self, notice: Notice) -> bool:
        trial = self._trials.get(notice.key)
        return not trial.over.is_set() if trial is not None else await self._rest.claim(notice)

    async def _opening(self, notice: Notice) -> Receipt | None:
        return None if notice.key in self._trials else await self._rest.opening(notice)

    async def _delivered(self, notice: Notice, receipt: Receipt, tries: int) -> None:
        self._note(notice, "delivered")
        trial = self._trials.pop(notice.key, None)
        if trial is None:
            await self._rest.delivered(notice, receipt, tries)
            return
        trial.receipt = receipt
        trial.over.set()

    async def _postponed(self, notice: Notice, wait: timedelta, error: DeliveryError) -> None:
        trial = self._trials.get(notice.key)
        if trial is None:
            self._note(notice, "retried", error)
            await self._rest.postponed(notice, wait, error)
            return
        trial.tries, trial.error = trial.tries + 1, error
        trial.given_up = error.reason != "rate_limited" and trial.tries >= ENOUGH
        self._note(notice, "dead" if trial.given_up else "retried", error)
        if trial.given_up:
            trial.over.set()

    async def _given_up(self, notice: Notice, error: DeliveryError) -> None:
        self._note(notice, "dead", error)
        trial = self._trials.pop(notice.key, None)
        if trial is None:
            await self._rest.given_up(notice, error)
            return
        trial.tries, trial.error, trial.given_up = trial.tries + 1, error, True
        trial.over.set()

    async def _retracted(self, notice: Notice) -> None:
        if self._trials.pop(notice.key, None) is None:
            await self._rest.retracted(notice)

    @property
    def _rest(self) -> LaneCalls:
        assert self._calls is not None
        return self._calls

    def _note(self, notice: Notice, outcome: str, error: DeliveryError | None = None) -> None:
        test, lane = notice.key in self._trials, lane_of(notice.channel)
        self.last[lane] = Delivery(
            at=self._now(),
            address=notice.channel,
            kind=TEST if test else notice.kind.value,
            outcome=outcome,
            error=f"{error.reason}: {error}" if error is not None else "",
        )
        if test:
            self._count(lane, outcome)
