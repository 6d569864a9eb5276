"""Notices at least once, restarts at most once: at every point at which the agent can die and the store can fail."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from agent.core.commands import Command, Notice, NoticeKind, Outcome, Restart
from agent.core.events import Decision, Input, NoticeDelivered, NoticeFailed, RestartFinished
from agent.core.notices import UNDELIVERED
from agent.core.state import Asked, Incident, ServiceState, Stage, Tried
from agent.ports import ActionOutcome, DeliveryError, Outgoing, Receipt, StoreUnavailable, Vitals
from agent.runtime.clock import Clock
from agent.runtime.outbox import Outbox
from agent.runtime.restarts import AT_ONCE, STALE_ORDER
from agent.stores.memory import MemoryStore
from tests.core.story import START, at
from tests.virtual_time import in_virtual_time
from tests.world import FakeChannel, FakeRemediator


def page(kind: NoticeKind = NoticeKind.OPENED, number: int = 1, channel: str = "oncall", note: str = "") -> Notice:
    return Notice(
        key=f"api-1/{channel}/{kind}/{number}",
        incident="api-1",
        service="api",
        channel=channel,
        kind=kind,
        title="api",
        summary="",
        at=START,
        opened_at=START,
        note=note,
    )


def order(number: int = 1, *, age: float = 0, service: str = "api") -> Restart:
    return Restart(
        key=f"{service}-1/restart/{number}",
        service=service,
        incident=f"{service}-1",
        action="process",
        attempt=number,
        at=START - timedelta(seconds=age),
    )


PAGE, ORDER = page(), order()


class Moody(MemoryStore):
    """A store whose methods of these names are unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()

    def _mind(self, what: str) -> None:
        if what in self.away:
            raise StoreUnavailable("disk full")

    async def claim(self, keys: Sequence[str], at: datetime) -> frozenset[str]:
        self._mind("claim")
        return await super().claim(keys, at)

    async def settle(
        self, key: str, at: datetime, *, receipt: Receipt | None = None, outcome: ActionOutcome | None = None
    ) -> None:
        self._mind("settle")
        await super().settle(key, at, receipt=receipt, outcome=outcome)

    async def postpone(self, key: str, due_at: datetime, error: str) -> None:
        self._mind("postpone")
        await super().postpone(key, due_at, error)

    async def bury(self, key: str, at: datetime, error: str) -> None:
        self._mind("bury")
        await super().bury(key, at, error)

    async def retract(self, key: str, at: datetime) -> None:
        self._mind("retract")
        await super().retract(key, at)

    async def opening(self, incident: str, channel: str) -> Receipt | None:
        self._mind("opening")
        return await super().opening(incident, channel)

    async def outgoing(self, keys: Sequence[str]) -> Any:
        self._mind("outgoing")
        return await super().outgoing(keys)


@dataclass
class Counted:
    """What was counted."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def notice(self, channel: str, kind: str, outcome: str) -> None:
        self.seen.append((kind, outcome))


class Life:
    """One life of the agent's outbox; the store, the channel and the remediator outlive it."""

    def __init__(self, store: Moody, channel: FakeChannel, remediator: FakeRemediator) -> None:
        loop = asyncio.get_running_loop()
        self.store, self.channel, self.remediator = store, channel, remediator
        self.told: list[tuple[str, Input]] = []
        self.counted = Counted()
        self.vitals = Vitals(started=START)
        clock = Clock(lambda: START.timestamp() + loop.time() - 1_000_000.0, loop.time)
        self.clock = clock
        self.outbox = Outbox(
            clock=clock,
            store=store,
            vitals=self.vitals,
            report=lambda service, event: self.told.append((service, event)),
            counts=self.counted,
        )
        self.outbox.use({"oncall": (channel, 25.0)}, {"api": remediator})

    async def commit(self, *commands: Command, cancelled: tuple[str, ...] = ()) -> None:
        stored = (await self.store.load()).get("api")
        state = stored.state if stored else ServiceState(service="api")
        decision = Decision(state=state, commands=commands, cancelled=cancelled)
        await self.store.commit("api", stored.version if stored else 0, decision)

    async def offer(self, *commands: Command) -> None:
        await self.commit(*commands)
        self.outbox.offer(commands)

    async def die(self) -> None:
        for task in self.outbox.restarts.tasks:
            task.cancel()
        await self.outbox.lanes.stop()

    async def became(self, command: Command) -> Outgoing:
        return (await MemoryStore.outgoing(self.store, [command.key]))[command.key]

    def heard(self, kind: type[Input]) -> list[Any]:
        return [event for _, event in self.told if isinstance(event, kind)]


