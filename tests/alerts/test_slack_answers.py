"""What people press and type in Slack, from the button to what is done about it, over a real socket to the stand-in."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.alerts.builders import INCIDENT, OPENED, RESOLVED, UPDATE
from tests.alerts.slack_world import SlackWorld, slack_world
from tests.slack_limits import mentions
from tests.slack_rooms import Posted

KEY = f"{INCIDENT}/approve/1"
OFFERS = ("ack", f"approve:{KEY}", "restart", "silence")
PAGE = replace(OPENED, offers=OFFERS)
ALICE = "alice (U0ALICE)"
EVERYBODY = {"restart": ["everyone"], "approve": ["everyone"]}


async def paged(world: SlackWorld, notice=PAGE) -> Posted:
    await world.channel.send(notice, None)
    return world.slack.messages()[-1]


PRESSES = [
    ("Ack", ("acknowledge", "photos-api", ALICE, None, INCIDENT)),
    ("Silence 1 h", ("silence", "service=photos-api", ALICE, timedelta(hours=1), "from Slack", INCIDENT)),
    ("Restart now", ("restart", "photos-api", ALICE, INCIDENT)),
    ("Approve restart", ("approve", KEY, ALICE)),
]


@pytest.mark.parametrize(("label", "done"), PRESSES, ids=[label for label, _ in PRESSES])
async def test_a_press_does_what_the_button_says_about_the_incident_that_it_was_shown_with(label, done) -> None:
    async with slack_world(may=EVERYBODY) as world:
        await world.people.press(await paged(world), label)
        whisper = await world.people.whispered()
        assert world.operations.asked == [done]
        assert (whisper.user, whisper.shown) == ("U0ALICE", f"{done[0]}: done.")
        assert world.notes == []  # whoever did it notes it


async def test_an_envelope_is_acknowledged_before_anything_is_done_and_holds_up_no_other() -> None:
    async with slack_world() as world:
        message, blocked = await paged(world), asyncio.Event()

        async def slow(*_: object, **__: object) -> str:
            await blocked.wait()
            return "at last"

        world.operations.acknowledge = slow  # type: ignore[method-assign]
        await world.people.press(message, "Ack")
        await world.people.press(message, "Silence 1 h")
        await world.slack.until(lambda: len(world.people.links[0].acknowledged) == 2)
        assert "silence" in (await world.people.whispered()).shown
        blocked.set()
        assert (await world.people.whispered(2)).shown == "at last"


@pytest.mark.parametrize("again", ["the same envelope", "the same press in another envelope"])
async def test_what_slack_says_twice_is_done_once(again: str) -> None:
    async with slack_world() as world:
        message = await paged(world)
        payload = await world.people.press(message, "Ack")
        await world.people.whispered()
        first = next(iter(world.people.links[0].acknowledged))
        await world.people.say("interactive", payload, envelope=first if again == "the same envelope" else "")
        await world.people.press(message, "Silence 1 h")
        await world.people.whispered(2)
        assert [what[0] for what in world.operations.asked] == ["acknowledge", "silence"]


async def test_the_same_person_may_press_the_same_button_again_later() -> None:
    async with slack_world() as world:
        message = await paged(world)
        await world.people.press(message, "Ack")
        await world.people.press(message, "Ack")
        await world.people.whispered(2)
        assert len(world.operations.asked) == 2


async def test_what_operations_refuse_is_said_to_the_one_who_pressed_and_noted() -> None:
    async with slack_world() as world:
        world.operations.refuse["acknowledge"] = "photos-api: that incident is over"
        await world.people.press(await paged(world), "Ack")
        whisper = await world.people.whispered()
        assert whisper.shown == "⚠ photos-api: that incident is over"
        text = f"{ALICE} wanted to acknowledge it from Slack, and was refused: photos-api: that incident is over"
        assert world.notes == [("photos-api", text, ALICE)]
        assert world.counts == [("oncall", "ack", "refused")]


async def test_a_bug_behind_a_button_is_said_and_nothing_of_it_shown() -> None:
    async with slack_world() as world:
        world.operations.crash = True
        await world.people.press(await paged(world), "Ack")
        assert "went wrong inside codeblue" in (await world.people.whispered()).shown
        assert world.counts == [("oncall", "ack", "failed")]
        text = f"{ALICE} wanted to acknowledge it from Slack, and it went wrong inside codeblue"
        assert world.notes == [("photos-api", text, ALICE)]


# ------------------------------------------------------------------------------------------------ who may press what


async def test_nobody_restarts_from_slack_unless_config_says_who_so_there_is_no_such_button() -> None:
    async with slack_world() as world:
        assert set((await paged(world)).buttons) == {"Ack", "Silence 1 h", "Runbook"}


async def test_an_unlisted_press_is_refused_said_and_noted() -> None:
    async with slack_world(may={"restart": ["U0BOB"]}) as world:
        await world.people.press(await paged(world), "Restart now")
        whisper = await world.people.whispered()
        assert whisper.shown == (
            "🚫 You may not order a restart from here: channels.oncall.may.restart doesn't name you."
        )
        assert world.operations.asked == []
        ((service, text, by),) = world.notes
        assert (service, by) == ("photos-api", ALICE)
        assert text.startswith(f"{ALICE} wanted to restart it from Slack, and was refused: You may not")


LISTED = [
    pytest.param(["U0BOB"], "U0BOB", True, id="by id"),
    pytest.param(["bob.b"], "U0BOB", True, id="by the name of a person"),
    pytest.param(["@sre"], "U0BOB", True, id="by the handle of a user group"),
    pytest.param(["S0000SRE"], "U0BOB", True, id="by the id of a user group"),
    pytest.param(["@sre"], "U0ALICE", False, id="not in the user group"),
    pytest.param(["alice"], "U0ALICE", False, id="a Slack name is no name of config's people: anybody can take one"),
]


@pytest.mark.parametrize(("who", "user", "may"), LISTED)
async def test_who_is_listed_may(who: list[str], user: str, may: bool) -> None:
    async with slack_world(may={"restart": who}) as world:
        world.contacts["bob.b"] = {"oncall": "U0BOB", "sms": "+49123"}
        await world.people.press(await paged(world), "Restart now", user)
        await world.people.whispered()
        assert bool(world.operations.asked) is may


async def test_a_person_is_named_as_config_names_him() -> None:
    async with slack_world() as world:
        world.contacts["Alice Archer"] = {"oncall": "U0ALICE"}
        await world.people.press(await paged(world), "Ack")
        await world.people.whispered()
        assert world.operations.asked[0][2] == "Alice Archer (U0ALICE)"


async def test_while_slack_does_not_say_who_is_in_a_group_nobody_gets_in_by_it() -> None:
    async with slack_world(may={"restart": ["@sre"]}) as world:
        world.slack.fail_next("usergroups.list", error="missing_scope")
        await world.people.press(await paged(world), "Restart now", "U0BOB")
        whisper = await world.people.whispered()
        assert "Slack didn't say who is in which user group: missing_scope" in whisper.shown
        assert world.operations.asked == []


async def test_everyone_means_nobody_of_another_workspace() -> None:
    async with slack_world() as world:
        await world.people.press(await paged(world), "Ack", "U0BOB", team="T0OTHERS")
        await world.people.whispered()
        assert world.operations.asked == []


# ------------------------------------------------------------------------------------------------ /codeblue

COMMANDS = [
    ("", ("status", "")),
    ("status photos-api", ("status", "photos-api")),
    ("ack photos-api", ("acknowledge", "photos-api", ALICE, None, "")),
    ("ack photos-api for 2h", ("acknowledge", "photos-api", ALICE, timedelta(hours=2), "")),
    ("silence photos-api 30m", ("silence", "service=photos-api", ALICE, timedelta(minutes=30), "", "")),
    (
        "silence group=db severity=warning for 2h because we move it",
        ("silence", "group=db severity=warning", ALICE, timedelta(hours=2), "we move it", ""),
    ),
    ("silence photos-api until resolved", ("silence", "service=photos-api", ALICE, None, "", "")),
    ("oncall", ("on_call",)),
]


@pytest.mark.parametrize(("text", "done"), COMMANDS, ids=[text or "nothing" for text, _ in COMMANDS])
async def test_a_command_does_what_it_says(text: str, done: tuple) -> None:
    async with slack_world() as world:
        await world.people.command(text)
        await world.people.whispered()
        assert world.operations.asked == [done]


async def test_a_typo_gets_the_nearest_command() -> None:
    async with slack_world() as world:
        await world.people.command("silense photos-api 1h")
        assert (await world.people.whispered()).shown == (
            "There is no `/codeblue silense`: did you mean `/codeblue silence`?"
        )
        assert world.operations.asked == []


async def test_help_names_every_command() -> None:
    async with slack_world() as world:
        await world.people.command("help")
        said = (await world.people.whispered()).shown
        assert all(f"/codeblue {name}" in said for name in ("status", "ack", "silence", "oncall", "help"))


async def test_from_elsewhere_only_people_that_config_knows_are_everyone() -> None:
    async with slack_world() as world:
        world.contacts["bob"] = {"oncall": "U0BOB"}
        for number, user in enumerate(("U0ALICE", "U0BOB"), 1):
            await world.people.command("ack photos-api", user, channel="C0000000002")
            await world.people.whispered(number)
        assert [what[2] for what in world.operations.asked] == ["bob (U0BOB)"]
        assert "in the channel of oncall, but not from here" in world.slack.whispers[0].shown
        assert [service for service, _, _ in world.notes] == ["photos-api"]


async def test_a_status_of_200_services_fits_and_counts_the_rest_and_pings_nobody() -> None:
    async with slack_world() as world:
        lines = [f"service-{number:03} is down: <!channel> ``` connection refused &" for number in range(200)]
        world.operations.answers["status"] = "\n".join(lines)
        await world.people.command("status")
        whisper = await world.people.whispered()
        assert len(whisper.text) < 4_000
        assert mentions(whisper.text) == []
        assert whisper.text.count("```") == 2
        assert "more lines" in whisper.shown.splitlines()[-2]
        assert whisper.shown.splitlines()[1].startswith("service-000 is down: <!channel>")


async def test_where_the_response_url_has_expired_the_answer_is_an_ephemeral_message() -> None:
    async with slack_world() as world:
        await world.people.press(await paged(world), "Ack", response_url=f"{world.slack.url}../respond/0")
        assert (await world.people.whispered()).user == "U0ALICE"
        assert world.slack.count("chat.postEphemeral") == 1


async def test_an_answer_goes_to_no_other_host_than_slack_s() -> None:
    async with slack_world() as world:
        await world.people.press(await paged(world), "Ack", response_url="http://localhost.evil.example/respond")
        await world.people.whispered()
        assert world.slack.count("chat.postEphemeral") == 1


# ------------------------------------------------------------------------------------------------ stale buttons


async def test_after_an_acknowledgement_the_message_offers_it_no_more_and_after_the_end_nothing() -> None:
    async with slack_world() as world:
        opening = await world.channel.send(PAGE, None)
        acknowledged = replace(UPDATE, offers=("silence",), facts={"Acknowledged": f"{ALICE} at 03:20 UTC"})
        await world.channel.send(acknowledged, opening)
        (message,) = world.slack.messages()
        assert set(message.buttons) == {"Silence 1 h", "Runbook"}
        assert f"*Acknowledged*\n{ALICE} at 03:20 UTC" in message.shown
        await world.channel.send(RESOLVED, opening)
        assert message.buttons == {}
        assert [reply.buttons for reply in world.slack.thread(message.ts)] == [{}, {}]


async def test_an_old_button_says_which_incident_it_was_shown_with() -> None:
    async with slack_world() as world:
        opening = await world.channel.send(PAGE, None)
        (message,) = world.slack.messages()
        old = message.buttons["Ack"]
        await world.channel.send(RESOLVED, opening)
        await world.people.press_button(message, old)
        await world.people.whispered()
        assert world.operations.asked == [("acknowledge", "photos-api", ALICE, None, INCIDENT)]


async def test_without_anybody_who_listens_there_are_no_buttons() -> None:
    async with slack_world(app_token=None) as world:
        assert (await paged(world)).buttons == {}


async def test_a_runbook_button_is_a_link_that_asks_nothing_of_us() -> None:
    async with slack_world() as world:
        message = await paged(world)
        assert message.buttons["Runbook"]["url"] == OPENED.runbook
        await world.people.press(message, "Runbook")
        await world.people.press(message, "Ack")
        await world.people.whispered()
        assert [what[0] for what in world.operations.asked] == ["acknowledge"]
        assert len(world.people.links[0].acknowledged) == 2
