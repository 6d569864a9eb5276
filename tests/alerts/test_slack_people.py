"""Pages to one person, mentions of those who are paged; and what a crash, or messages out of order, can not undo."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.commands import Notice, NoticeKind
from agent.ports import DeliveryError
from tests.alerts.builders import OPENED, REMINDER, RESOLVED, UPDATE
from tests.alerts.slack_world import make_channel, slack_world
from tests.slack_standin import SlackStandIn

DIRECT = {"channel": "oncall/alice", "to": "U0ALICE", "person": "alice"}
ALICE = replace(OPENED, key="photos-api/alice/opened/1", **DIRECT)


def later(notice: Notice, seconds: float = 0.0, **changed: object) -> Notice:
    """The same, decided now: the stand-in stamps messages with this machine's time."""
    return replace(notice, at=datetime.now(UTC) + timedelta(seconds=seconds), **changed)


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    async with SlackStandIn() as standin:
        yield standin


def reborn(slack: SlackStandIn):
    return make_channel(slack, app_token=None, made=datetime.now(UTC) + timedelta(seconds=1))


async def test_a_page_to_a_person_is_a_direct_message_with_a_thread_of_its_own(slack) -> None:
    channel = make_channel(slack, app_token=None)
    shared, direct = await channel.send(OPENED, None), await channel.send(ALICE, None)
    await channel.send(replace(RESOLVED, **DIRECT), direct)
    await channel.close()
    (message,) = [m for m in slack.direct("U0ALICE").posted if not m.thread_ts]
    (reply,) = [m for m in slack.direct("U0ALICE").posted if m.thread_ts]
    assert direct.data["channel"] == slack.direct("U0ALICE").id != shared.data["channel"]
    assert message.shown.startswith("✅ photos-api is up again")
    assert reply.thread_ts == message.ts
    assert slack.messages()[0].shown.startswith("🔴 photos-api is down")


async def test_a_user_that_is_none_is_refused_for_good(slack) -> None:
    channel = make_channel(slack, app_token=None)
    with pytest.raises(DeliveryError, match="U0NOBODY: channel_not_found") as refused:
        await channel.send(replace(ALICE, to="U0NOBODY"), None)
    await channel.close()
    assert (refused.value.reason, refused.value.retryable) == ("not_found", False)


async def test_a_direct_message_has_buttons_that_do_the_same() -> None:
    async with slack_world() as world:
        await world.channel.send(replace(ALICE, offers=("ack",)), None)
        (message,) = world.slack.direct("U0ALICE").posted
        await world.people.press(message, "Ack")
        await world.people.whispered()
        assert world.operations.asked[0][:3] == ("acknowledge", "photos-api", "alice (U0ALICE)")


async def test_who_is_paged_is_mentioned_in_the_channel_but_not_in_what_calls_for_nothing() -> None:
    async with slack_world() as world:
        world.contacts |= {"alice": {"oncall": "U0ALICE"}, "carol": {"sms": "+49123"}}
        facts = {**OPENED.facts, "Paged": "alice, carol"}
        people = ("alice", "carol")
        opening = await world.channel.send(replace(OPENED, facts=facts, calls=people), None)
        for notice in (UPDATE, replace(REMINDER, calls=people), RESOLVED):
            await world.channel.send(replace(notice, facts=facts), opening)
        (message,) = world.slack.messages()
        update, reminder, resolved = world.slack.thread(message.ts)
        assert message.pings == ["<@U"]
        assert [reply.pings for reply in (update, reminder, resolved)] == [[], ["<@U"], []]
        assert "alice, carol" in resolved.shown
        assert "carol" not in update.shown, "it is no news"


async def test_a_name_that_is_an_attack_mentions_nobody() -> None:
    async with slack_world() as world:
        world.contacts |= {"<!channel>": {"oncall": "U0ALICE> <!channel"}, "x": {"oncall": "!channel"}}
        names = ("<!channel>", "x", "<@U0BOB>")
        await world.channel.send(replace(OPENED, facts={"Paged": ", ".join(names)}, calls=names), None)
        assert world.slack.messages()[0].pings == []


