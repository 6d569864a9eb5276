"""All lanes together: none in another's way, what a channel repeats, how old a page is."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from agent.core.commands import Notice, NoticeKind
from agent.ports import DeliveryError, Receipt
from tests.runtime.outbox_life import (
    ASKED,
    PAGE,
    Life,
    another,
    lived,
    page,
)
from tests.world import FakeChannel


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
