"""What Slack posts over HTTP: let in by its signature alone, answered at once, done once."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.web.api import create_app
from agent.web.server import Server
from agent.web.slack import LONGEST, fresh, signer
from tests.alerts.builders import INCIDENT, OPENED
from tests.alerts.slack_world import SlackWorld, slack_world
from tests.slack_people import SIGNING_SECRET
from tests.web.site import Answer, Browser, Site

NOW = datetime(2026, 11, 21, 3, 7, 12, tzinfo=UTC)
PRESS = {"type": "block_actions", "user": {"id": "U0ALICE"}}


@dataclass
class Posting:
    """An agent with tokens, to which Slack posts."""

    browser: Browser
    heard: list[Mapping[str, Any]] = field(default_factory=list)

    async def post(self, path: str, form: dict[str, str] | bytes, **changed: str) -> Answer:
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        stamp = changed.pop("stamp", str(int(NOW.timestamp())))
        signed = hmac.new(SIGNING_SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": changed.pop("signature", f"v0={signed}"),
        }
        return await self.browser.ask(path, "POST", headers | changed, body)


@asynccontextmanager
async def posting(*, secrets: tuple[str, ...] = (SIGNING_SECRET,)) -> AsyncIterator[Posting]:
    heard: list[Mapping[str, Any]] = []
    site = Site(tokens=("s3cret",), now=NOW)
    server = Server(
        create_app(replace(site.deps(), signed=lambda: dict.fromkeys(secrets, heard.append))), "127.0.0.1", 0
    )
    await server.start()
    try:
        yield Posting(Browser(server.port), heard)
    finally:
        await server.stop()


async def test_a_signed_press_is_let_in_without_the_agents_token_and_brought_into_the_shape_of_an_envelope() -> None:
    async with posting(secrets=("another", SIGNING_SECRET)) as slack:
        answer = await slack.post("/slack/interactive", {"payload": json.dumps(PRESS)})
        assert (answer.status, answer.body) == (200, b"")
        assert slack.heard == [{"type": "interactive", "payload": PRESS}]


async def test_a_signed_command_is_let_in_with_its_blanks_and_signs() -> None:
    async with posting() as slack:
        form = {"command": "/codeblue", "text": "silence a=b&c for 2h", "user_id": "U0ALICE", "user_name": ""}
        assert (await slack.post("/slack/command", form)).status == 200
        assert slack.heard == [{"type": "slash_commands", "payload": form}]


def at(seconds: float) -> str:
    return str(int(NOW.timestamp() + seconds))


REFUSED = [
    pytest.param({"signature": "v0=" + "0" * 64}, id="another signature"),
    pytest.param({"signature": ""}, id="none"),
    pytest.param({"signature": "v0="}, id="an empty one"),
    pytest.param({"signature": "v0=\xe9"}, id="one that is no ASCII"),
    pytest.param({"stamp": at(-301)}, id="signed five minutes ago: a replay"),
    pytest.param({"stamp": at(301)}, id="signed in the future"),
    pytest.param({"stamp": ""}, id="without a time"),
    pytest.param({"stamp": "now"}, id="at no time"),
    pytest.param({"stamp": "9" * 400}, id="at an absurd time"),
    pytest.param({"stamp": "-1"}, id="at a negative time"),
]


@pytest.mark.parametrize("changed", REFUSED)
async def test_what_is_not_signed_now_by_slack_is_refused(changed: dict[str, str]) -> None:
    async with posting() as slack:
        answer = await slack.post("/slack/interactive", {"payload": json.dumps(PRESS)}, **changed)
        assert answer.status in (400, 403)
        assert slack.heard == []


async def test_the_agents_own_token_opens_nothing_here() -> None:
    async with posting() as slack:
        form = {"payload": json.dumps(PRESS)}
        answer = await slack.post("/slack/interactive", form, signature="v0=0", Authorization="Bearer s3cret")
        assert answer.status == 403


async def test_the_very_same_request_is_refused_the_second_time() -> None:
    async with posting() as slack:
        statuses = [(await slack.post("/slack/interactive", {"payload": json.dumps(PRESS)})).status for _ in range(2)]
        assert statuses == [200, 403]
        assert len(slack.heard) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/slack/interactive", b"payload=no+JSON", id="no JSON"),
        pytest.param("/slack/interactive", b"payload=[]", id="no object"),
        pytest.param("/slack/interactive", b"x=1", id="no payload"),
        pytest.param("/slack/interactive", b"\xff\xfe", id="no text"),
        pytest.param("/slack/command", b"text=status", id="no command"),
        pytest.param("/slack/command", b"a=1&" * 200, id="a thousand fields"),
    ],
)
async def test_what_is_signed_but_no_form_of_slack_is_a_bad_request(path: str, body: bytes) -> None:
    async with posting() as slack:
        assert (await slack.post(path, body)).status == 400
        assert slack.heard == []


async def test_a_body_without_end_is_not_read_to_its_end() -> None:
    async with posting() as slack:
        assert (await slack.post("/slack/interactive", b"x" * (LONGEST + 1))).status == 413


async def test_without_a_secret_in_the_configuration_there_is_nothing_here() -> None:
    async with posting(secrets=()) as slack:
        assert (await slack.post("/slack/interactive", {"payload": "{}"})).status == 404


@pytest.mark.parametrize("path", ["/slack/", "/slack/interactive/x", "/slack/../api/services", "/slack/command?x"])
async def test_only_these_two_paths_are_open_and_only_for_posts(path: str) -> None:
    async with posting() as slack:
        assert (await slack.browser.ask(path)).status in (401, 404, 405)


@given(st.binary(max_size=200), st.text(max_size=80), st.lists(st.text(min_size=1, max_size=20), max_size=3))
def test_no_signature_but_the_right_one_fits(body: bytes, signature: str, secrets: list[str]) -> None:
    assert signer(dict.fromkeys(secrets), signature, "1", body) is None
    for secret in secrets:
        digest = hmac.new(secret.encode(), b"v0:1:" + body, hashlib.sha256).hexdigest()
        assert signer(dict.fromkeys(secrets), f"v0={digest}", "1", body) == secret
        assert signer(dict.fromkeys(secrets), f"v0={digest}", "1", body + b"x") is None


def test_slack_s_own_example_of_a_signature_fits() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert signer({SIGNING_SECRET: None}, signature, "1531420618", body) == SIGNING_SECRET
    assert fresh("1531420618", datetime.fromtimestamp(1531420618 + 299, UTC))


# ------------------------------------------------------------------------------------------------ the whole way


@asynccontextmanager
async def posted_to() -> AsyncIterator[SlackWorld]:
    """A channel that hears by HTTP alone, behind the agent's server."""
    async with slack_world(app_token=None, signing_secret=SIGNING_SECRET) as world:
        deps = replace(Site(tokens=("s3cret",)).deps(), signed=world.listeners.signed, now=lambda: datetime.now(UTC))
        server = Server(create_app(deps), "127.0.0.1", 0)
        await server.start()
        world.people.http = f"http://127.0.0.1:{server.port}"
        try:
            yield world
        finally:
            await server.stop()


async def test_a_press_over_http_does_what_the_button_says_and_answers_by_the_response_url() -> None:
    async with posted_to() as world:
        await world.channel.send(replace(OPENED, offers=("ack",)), None)
        payload = await world.people.press(world.slack.messages()[0], "Ack")
        whisper = await world.people.whispered()
        assert await world.people.post("interactive", payload, at=time.time() - 60) == 200  # signed anew, but known
        await world.people.command("status")
        await world.people.whispered(2)
        assert world.operations.asked == [
            ("acknowledge", "photos-api", "alice (U0ALICE)", None, INCIDENT),
            ("status", ""),
        ]
        assert (whisper.user, whisper.shown) == ("U0ALICE", "acknowledge: done.")
        assert world.people.statuses == [200, 200]


async def test_slack_is_answered_before_the_work_is_done() -> None:
    async with posted_to() as world:
        blocked = asyncio.Event()

        async def slow(service: str = "") -> str:
            await blocked.wait()
            return f"status of {service}"

        world.operations.status = slow  # type: ignore[method-assign]
        await world.people.command("status photos-api")
        assert world.people.statuses == [200]
        blocked.set()
        assert "status of photos-api" in (await world.people.whispered()).shown