def lived(story: Callable[[Life], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await story(Life(Moody(), FakeChannel(), FakeRemediator()))

    in_virtual_time(run())


def another(life: Life) -> Life:
    return Life(life.store, life.channel, life.remediator)


def incident(*, asked: tuple[Asked, ...] = (), tried: tuple[Tried, ...] = ()) -> ServiceState:
    return ServiceState(
        service="api",
        incident=Incident(
            id="api-1",
            service="api",
            opened_at=START,
            first_miss_at=START,
            check="http",
            reason="refused",
            summary="",
            stage=Stage.PAGED,
            failing=("http",),
            asked=asked,
            tried=tried,
        ),
    )


ASKED = incident(asked=(Asked(channel="oncall", key=PAGE.key, at=START),))
TRIED = incident(tried=(Tried(key=ORDER.key, at=START, action="process"),))


class TestPromise6ANoticeOverAKill:
    @pytest.mark.parametrize(
        ("reached", "sent_before", "sent"),
        [
            pytest.param("committed", 0, 1, id="committed and not yet claimed: it goes now"),
            pytest.param("claimed", 0, 1, id="claimed and not sent: it goes now"),
            pytest.param("sent", 1, 2, id="sent and not settled: it goes again, under the same key"),
            pytest.param("settled", 1, 1, id="settled and not told to the core: it goes no more"),
            pytest.param("buried", 0, 0, id="given up and not told to the core: it goes no more"),
            pytest.param("cancelled", 0, 0, id="taken back: it never goes"),
        ],
    )
    def test_each_point_has_its_way_on(self, reached: str, sent_before: int, sent: int) -> None:
        async def story(life: Life) -> None:
            store = life.store
            await life.commit(PAGE)
            if reached in ("claimed", "sent", "settled", "buried"):
                await store.claim([PAGE.key], START)
            if reached in ("sent", "settled"):
                life.channel.sent.append(PAGE)
            if reached == "settled":
                await store.settle(PAGE.key, START, receipt=Receipt())
            if reached == "buried":
                await store.bury(PAGE.key, START, "auth: no")
            if reached == "cancelled":
                await life.commit(cancelled=(PAGE.key,))
            assert len(life.channel.sent) == sent_before
            await life.die()
            life = another(life)
            await life.outbox.recover({"api": ASKED})
            await asyncio.sleep(10)
            assert [notice.key for notice in life.channel.sent] == [PAGE.key] * sent
            delivered, failed = life.heard(NoticeDelivered), life.heard(NoticeFailed)
            assert len(delivered) == (1 if sent else 0)
            assert len(failed) == (1 if reached == "buried" else 0)
            await life.die()

        lived(story)

    def test_a_postponed_notice_keeps_its_tries_and_its_time_over_a_kill(self) -> None:
        async def story(life: Life) -> None:
            await life.commit(PAGE)
            await life.store.claim([PAGE.key], START)
            await life.store.postpone(PAGE.key, at(60), "server")
            for _ in range(8):
                await life.store.postpone(PAGE.key, at(60), "server")
            life.channel.broken = DeliveryError("server", retryable=True)
            life = another(life)
            await life.outbox.recover({"api": ASKED})
            await asyncio.sleep(59)
            assert life.counted.seen == []
            await asyncio.sleep(2)
            assert life.counted.seen == [("opened", "dead")], "the tenth try was the last"
            await life.die()

        lived(story)


class TestPromise6ARestartOverAKill:
    @pytest.mark.parametrize(
        ("reached", "runs", "outcome"),
        [
            pytest.param("committed", 1, Outcome.DONE, id="never begun: it is carried out"),
            pytest.param("claimed", 0, Outcome.INTERRUPTED, id="begun: never again by itself"),
            pytest.param("settled", 0, Outcome.DONE, id="done and not told to the core: told now"),
            pytest.param("cancelled", 0, None, id="taken back"),
        ],
    )
    def test_each_point_has_its_way_on(self, reached: str, runs: int, outcome: Outcome | None) -> None:
        async def story(life: Life) -> None:
            await life.commit(ORDER)
            if reached in ("claimed", "settled"):
                await life.store.claim([ORDER.key], START)
            if reached == "settled":
                await life.store.settle(ORDER.key, START, outcome=ActionOutcome(outcome=Outcome.DONE))
            if reached == "cancelled":
                await life.commit(cancelled=(ORDER.key,))
            for _ in range(2):  # and over a second kill, too
                life = another(life)
                await life.outbox.recover({"api": TRIED})
                await asyncio.sleep(5)
                if outcome is not None:
                    assert [event.outcome for event in life.heard(RestartFinished)] == [outcome]
                else:
                    assert life.heard(RestartFinished) == []
                await life.die()
            assert len(life.remediator.orders) == runs

        lived(story)

    def test_an_order_that_is_too_old_when_it_can_start_is_not_started(self) -> None:
        async def story(life: Life) -> None:
            late = order(age=STALE_ORDER.total_seconds() + 1)
            await life.commit(late)
            await life.outbox.recover({"api": TRIED})
            await asyncio.sleep(1)
            assert life.remediator.orders == []
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.EXPIRED]
            assert (await life.became(late)).status == "done"
            await life.die()

        lived(story)


class TestRestarts:
    def test_only_so_many_are_under_way_at_once_and_the_rest_wait_their_turn(self) -> None:
        async def story(life: Life) -> None:
            slow = {f"s{n}": FakeRemediator(takes=10) for n in range(AT_ONCE + 2)}
            life.outbox.use({}, slow)
            orders = [order(service=name) for name in slow]
            await life.offer(*orders)
            await asyncio.sleep(5)
            assert sum(len(fake.orders) for fake in slow.values()) == AT_ONCE
            await asyncio.sleep(10)
            assert sum(len(fake.orders) for fake in slow.values()) == AT_ONCE + 2
            await life.die()

        lived(story)

    def test_one_that_is_taken_back_while_it_waits_its_turn_is_never_begun(self) -> None:
        async def story(life: Life) -> None:
            slow = {f"s{n}": FakeRemediator(takes=10) for n in range(AT_ONCE + 1)}
            life.outbox.use({}, slow)
            orders = [order(service=name) for name in slow]
            await life.offer(*orders)
            await asyncio.sleep(1)
            await life.commit(cancelled=(orders[-1].key,))
            life.outbox.cancel([orders[-1].key])
            await asyncio.sleep(30)
            assert slow[f"s{AT_ONCE}"].orders == []
            await life.die()

        lived(story)

    def test_a_service_that_config_dropped_meanwhile_is_not_restarted(self) -> None:
        async def story(life: Life) -> None:
            life.outbox.use({}, {})
            await life.offer(ORDER)
            await asyncio.sleep(1)
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.EXPIRED]
            await life.die()

        lived(story)

    def test_a_remediator_that_crashes_is_a_restart_that_failed(self) -> None:
        async def story(life: Life) -> None:
            def crash(_: Restart) -> None:
                raise KeyError("unit")

            life.remediator.effect = crash
            await life.offer(ORDER)
            await asyncio.sleep(1)
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.FAILED]
            outcome = (await life.became(ORDER)).outcome
            assert outcome is not None
            assert "KeyError" in outcome.detail
            await life.die()

        lived(story)

    def test_an_order_is_carried_out_once_however_often_it_is_offered(self) -> None:
        async def story(life: Life) -> None:
            await life.offer(ORDER)
            life.outbox.offer([ORDER, ORDER])
            await life.outbox.adopt([], await life.store.pending())
            await asyncio.sleep(5)
            assert len(life.remediator.orders) == 1
            assert len(life.heard(RestartFinished)) == 1
            await life.die()

        lived(story)


