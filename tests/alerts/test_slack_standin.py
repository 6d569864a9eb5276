"""The stand-in must refuse what Slack refuses, or the tests that lean on it prove nothing."""

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest

from tests.slack_people import People
from tests.slack_standin import APP_TOKEN, TOKEN, SlackStandIn


async def call(slack: SlackStandIn, method: str, token: str = TOKEN, **arguments: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(slack.url + method, json=arguments) as answer,
    ):
        return await answer.json()


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({"channel": "#nowhere", "text": "a"}, "channel_not_found", id="an unknown channel"),
        pytest.param({"channel": "#old", "text": "a"}, "is_archived", id="an archived one"),
        pytest.param({"channel": "#private", "text": "a"}, "not_in_channel", id="one that the app is not in"),
        pytest.param({"channel": "#oncall"}, "no_text", id="nothing to say"),
        pytest.param({"channel": "#oncall", "text": "x" * 40_001}, "msg_too_long", id="too long a text"),
        pytest.param({"channel": "#oncall", "blocks": [section("x" * 3_001)]}, "invalid_blocks", id="a long section"),
        pytest.param({"channel": "#oncall", "blocks": [section("x")] * 51}, "invalid_blocks", id="51 blocks"),
        pytest.param({"channel": "#oncall", "blocks": [section("")]}, "invalid_blocks", id="an empty text"),
        pytest.param({"channel": "#oncall", "blocks": [{"type": "poem"}]}, "invalid_blocks", id="an unknown block"),
        pytest.param({"channel": "#oncall", "blocks": [section("x" * 3_000)] * 4}, "msg_blocks_too_long", id="the sum"),
        pytest.param({"channel": "#oncall", "text": "a", "thread_ts": "1.2"}, "thread_not_found", id="no such thread"),
        pytest.param({"channel": "#oncall", "text": "a", "metadata": {}}, "invalid_metadata_format", id="metadata"),
    ],
)
async def test_it_refuses_what_slack_refuses(arguments: dict, error: str) -> None:
    async with SlackStandIn() as slack:
        slack.rooms[1].name, slack.rooms[1].archived = "old", True
        slack.rooms.append(type(slack.rooms[0])("C0000000003", "private", member=False))
        answer = await call(slack, "chat.postMessage", **arguments)
    assert (answer["ok"], answer.get("error")) == (False, error)


async def test_it_knows_its_token_and_what_the_token_may_do() -> None:
    async with SlackStandIn(scopes=("channels:read",)) as slack:
        assert (await call(slack, "auth.test"))["ok"]
        assert (await call(slack, "auth.test", token=""))["error"] == "not_authed"
        assert (await call(slack, "auth.test", token="xoxb-2"))["error"] == "invalid_auth"
        assert (await call(slack, "chat.postMessage", channel="#oncall", text="a"))["error"] == "missing_scope"


async def test_it_edits_by_id_and_keeps_what_an_edit_does_not_name() -> None:
    metadata = {"event_type": "t", "event_payload": {"key": "k"}}
    async with SlackStandIn() as slack:
        posted = await call(slack, "chat.postMessage", channel="oncall", blocks=[section("one")], metadata=metadata)
        edit = {"ts": posted["ts"], "text": "two"}
        assert (await call(slack, "chat.update", channel="#oncall", **edit))["error"] == "channel_not_found"
        assert (await call(slack, "chat.update", channel=posted["channel"], ts="1.2", text="a"))["error"] == (
            "message_not_found"
        )
        assert (await call(slack, "chat.update", channel=posted["channel"], **edit))["ok"]
        (message,) = slack.messages()
        assert (message.shown, message.metadata, message.edits) == ("two", metadata, 1)


async def test_other_processes_can_post_fail_and_look() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.slack_standin", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(15):
            told = json.loads(await process.stdout.readline())
        headers = {"Authorization": f"Bearer {told['token']}"}
        root = told["url"].removesuffix("api/")
        async with aiohttp.ClientSession(headers=headers) as session:
            await session.post(f"{root}standin/fail", json={"method": "chat.postMessage", "error": "fatal_error"})
            for expected in (False, True):
                async with session.post(
                    f"{told['url']}chat.postMessage", json={"channel": "#oncall", "text": "a &amp; b"}
                ) as answer:
                    assert (await answer.json())["ok"] is expected
            async with session.get(f"{root}standin/messages") as answer:
                (message,) = (await answer.json())["oncall"]
        assert message["shown"] == "a & b"
    finally:
        process.terminate()
        await process.wait()


