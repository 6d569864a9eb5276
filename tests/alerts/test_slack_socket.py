"""Socket Mode against the stand-in: refreshed, cut, silent, switched off; never deaf for long, and never quietly so."""

import asyncio
from dataclasses import replace

import pytest

from agent.ports import DeliveryError
from alerts.slack_socket import Pace
from tests.alerts.builders import OPENED
from tests.alerts.slack_world import QUICK, SlackWorld, make_channel, slack_world
from tests.slack_people import People
from tests.slack_rooms import Posted
from tests.slack_standin import TOKEN, SlackStandIn


async def paged(world: SlackWorld) -> Posted:
    await world.channel.send(replace(OPENED, offers=("ack",)), None)
    return world.slack.messages()[-1]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_the_new_connection_is_there_before_the_old_one_goes(reason: str) -> None:
    async with slack_world() as world:
        message = await paged(world)
        old = world.people.links[0]
        await world.people.disconnect(reason)
        new = await world.people.connected(2)
        assert old in world.people.links
        assert new is not old
        await world.people.say("interactive", await world.people.press(message, "Ack"), link=0)
        await world.people.whispered()
        await world.slack.until(lambda: world.people.links == [new])
        assert len(world.operations.asked) == 1
        assert world.vitals.channel_trouble == {}


async def test_what_comes_through_the_old_connection_meanwhile_is_done_too() -> None:
    async with slack_world() as world:
        message = await paged(world)
        await world.people.disconnect()
        await world.people.connected(2)
        world.people.links.reverse()  # the old one is what `press` uses now
        await world.people.press(message, "Ack")
        await world.people.whispered()


async def test_every_envelope_is_acknowledged_before_what_it_asks_for_is_done_however_slow_that_is() -> None:
    async with slack_world() as world:
        message, link = await paged(world), world.people.links[0]
        world.operations.free = asyncio.Event()  # as when the database takes its time
        for number in range(10):
            await world.people.press(message, "Ack")
            await world.people.command(f"silence photos-api for {number + 1}h")
        await world.slack.until(lambda: len(link.acknowledged) == 20)
        async with asyncio.timeout(10):
            while len(world.operations.asked) < 20:  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.01)
        assert world.slack.whispers == []
        assert world.counts == []
        world.operations.free.set()
        await world.people.whispered(20)
        assert len(link.acknowledged) == 20


async def test_a_connection_that_is_cut_is_made_anew() -> None:
    async with slack_world() as world:
        message = await paged(world)
        await world.people.links[0].ws.close()
        await world.people.connected(2)
        await world.people.press(message, "Ack")
        await world.people.whispered()


async def test_a_silent_connection_is_noticed_told_and_replaced() -> None:
    async with People(SlackStandIn()) as people:
        channel, told = make_channel(people.slack, pace=QUICK), []

        def tell(text: str) -> None:
            told.append(text)
            people.slack.news.set()

        listening = asyncio.create_task(channel.listen(lambda _: None, tell))
        (await people.connected()).deaf.set()
        people.links.pop()
        await people.connected(2)
        await people.slack.until(lambda: len(told) == 2)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await channel.close()
        assert told == ["buttons: Slack's socket fell silent; connecting anew", ""]


def test_silence_is_noticed_within_a_minute() -> None:
    pace = Pace()
    assert 1.5 * pace.heartbeat + pace.first_wait + pace.hello < 60


async def test_while_nothing_can_be_heard_the_channel_is_in_trouble_for_whoever_looks() -> None:
    async with slack_world(pace=QUICK) as world:
        world.slack.fail_next("apps.connections.open", error="invalid_auth", times=1_000)
        await world.people.links[0].ws.close()
        async with asyncio.timeout(10):
            while "invalid_auth" not in world.vitals.channel_trouble.get("oncall", ""):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        with pytest.raises(DeliveryError, match="invalid_auth: make a new app token") as deaf:
            await world.channel.verify()
        assert (deaf.value.reason, deaf.value.retryable) == ("deaf", True)
        await world.channel.send(OPENED, None)  # pages go out all the same
        assert len(world.slack.messages()) == 1