class TestPromise6AStoreThatCannotNoteIt:
    def test_a_restart_whose_claim_cannot_be_noted_is_not_begun_and_that_is_said(self) -> None:
        async def story(life: Life) -> None:
            life.store.away = {"claim"}
            await life.offer(ORDER)
            await asyncio.sleep(1)
            assert life.remediator.orders == []
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.FAILED]
            await life.die()

        lived(story)

    def test_an_order_that_never_got_into_the_store_is_not_begun_and_that_is_said(self) -> None:
        async def story(life: Life) -> None:
            life.outbox.offer([ORDER])
            await asyncio.sleep(1)
            assert life.remediator.orders == []
            assert [event.outcome for event in life.heard(RestartFinished)] == [Outcome.FAILED]
            await life.die()

        lived(story)

    @pytest.mark.parametrize("what", ["claim", "settle", "opening", "outgoing"])
    def test_a_page_goes_out_all_the_same(self, what: str) -> None:
        async def story(life: Life) -> None:
            life.store.away = {what}
            await life.offer(PAGE)
            await asyncio.sleep(5)
            assert [notice.key for notice in life.channel.sent] == [PAGE.key]
            assert len(life.heard(NoticeDelivered)) == 1
            await life.die()

        lived(story)

    def test_a_page_whose_commit_was_refused_goes_out(self) -> None:
        async def story(life: Life) -> None:
            life.outbox.offer([PAGE])
            await asyncio.sleep(5)
            assert [notice.key for notice in life.channel.sent] == [PAGE.key]
            await life.die()

        lived(story)

    def test_a_page_whose_next_try_could_not_be_noted_is_tried_again(self) -> None:
        """The store has it as claimed; that it is claimed by this very agent must not be forgotten."""

        async def story(life: Life) -> None:
            life.channel.errors.append(DeliveryError("server", retryable=True))
            life.store.away = {"postpone"}
            await life.offer(PAGE)
            await asyncio.sleep(0.5)
            life.store.away = set()
            await asyncio.sleep(5)
            assert [notice.key for notice in life.channel.sent] == [PAGE.key]
            assert (await life.became(PAGE)).status == "done"
            await life.die()

        lived(story)

    def test_a_page_that_cannot_be_buried_is_told_as_failed(self) -> None:
        async def story(life: Life) -> None:
            life.channel.broken = DeliveryError("auth", retryable=False)
            life.store.away = {"bury"}
            await life.offer(PAGE)
            await asyncio.sleep(1)
            assert [event.reason for event in life.heard(NoticeFailed)] == ["auth"]
            assert life.vitals.dead_letters == 1
            await life.die()

        lived(story)

    def test_one_that_was_delivered_is_not_sent_over_when_what_comes_after_crashes(self) -> None:
        async def story(life: Life) -> None:
            crashed: list[str] = []

            async def settle(key: str, at: datetime, **_: object) -> None:
                crashed.append(key)
                raise RuntimeError("a bug in the store")

            life.store.settle = settle  # type: ignore[method-assign]
            life.store.away = {"claim"}  # so that the store does not stop it
            await life.offer(PAGE)
            await asyncio.sleep(60)
            assert len(life.channel.sent) == 1
            assert crashed == [PAGE.key]
            await life.die()

        lived(story)