# ------------------------------------------------------------------------------------------------ buttons


def row(**button: Any) -> dict[str, Any]:
    text = {"type": "plain_text", "text": "Ack"}
    return {"type": "actions", "elements": [{"type": "button", "text": text, "action_id": "a"} | button]}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


CONFIRM = {"title": plain("t"), "text": plain("x"), "confirm": plain("yes"), "deny": plain("no")}


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(row(text=plain("x" * 76)), id="a long label"),
        pytest.param(row(text={"type": "mrkdwn", "text": "x"}), id="a label in mrkdwn"),
        pytest.param(row(value="x" * 2_001), id="a long value"),
        pytest.param(row(url="x" * 3_001), id="a long address"),
        pytest.param(row(action_id="x" * 256), id="a long id"),
        pytest.param(row(style="green"), id="a style that is none"),
        pytest.param(row(confirm=CONFIRM | {"title": plain("x" * 101)}), id="a long question"),
        pytest.param(row(confirm=CONFIRM | {"text": plain("x" * 301)}), id="a long explanation"),
        pytest.param(row(confirm=CONFIRM | {"confirm": plain("x" * 31)}), id="a long yes"),
        pytest.param(row(confirm={"title": plain("t")}), id="half a question"),
        pytest.param({"type": "actions", "elements": []}, id="no button"),
        pytest.param({"type": "actions", "elements": row()["elements"] * 2}, id="one id twice"),
        pytest.param(
            {"type": "actions", "elements": [row(action_id=f"{n}")["elements"][0] for n in range(30)]}, id="26"
        ),
    ],
)
async def test_it_refuses_buttons_that_slack_refuses(block: dict) -> None:
    async with SlackStandIn() as slack:
        answer = await call(slack, "chat.postMessage", channel="#oncall", text="a", blocks=[block])
        good = await call(slack, "chat.postMessage", channel="#oncall", text="a", blocks=[row(confirm=CONFIRM)])
    assert (answer["ok"], answer.get("error"), good["ok"]) == (False, "invalid_blocks", True)


async def test_it_opens_direct_messages_and_whispers_where_its_scopes_let_it() -> None:
    async with SlackStandIn() as slack:
        opened = await call(slack, "conversations.open", users="U0ALICE")
        posted = await call(slack, "chat.postMessage", channel="U0ALICE", text="a")
        assert posted["channel"] == opened["channel"]["id"]
        assert (await call(slack, "conversations.open", users="U0NOBODY"))["error"] == "user_not_found"
        assert (await call(slack, "chat.postMessage", channel="U0NOBODY", text="a"))["error"] == "channel_not_found"
        whisper = {"channel": "C0000000001", "user": "U0ALICE"}
        assert (await call(slack, "chat.postEphemeral", text="psst", **whisper))["ok"]
        assert (await call(slack, "chat.postEphemeral", **whisper))["error"] == "no_text"
        slack.scopes = ("chat:write",)
        assert (await call(slack, "conversations.open", users="U0ALICE"))["error"] == "missing_scope"
        assert (await call(slack, "usergroups.list"))["error"] == "missing_scope"
        assert len(slack.messages(opened["channel"]["id"])) == 1


async def test_its_sockets_need_the_apps_token_and_a_ticket_each_and_are_ten_at_most() -> None:
    async with People(SlackStandIn()) as people, aiohttp.ClientSession() as session:
        assert (await call(people.slack, "apps.connections.open"))["error"] == "not_allowed_token_type"
        assert (await call(people.slack, "apps.connections.open", token="xapp-2"))["error"] == "invalid_auth"
        kept = []
        for number in range(11):
            url = (await call(people.slack, "apps.connections.open", token=APP_TOKEN))["url"]
            kept.append(await session.ws_connect(url))
            first = await kept[-1].receive_json()
            assert first["type"] == ("hello" if number < 10 else "disconnect")
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url)
        assert first["reason"] == "too_many_websockets"
