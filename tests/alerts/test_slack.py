"""The slack channel against a stand-in that behaves as Slack documents it: what people see, and how it fails."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.commands import Notice
from agent.ports import DeliveryError, Receipt
from alerts.channels.slack import SlackChannel, SlackOptions
from tests.alerts.builders import NOTE, OPENED, OPENED_AT, REMINDER, RESOLVED, UPDATE, hostile
from tests.slack_standin import TOKEN, SlackStandIn

BEFORE = OPENED_AT - timedelta(days=1)


def recent(notice: Notice) -> Notice:
    """The same notice, decided now: the stand-in stamps messages with the time of this machine."""
    return replace(notice, at=datetime.now(UTC))


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    async with SlackStandIn() as standin:
        yield standin


@pytest.fixture
async def channel(slack: SlackStandIn) -> AsyncIterator[SlackChannel]:
    made = make(slack)
    yield made
    await made.close()


def make(slack: SlackStandIn, *, made: datetime = BEFORE, **options: Any) -> SlackChannel:
    given = {"token": TOKEN, "channel": "#oncall", "api_url": slack.url, "timeout": "5s"} | options
    return SlackChannel("oncall", SlackOptions(**given), now=lambda: made)


async def refused(channel: SlackChannel, notice: Notice = OPENED, opening: Receipt | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await channel.send(notice, opening)
    return raised.value


# ------------------------------------------------------------------------------------------------ what people see


async def test_an_opening_notice_is_one_message_with_its_evidence_and_its_key(slack, channel) -> None:
    receipt = await channel.send(OPENED, None)
    (message,) = slack.messages()
    assert receipt.data["channel"] == "C0000000001"
    assert receipt.data["ts"] == message.ts
    assert message.shown.startswith(
        "🔴 photos-api is down\nhttp: connection refused by 127.0.0.1:8080\nSince 2026-03-01"
    )
    assert "03:12:02 ERROR disk I/O error while writing <index> & giving up" in message.shown
    assert "wiki.internal/photos?a=1&b=2 (https://wiki.internal/photos?a=1&b=2)" in message.shown
    assert message.text == "🔴 photos-api is down — http: connection refused by 127.0.0.1:8080"
    payload = {"key": OPENED.key, "incident": OPENED.incident, "service": "photos-api", "kind": "opened"}
    assert message.metadata == {"event_type": "codeblue_notice", "event_payload": payload}
    assert not message.unfurls


async def test_an_update_edits_the_message_and_is_added_to_its_thread_quietly(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    await channel.send(UPDATE, opening)
    (message,) = slack.messages()
    (reply,) = slack.thread(message.ts)
    assert message.shown.startswith("🔴 photos-api: the second restart failed too")
    assert message.edits == 1
    assert reply.shown.startswith("🔴 photos-api: the second restart failed too")
    assert not reply.broadcast
    everything, news = ("*Failing*", "*Agent*", "wiki.internal"), ("Since", "*Tried*")
    assert all(fact in message.shown for fact in (*everything, *news))
    assert all(fact in reply.shown for fact in news)
    assert not any(fact in reply.shown for fact in everything), "the thread is for what is new"


async def test_a_reminder_is_shown_in_the_channel_too(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    await channel.send(REMINDER, opening)
    (message,) = slack.messages()
    (reply,) = slack.thread(message.ts)
    assert reply.broadcast
    assert message.shown.startswith("🔴 photos-api is still down (4h)")


async def test_a_closing_notice_turns_the_message_green_keeps_its_evidence_and_replies_once(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    await channel.send(RESOLVED, opening)
    (message,) = slack.messages()
    (reply,) = slack.thread(message.ts)
    assert message.shown.startswith("✅ photos-api is up again after 5m12s\nWas: http: connection refused")
    assert "FATAL exit 74" in message.shown
    assert message.metadata["event_payload"]["key"] == OPENED.key
    assert reply.shown.startswith("✅ photos-api is up again")
    assert reply.broadcast


async def test_a_closing_notice_says_that_its_opening_never_arrived(slack, channel) -> None:
    await channel.send(RESOLVED, None)
    (message,) = slack.messages()
    assert message.shown.split("\n")[1] == "⚠ *The page that opened this incident never arrived here.*"


async def test_a_note_is_small_and_stands_alone(slack, channel) -> None:
    await channel.send(NOTE, None)
    (message,) = slack.messages()
    assert message.shown.startswith("*ℹ️ photos-api: warning*\nhttp: the certificate ends in 13 days")
    assert len(message.blocks) == 2


async def test_an_attack_from_outside_pings_nobody_in_any_form(slack, channel) -> None:
    opening = await channel.send(hostile(), None)
    for kind in (UPDATE.kind, REMINDER.kind, RESOLVED.kind):
        await channel.send(hostile(kind), opening)
    await channel.send(hostile(NOTE.kind), None)
    slack.fail_next("chat.postMessage", error="invalid_blocks")
    await channel.send(hostile(key="another"), None)
    everything = slack.messages() + slack.thread(opening.data["ts"])
    assert len(everything) == 6
    assert [message.pings for message in everything] == [[]] * 6


async def test_a_second_page_of_an_open_incident_joins_its_thread(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    await channel.send(replace(OPENED, key="another"), opening)
    assert len(slack.messages()) == 1
    assert slack.thread(opening.data["ts"])[0].broadcast


# ------------------------------------------------------------------------------------------------ the opening is lost


async def test_a_closing_notice_stands_alone_where_the_opening_message_was_deleted(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    slack.room("oncall").posted.clear()
    await channel.send(RESOLVED, opening)
    (message,) = slack.messages()
    assert message.shown.startswith("✅ photos-api is up again")
    assert "The message that opened this incident is gone." in message.shown
    assert "FATAL exit 74" in message.shown


@pytest.mark.parametrize("error", ["cant_update_message", "edit_window_closed"])
async def test_a_message_that_can_not_be_edited_any_more_is_followed_loudly(slack, channel, error: str) -> None:
    opening = await channel.send(OPENED, None)
    slack.fail_next("chat.update", error=error)
    await channel.send(UPDATE, opening)
    (reply,) = slack.thread(opening.data["ts"])
    assert reply.broadcast


async def test_a_receipt_of_another_type_of_channel_is_no_opening_message(slack, channel) -> None:
    await channel.send(RESOLVED, Receipt(data={"status": "200"}))
    assert len(slack.messages()) == 1


# ------------------------------------------------------------------------------------------------ tried again


async def test_a_closing_reply_that_failed_after_the_edit_is_posted_once_by_the_retry(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    slack.fail_next("chat.postMessage", status=503)
    assert (await refused(channel, recent(RESOLVED), opening)).retryable
    await channel.send(recent(RESOLVED), opening)
    assert len(slack.thread(opening.data["ts"])) == 1


async def test_a_closing_reply_whose_answer_was_lost_is_not_posted_twice(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    slack.fail_next("chat.postMessage", status=502, body="<html>", done=True)
    closing = recent(RESOLVED)
    assert (await refused(channel, closing, opening)).retryable
    receipt = await channel.send(closing, opening)
    (reply,) = slack.thread(opening.data["ts"])
    assert receipt.data["ts"] == reply.ts


async def test_a_page_whose_answer_came_too_late_is_not_posted_twice(slack) -> None:
    channel = make(slack, timeout="200ms")
    page = recent(OPENED)
    slack.fail_next("chat.postMessage", delay=0.6, done=True)
    assert (await refused(channel, page)).reason == "timeout"
    receipt = await channel.send(page, None)
    await channel.close()
    (message,) = slack.messages()
    assert receipt.data["ts"] == message.ts
    assert "evidence" in receipt.data


async def test_a_page_whose_sender_lost_patience_is_not_posted_twice(slack, channel) -> None:
    page = recent(OPENED)
    slack.fail_next("chat.postMessage", delay=0.5, done=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await channel.send(page, None)
    await channel.send(page, None)
    assert len(slack.messages()) == 1


@pytest.mark.parametrize("name", ["#oncall", "oncall", "C0000000001"])
async def test_a_page_that_the_agent_sent_before_it_died_is_not_posted_twice(slack, name: str) -> None:
    page = recent(OPENED)
    first = make(slack, channel=name)
    before = await first.send(page, None)
    await first.close()
    reborn = make(slack, channel=name, made=datetime.now(UTC) + timedelta(seconds=1))
    again = await reborn.send(page, None)
    other = await reborn.send(replace(page, key="another"), None)
    await reborn.close()
    assert again == before
    assert other != before
    assert len(slack.messages()) == 2


async def test_a_page_is_found_on_a_later_page_of_the_history(slack) -> None:
    page = recent(OPENED)
    first = make(slack)
    await first.send(page, None)
    for n in range(450):
        slack._post({"channel": "C0000000001", "text": f"chatter {n}"})
    reborn = make(slack, made=datetime.now(UTC) + timedelta(seconds=1))
    await reborn.send(page, None)
    await first.close()
    await reborn.close()
    assert slack.count("chat.postMessage") == 1
    assert slack.count("conversations.history") == 3


async def test_without_the_scope_to_look_back_the_page_is_sent_again_rather_than_lost() -> None:
    async with SlackStandIn(scopes=("chat:write",)) as slack:
        reborn = make(slack, made=datetime.now(UTC))
        await reborn.send(OPENED, None)
        await reborn.close()
        assert len(slack.messages()) == 1


# ------------------------------------------------------------------------------------------------ refusals

REFUSALS = [
    ("invalid_auth", "auth"),
    ("not_authed", "auth"),
    ("token_revoked", "auth"),
    ("account_inactive", "auth"),
    ("no_permission", "auth"),
    ("missing_scope", "auth"),
    ("channel_not_found", "not_found"),
    ("not_in_channel", "not_found"),
    ("is_archived", "archived"),
    ("msg_too_long", "invalid"),
    ("never_heard_of", "invalid"),
]


@pytest.mark.parametrize(("error", "reason"), REFUSALS)
async def test_a_refusal_in_a_200_answer_is_permanent_with_its_reason(slack, channel, error: str, reason: str) -> None:
    slack.fail_next("chat.postMessage", error=error, times=2)
    failed = await refused(channel)
    assert (failed.reason, failed.retryable) == (reason, False)
    assert error in str(failed)


@pytest.mark.parametrize(
    ("failure", "reason", "wait"),
    [
        pytest.param({"error": "ratelimited", "status": 429, "retry_after": "30"}, "rate_limited", 30.0, id="429"),
        pytest.param({"status": 429, "body": "slow down", "retry_after": "7"}, "rate_limited", 7.0, id="429, no JSON"),
        pytest.param({"error": "ratelimited"}, "rate_limited", None, id="limited in a 200 answer"),
        pytest.param({"error": "internal_error"}, "server", None, id="internal_error"),
        pytest.param({"error": "fatal_error"}, "server", None, id="fatal_error"),
        pytest.param({"status": 500}, "server", None, id="500"),
        pytest.param({"status": 503, "body": "<html>"}, "server", None, id="503 from a proxy"),
        pytest.param({"status": 200, "body": "<html>"}, "network", None, id="a page that is no Slack"),
    ],
)
async def test_trouble_that_passes_is_retryable(slack, channel, failure: dict, reason: str, wait: float | None) -> None:
    slack.fail_next("chat.postMessage", **failure)
    failed = await refused(channel)
    assert (failed.reason, failed.retryable, failed.retry_after) == (reason, True, wait)
    await channel.send(OPENED, None)
    assert len(slack.messages()) == 1


@pytest.mark.parametrize("failure", [{"status": 500}, {"drop": True}, {"status": 429, "retry_after": "1"}])
async def test_the_sdk_itself_tries_nothing_again(slack, channel, failure: dict) -> None:
    slack.fail_next("chat.postMessage", **failure)
    assert (await refused(channel)).retryable
    assert slack.count("chat.postMessage") == 1


async def test_a_page_whose_connection_was_cut_after_it_was_posted_is_not_posted_twice(slack, channel) -> None:
    page = recent(OPENED)
    slack.fail_next("chat.postMessage", drop=True, done=True)
    assert (await refused(channel, page)).reason == "network"
    await channel.send(page, None)
    assert len(slack.messages()) == 1


async def test_a_redirect_is_an_error_and_is_not_followed(slack, channel) -> None:
    slack.fail_next("chat.postMessage", status=307, location=f"{slack.url}chat.postMessage", body="")
    failed = await refused(channel)
    assert (failed.reason, failed.retryable) == ("redirect", False)
    assert slack.messages() == []


async def test_nobody_listening_is_retryable(slack) -> None:
    channel = make(slack, api_url="http://127.0.0.1:1/api/")
    failed = await refused(channel)
    await channel.close()
    assert (failed.reason, failed.retryable) == ("network", True)


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_too_long", "msg_blocks_too_long"])
async def test_a_page_that_slack_finds_ill_formed_is_sent_as_plain_text(slack, channel, error: str) -> None:
    slack.fail_next("chat.postMessage", error=error)
    await channel.send(OPENED, None)
    (message,) = slack.messages()
    assert message.blocks == []
    assert "FATAL exit 74" in message.shown
    assert "Failing  http, port" in message.shown


async def test_an_edit_that_slack_finds_ill_formed_is_made_as_plain_text(slack, channel) -> None:
    opening = await channel.send(OPENED, None)
    slack.fail_next("chat.update", error="invalid_blocks")
    await channel.send(RESOLVED, opening)
    (message,) = slack.messages()
    assert (message.blocks, message.shown.split("\n")[0]) == ([], "✅ photos-api is up again after 5m12s")


async def test_a_key_that_is_too_long_for_metadata_costs_the_metadata_and_not_the_page(slack, channel) -> None:
    await channel.send(replace(OPENED, key="k" * 10_000), None)
    assert slack.messages()[0].metadata == {}


async def test_one_slow_answer_does_not_delay_another_channel(slack) -> None:
    slow, quick = make(slack), make(slack, channel="#quiet")
    slack.fail_next("chat.postMessage", delay=3.0)
    waiting = asyncio.create_task(slow.send(OPENED, None))
    async with asyncio.timeout(2):
        await slack.called.wait()
        await quick.send(OPENED, None)
    waiting.cancel()
    await slow.close()
    await quick.close()


# ------------------------------------------------------------------------------------------------ credentials


async def test_good_credentials_are_verified_without_a_message(slack, channel) -> None:
    await channel.verify()
    assert [method for method, _ in slack.calls] == ["auth.test"]


async def test_a_wrong_token_is_refused_at_verification(slack) -> None:
    channel = make(slack, token="xoxb-wrong")
    with pytest.raises(DeliveryError, match="invalid_auth: make a new token") as failed:
        await channel.verify()
    await channel.close()
    assert not failed.value.retryable


async def test_a_token_that_may_not_post_is_refused_at_verification() -> None:
    async with SlackStandIn(scopes=("channels:read", "users:read")) as slack:
        channel = make(slack)
        with pytest.raises(DeliveryError, match=r"lacks the scope chat:write \(it has channels:read, users:read\)"):
            await channel.verify()
        await channel.close()


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"error": "invalid_auth"}, id="a refusal"),
        pytest.param({"error": TOKEN}, id="a server that echoes the token as its error"),
        pytest.param({"status": 500, "body": f"token={TOKEN}"}, id="a server that echoes the token as text"),
        pytest.param({"status": 200, "body": f"{{{TOKEN}"}, id="broken JSON with the token in it"),
        pytest.param({"delay": 1.0}, id="a timeout"),
    ],
)
async def test_the_token_is_in_no_error_and_in_no_log(
    slack, failure: dict, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    channel = make(slack, timeout="300ms")
    with caplog.at_level(logging.DEBUG):
        slack.fail_next(**failure)
        failed = await refused(channel)
    await channel.close()
    said = "".join(traceback.format_exception(failed)) + caplog.text + "".join(capsys.readouterr())
    assert TOKEN not in said
    assert "photos-api is down" not in caplog.text
    assert TOKEN not in repr(SlackOptions(token=TOKEN, channel="#a"))


async def test_a_proxy_for_the_world_is_not_used_where_no_proxy_says_so(slack, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    direct = make(slack)
    await direct.send(OPENED, None)
    await direct.close()
    monkeypatch.delenv("NO_PROXY")
    proxied = make(slack)
    assert (await refused(proxied)).reason == "network"
    await proxied.close()
    assert len(slack.messages()) == 1