class TestPromise5TheClosingMessage:
    def test_a_page_that_is_taken_back_while_it_is_sent_and_arrives_is_closed_once_and_not_called_lost(self) -> None:
        async def story(life: Life) -> None:
            send = life.channel.send

            async def slowly(notice: Notice, opening: Receipt | None) -> Receipt:
                if notice.kind is NoticeKind.OPENED:
                    await asyncio.sleep(5)
                return await send(notice, opening)

            life.channel.send = slowly  # type: ignore[method-assign]
            await life.offer(PAGE)
            await asyncio.sleep(1)
            closing = page(NoticeKind.RESOLVED, 2, note=UNDELIVERED)
            await life.commit(closing, cancelled=(PAGE.key,))
            life.outbox.cancel([PAGE.key])
            life.outbox.offer([closing])
            await asyncio.sleep(60)
            assert [notice.kind for notice in life.channel.sent] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
            assert life.channel.sent[1].note == "", "it did arrive, after that was written"
            assert (await life.became(PAGE)).status == "done"
            await life.die()

        lived(story)

    def test_one_that_fails_after_it_was_taken_back_is_neither_tried_again_nor_a_dead_letter(self) -> None:
        async def story(life: Life) -> None:
            life.channel.broken = DeliveryError("server", retryable=True)
            await life.offer(PAGE)
            await asyncio.sleep(0.5)
            closing = page(NoticeKind.RESOLVED, 2, note=UNDELIVERED)
            await life.commit(closing, cancelled=(PAGE.key,))
            life.outbox.cancel([PAGE.key])
            life.outbox.offer([closing])
            life.channel.broken = None
            await asyncio.sleep(60)
            assert [(notice.kind, notice.note) for notice in life.channel.sent] == [(NoticeKind.RESOLVED, UNDELIVERED)]
            assert (await life.became(PAGE)).status == "cancelled"
            assert await life.store.dead_letters() == []
            await life.die()

        lived(story)

    def test_a_channel_that_config_no_longer_names_still_gets_its_closing_message(self) -> None:
        async def story(life: Life) -> None:
            await life.offer(PAGE)
            await asyncio.sleep(1)
            life.outbox.use({"other": (FakeChannel(), 25.0)}, {})
            await life.offer(page(NoticeKind.RESOLVED, 2))
            await asyncio.sleep(1)
            assert [notice.kind for notice in life.channel.sent] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
            await life.die()

        lived(story)

    def test_what_nobody_can_deliver_any_more_is_a_dead_letter_and_not_lost(self) -> None:
        async def story(life: Life) -> None:
            closing = page(NoticeKind.RESOLVED, 2, channel="renamed")
            await life.offer(closing)
            await asyncio.sleep(1)
            assert [letter.command.key for letter in await life.store.dead_letters()] == [closing.key]
            assert "names no channel" in (await life.became(closing)).error
            await life.die()

        lived(story)


