"""Notices at least once, restarts at most once: at every point at which the agent can die and the store can fail."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from agent.core.commands import Notice, NoticeKind, Outcome
from agent.core.events import NoticeDelivered, NoticeFailed, RestartFinished
from agent.core.notices import UNDELIVERED
from agent.ports import DeliveryError, Receipt
from tests.core.story import START, at
from tests.runtime.outbox_life import (
    ASKED,
    ORDER,
    PAGE,
    Life,
    another,
    lived,
    page,
)
from tests.world import FakeChannel


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