# ------------------------------------------------------------------------------------------------ killed in between

OPENINGS = [pytest.param(OPENED, id="in the channel"), pytest.param(ALICE, id="to a person")]
FOLLOWING = [UPDATE, REMINDER, RESOLVED]


@pytest.mark.parametrize("opened", OPENINGS)
async def test_a_page_that_was_sent_but_not_noted_before_the_agent_died_is_not_sent_twice(slack, opened) -> None:
    page = later(opened)
    first, second = make_channel(slack, app_token=None), reborn(slack)
    before = await first.send(page, None)  # and here it is killed: the receipt was never written down
    again = await second.send(page, None)
    await first.close()
    await second.close()
    assert again == before
    assert sum(len(room.posted) for room in slack.rooms) == 1


@pytest.mark.parametrize("opened", OPENINGS)
@pytest.mark.parametrize("follows", FOLLOWING, ids=[notice.kind.value for notice in FOLLOWING])
async def test_neither_is_a_reply_in_its_thread(slack, opened: Notice, follows: Notice) -> None:
    first, second = make_channel(slack, app_token=None), reborn(slack)
    opening = await first.send(later(opened), None)
    follows = later(follows, channel=opened.channel, to=opened.to, person=opened.person)
    before = await first.send(follows, opening)
    again = await second.send(follows, opening)
    await first.close()
    await second.close()
    assert again == before
    assert sum(len(room.posted) for room in slack.rooms) == 2


async def test_a_direct_message_whose_answer_was_lost_is_not_sent_twice(slack) -> None:
    channel, page = make_channel(slack, app_token=None), later(ALICE)
    slack.fail_next("chat.postMessage", drop=True, done=True)
    with pytest.raises(DeliveryError):
        await channel.send(page, None)
    receipt = await channel.send(page, None)
    await channel.close()
    (message,) = slack.direct("U0ALICE").posted
    assert receipt.data["ts"] == message.ts


@pytest.mark.parametrize("killed", [False, True], ids=["in one life", "after the agent was killed"])
async def test_an_update_that_had_to_wait_takes_no_closing_message_back(slack, killed: bool) -> None:
    first, second = make_channel(slack, app_token=None), reborn(slack)
    opening = await first.send(later(OPENED), None)
    waiting = later(UPDATE, offers=("ack",))
    await first.send(later(RESOLVED, 0.5), opening)
    await (second if killed else first).send(waiting, opening)
    await first.close()
    await second.close()
    (message,) = slack.messages()
    assert message.shown.startswith("✅ photos-api is up again")
    assert [reply.metadata["event_payload"]["kind"] for reply in slack.thread(message.ts)] == ["resolved", "update"]


@pytest.mark.parametrize("killed", [False, True], ids=["in one life", "after the agent was killed"])
async def test_of_two_notices_of_one_moment_the_closing_one_is_what_stays(slack, killed: bool) -> None:
    first, second = make_channel(slack, app_token=None), reborn(slack)
    opening = await first.send(later(OPENED), None)
    closing = later(RESOLVED)
    await first.send(closing, opening)
    update = replace(closing, kind=NoticeKind.UPDATE, key="another", title="it still fails")
    await (second if killed else first).send(update, opening)
    await first.close()
    await second.close()
    assert slack.messages()[0].shown.startswith("✅")


async def test_after_an_edit_the_message_is_still_known_by_the_key_of_its_opening(slack) -> None:
    page = later(OPENED)
    first, second = make_channel(slack, app_token=None), reborn(slack)
    opening = await first.send(page, None)
    await first.send(later(UPDATE), opening)
    again = await second.send(page, None)
    await first.close()
    await second.close()
    assert again.data["ts"] == opening.data["ts"]
    assert len(slack.messages()) == 1