class TestPromise4DeadLetters:
    def test_a_replayed_letter_is_sent_and_counted_off(self) -> None:
        async def story(life: Life) -> None:
            life.channel.broken = DeliveryError("auth", retryable=False)
            await life.offer(PAGE, page(NoticeKind.NOTE, 2))
            await asyncio.sleep(1)
            assert life.vitals.dead_letters == 2
            life.channel.broken = None
            assert await life.store.replay([PAGE.key], life.clock.now()) == 1
            await life.outbox.replayed([PAGE.key])
            await asyncio.sleep(1)
            assert [notice.key for notice in life.channel.sent] == [PAGE.key]
            assert life.vitals.dead_letters == 1
            await life.outbox.replayed([PAGE.key, "no such key"])
            await asyncio.sleep(1)
            assert len(life.channel.sent) == 1
            await life.die()

        lived(story)

    def test_a_start_counts_those_that_the_store_holds(self) -> None:
        async def story(life: Life) -> None:
            await life.commit(PAGE)
            await life.store.bury(PAGE.key, START, "auth")
            life = another(life)
            await life.outbox.recover({})
            assert life.vitals.dead_letters == 1
            assert life.channel.sent == []
            await life.die()

        lived(story)


class TestLanes:
    def test_a_dead_channel_never_delays_another_by_a_second(self) -> None:
        async def story(life: Life) -> None:
            async def never(notice: Notice, opening: Receipt | None) -> Receipt:
                await asyncio.sleep(3600)
                return Receipt()

            dead = FakeChannel()
            dead.send = never  # type: ignore[method-assign]
            life.outbox.use({"dead": (dead, 25.0)}, {})
            for number in range(200):
                life.outbox.offer([page(number=number, channel="dead")])
            await asyncio.sleep(100)
            life.outbox.offer([PAGE])
            await asyncio.sleep(0.9)
            assert [notice.key for notice in life.channel.sent] == [PAGE.key]
            await life.die()

        lived(story)

    def test_the_addresses_of_a_channel_share_its_lane_and_its_label(self) -> None:
        async def story(life: Life) -> None:
            labels: list[str] = []
            life.counted.notice = lambda channel, kind, outcome: labels.append(channel)  # type: ignore[method-assign]
            sms = FakeChannel()
            life.outbox.use({"sms": (sms, 1.0)}, {})
            pages = [page(number=number, channel=f"sms/{name}") for number, name in enumerate(("alice", "bob", "eve"))]
            await life.offer(*pages)
            await asyncio.sleep(0.5)
            assert len(sms.sent) < 3, "one pace for all of them"
            await asyncio.sleep(5)
            assert [notice.channel for notice in sms.sent] == ["sms/alice", "sms/bob", "sms/eve"]
            assert labels == ["sms"] * 3
            assert [letter.command.key for letter in await life.store.dead_letters()] == []
            await life.die()

        lived(story)

    def test_the_closing_message_of_an_address_gets_the_receipt_of_its_own_opening(self) -> None:
        async def story(life: Life) -> None:
            openings: list[tuple[str, Receipt | None]] = []
            sms = FakeChannel()
            send = sms.send

            async def noting(notice: Notice, opening: Receipt | None) -> Receipt:
                openings.append((notice.key, opening))
                return await send(notice, opening)

            sms.send = noting  # type: ignore[method-assign]
            life.outbox.use({"sms": (sms, 25.0)}, {})
            alice, bob = page(channel="sms/alice"), page(channel="sms/bob")
            closing = page(NoticeKind.RESOLVED, 2, channel="sms/bob")
            await life.offer(alice, bob)
            await life.offer(closing)
            await asyncio.sleep(2)
            assert openings[-1] == (closing.key, Receipt(data={"key": bob.key}))
            await life.die()

        lived(story)