async def test_a_connection_that_says_no_hello_is_none() -> None:
    async with slack_world(pace=replace(QUICK, hello=0.1), connect=False) as world:
        world.people.hello = False
        async with asyncio.timeout(10):
            while "hello" not in world.vitals.channel_trouble.get("oncall", ""):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        world.people.hello = True
        await world.people.connected()


async def test_socket_mode_that_is_switched_off_says_how_to_switch_it_on() -> None:
    async with slack_world(pace=QUICK) as world:
        world.slack.fail_next("apps.connections.open", status=503, times=2)
        await world.people.disconnect("link_disabled")
        async with asyncio.timeout(10):
            while "api.slack.com/apps" not in world.vitals.channel_trouble.get("oncall", ""):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        await world.people.connected(2)


async def test_a_wrong_app_token_is_refused_before_anything_starts() -> None:
    async with People(SlackStandIn()) as people:
        channel = make_channel(people.slack, app_token="xapp-wrong")
        with pytest.raises(DeliveryError, match="invalid_auth: make a new app token") as refused:
            await channel.verify()
        await channel.close()
        assert (refused.value.reason, refused.value.retryable) == ("auth", False)


async def test_what_is_no_envelope_harms_nobody() -> None:
    async with slack_world() as world:
        message = await paged(world)
        for text in ("no JSON", "[]", "null", '{"type": "hello"}', '{"type": "poem", "payload": 3}'):
            await world.people.links[0].ws.send_str(text)
        for payload in ({}, {"type": "block_actions"}, {"type": "block_actions", "user": 3, "actions": [7]}):
            await world.people.say("interactive", payload)
        await world.people.say("slash_commands", {"text": None})
        await world.people.press(message, "Ack")
        await world.people.whispered()
        assert len(world.operations.asked) == 1
        assert len(world.people.links[0].acknowledged) == 5


async def test_one_app_has_one_connection_for_all_its_channels_and_each_answers_for_its_own() -> None:
    async with slack_world(connect=False) as world:
        second = make_channel(world.slack, "db", channel="#quiet", may={"ack": ["U0BOB"]})
        await second.verify()
        world.listeners.use({"oncall": world.channel, "db": second})
        await world.people.connected()
        await second.send(replace(OPENED, channel="db", offers=("ack",)), None)
        await world.people.press(world.slack.messages("quiet")[0], "Ack", "U0ALICE")
        whisper = await world.people.whispered()
        assert "channels.db.may.ack doesn't name you" in whisper.shown
        assert world.people.opened == 1
        await second.close()


async def test_a_reload_that_changes_the_channel_hears_on_with_the_new_one() -> None:
    async with slack_world() as world:
        message = await paged(world)
        payload = await world.people.press(message, "Ack")
        await world.people.whispered()
        changed = make_channel(world.slack, may={"ack": ["U0BOB"]})
        world.listeners.use({"oncall": changed})
        await world.people.connected(2)
        await world.people.say("interactive", payload)  # as if Slack had not seen the acknowledgement
        await world.people.press(message, "Ack")
        assert "doesn't name you" in (await world.people.whispered(2)).shown
        assert len(world.operations.asked) == 1
        await changed.close()


async def test_no_token_is_in_any_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    async with slack_world(pace=QUICK) as world:
        with caplog.at_level("DEBUG"):
            world.slack.fail_next("apps.connections.open", error="fatal_error", times=2)
            await world.people.links[0].ws.close()
            await world.people.connected(2)
            await world.people.press(await paged(world), "Ack")
            await world.people.whispered()
    said = caplog.text + "".join(capsys.readouterr())
    assert "xapp-" not in said
    assert TOKEN not in said
    assert "ticket=" not in said
    assert "/respond/" not in said