@dataclass
class FakeRepeater(FakeChannel):
    """A channel whose receiver forgets."""

    resumed: dict[str, Receipt] = field(default_factory=dict)

    def resume(self, openings: Mapping[str, Receipt]) -> None:
        self.resumed |= openings

    def release(self) -> Mapping[str, Receipt]:
        held, self.resumed = self.resumed, {}
        return held


class TestAChannelThatRepeats:
    def test_a_later_life_hands_it_what_is_open_with_the_receipts_of_its_pages(self) -> None:
        async def story(life: Life) -> None:
            await life.offer(PAGE)
            await asyncio.sleep(1)
            await life.die()
            life = another(life)
            repeater = FakeRepeater()
            life.outbox.use({"oncall": (repeater, 25.0)}, {})
            await life.outbox.recover({"api": ASKED})
            assert repeater.resumed == {"api-1/oncall": Receipt(data={"key": PAGE.key})}
            await life.die()

        lived(story)

    def test_one_that_is_replaced_hands_over_and_repeats_no_more(self) -> None:
        async def story(life: Life) -> None:
            old, new = FakeRepeater(), FakeRepeater()
            life.outbox.use({"oncall": (old, 25.0)}, {})
            old.resume({"api-1/oncall": Receipt()})
            life.outbox.use({"oncall": (old, 5.0)}, {})
            assert old.resumed == {"api-1/oncall": Receipt()}, "the same object goes on"
            life.outbox.use({"oncall": (new, 25.0)}, {})
            assert (old.resumed, new.resumed) == ({}, {"api-1/oncall": Receipt()})
            await life.die()

        lived(story)


class TestTheAgeOfAPage:
    def test_a_page_on_its_way_is_as_old_as_it_is_and_nothing_else_counts(self) -> None:
        async def story(life: Life) -> None:
            life.channel.broken = DeliveryError("server", retryable=True)
            await life.offer(PAGE, page(NoticeKind.NOTE, 2), page(NoticeKind.RESOLVED, 3))
            await asyncio.sleep(100)
            assert life.outbox.lanes.oldest_page() == pytest.approx(100, abs=1)
            life.outbox.cancel([PAGE.key])
            assert life.outbox.lanes.oldest_page() == 0, "nobody waits for what was taken back"
            await life.die()

        lived(story)


class TestTheStop:
    def test_what_is_being_sent_and_a_restart_that_runs_come_to_their_ends(self) -> None:
        async def story(life: Life) -> None:
            send = life.channel.send

            async def slowly(notice: Notice, opening: Receipt | None) -> Receipt:
                await asyncio.sleep(1)
                return await send(notice, opening)

            life.channel.send = slowly  # type: ignore[method-assign]
            life.remediator.takes = 1
            await life.offer(PAGE, ORDER, page(NoticeKind.NOTE, 2))
            await asyncio.sleep(0.5)
            await life.outbox.stop()
            assert (await life.became(PAGE)).status == "done"
            assert (await life.became(ORDER)).status == "done"
            assert (await life.became(page(NoticeKind.NOTE, 2))).status == "pending", "for the next life"

        lived(story)

    def test_nothing_begins_after_it(self) -> None:
        async def story(life: Life) -> None:
            await life.outbox.stop()
            await life.offer(PAGE, ORDER)
            await asyncio.sleep(5)
            assert life.channel.sent == []
            assert life.remediator.orders == []
            life = another(life)
            await life.outbox.recover({"api": replace(ASKED)})
            await asyncio.sleep(5)
            assert len(life.channel.sent) == 1
            assert len(life.remediator.orders) == 1
            await life.die()

        lived(story)
