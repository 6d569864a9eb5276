"""Slack and a whole agent: what is pressed in the message under a page, and what becomes of it."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from agent.core.events import EventKind
from tests.slack_agent import PEOPLE, world
from tests.slack_people import SIGNING_SECRET

ALICE = "alice (U0ALICE)"


async def test_an_acknowledgement_from_slack_stops_the_clock_and_shows_in_the_message(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        message = await here.paged()
        assert set(message.buttons) == {"Ack", "Silence 1 h"}
        assert "there ▯▯" in message.shown, "what the check said last"
        await here.people.press(message, "Ack")
        assert (await here.people.whispered()).shown == f"web: {ALICE} has taken it on."
        await here.until(lambda: "*Acknowledged*" in here.message().shown)
        assert set(here.message().buttons) == {"Silence 1 h"}
        assert any(ALICE in text for text in await here.timeline(EventKind.ACKNOWLEDGED))
        here.sign.touch()
        await here.until(lambda: here.message().shown.startswith("✅"))
        assert here.message().buttons == {}
        assert "codeblue_answers_total" in await here.get("/metrics")


async def test_a_button_of_an_incident_that_is_over_does_nothing_to_the_next(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        old = (await here.paged()).buttons["Ack"]
        here.sign.touch()
        await here.until(lambda: here.message().shown.startswith("✅"))
        here.sign.unlink()
        await here.until(lambda: len(here.people.slack.messages()) == 2)
        await here.people.press_button(here.message(), old)
        assert "that incident is over" in (await here.people.whispered()).shown
        assert here.app.deciding.engine.table["web"].row.state.incident.ack is None
        async with asyncio.timeout(20):
            while not (notes := await here.timeline(EventKind.NOTED)):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.02)
        (noted,) = notes
        assert noted.startswith(f"{ALICE} wanted to acknowledge it from Slack, and was refused")


async def test_a_restart_from_slack_is_done_once_and_by_whom_stands_in_the_timeline(tmp_path: Path) -> None:
    async with world(tmp_path, mode="ask", may={"restart": ["U0ALICE"], "approve": ["U0ALICE"]}) as here:
        message = await here.paged()
        await here.until(lambda: "Approve restart" in here.message().buttons)
        question = message.buttons["Approve restart"]
        await here.people.press_button(message, question, "U0BOB")
        assert "channels.oncall.may.approve doesn't name you" in (await here.people.whispered()).shown
        assert not here.restarted.exists()
        await here.people.press_button(message, question)
        await here.people.whispered(2)
        await here.until(here.restarted.exists)
        assert any(ALICE in text for text in await here.timeline(EventKind.APPROVED))
        await here.people.press_button(message, question)
        assert "nothing waits for this approval" in (await here.people.whispered(3)).shown


async def test_a_question_that_nobody_answers_in_time_cannot_be_answered_later(tmp_path: Path) -> None:
    async with world(tmp_path, mode="ask", restart={"approve_within": "1s"}, may={"approve": ["U0ALICE"]}) as here:
        message = await here.paged()
        question = message.buttons["Approve restart"]
        await here.until(lambda: "Approve restart" not in here.message().buttons)
        await here.people.press_button(message, question)
        assert "nothing waits for this approval" in (await here.people.whispered()).shown
        assert "nobody approved the restart in time" in await here.timeline(EventKind.RESTART_REFUSED)
        assert not here.restarted.exists()


async def test_an_approval_is_for_the_evidence_that_was_shown_when_more_fails_the_button_is_a_new_one(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, mode="ask", second=True, may={"approve": ["U0ALICE"]}) as here:
        message = await here.paged()
        old = message.buttons["Approve restart"]
        (tmp_path / "second").unlink()
        await here.until(lambda: here.message().buttons.get("Approve restart", old) != old)
        await here.people.press_button(message, old)
        assert "nothing waits for this approval" in (await here.people.whispered()).shown
        assert not here.restarted.exists()
        await here.people.press_button(message, here.message().buttons["Approve restart"])
        await here.until(here.restarted.exists)


async def test_a_page_to_a_person_is_acknowledged_from_his_direct_message(tmp_path: Path) -> None:
    async with world(tmp_path, people=PEOPLE) as here:
        await here.paged()
        await here.until(lambda: here.people.slack.direct("U0ALICE").posted)
        direct = here.people.slack.direct("U0ALICE").posted[0]
        assert here.message().pings == ["<@U"]  # the channel sees who is asked
        await here.people.press(direct, "Ack")
        assert (await here.people.whispered()).shown == f"web: {ALICE} has taken it on."
        await here.until(lambda: "Ack" not in {**direct.buttons, **here.message().buttons})
        assert here.message().pings == ["<@U"]
        here.sign.touch()
        await here.until(lambda: direct.shown.startswith("✅") and here.message().shown.startswith("✅"))
        assert {**direct.buttons, **here.message().buttons} == {}


async def test_who_is_asked_by_a_later_step_is_mentioned_in_the_thread_and_the_message_mentions_nobody_anew(
    tmp_path: Path,
) -> None:
    steps = [{"notify": ["alice"], "wait": "1s"}, {"notify": ["bob"], "wait": "5m"}]
    people = {
        "people": {"alice": {"contacts": {"oncall": "U0ALICE"}}, "bob": {"contacts": {"oncall": "U0BOB"}}},
        "escalation": {"default": {"steps": steps, "repeat": 0}},
    }
    async with world(tmp_path, people=people) as here:
        message = await here.paged()
        slack = here.people.slack
        assert "<@U0ALICE>" in str(message.blocks)
        assert "bob, unless somebody acknowledges it" in message.shown
        await here.until(lambda: slack.thread(message.ts))
        assert "[@U0ALICE], bob" in here.message().shown
        assert here.message().pings == ["<@U"]
        assert "<@U0BOB>" not in str(here.message().blocks)
        (reply,) = slack.thread(message.ts)
        assert reply.pings == ["<@U"]
        assert "<@U0BOB>" in str(reply.blocks)
        assert not reply.broadcast


async def test_a_silence_from_slack_is_the_service_s_own(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.people.press(await here.paged(), "Silence 1 h")
        assert "web" in (await here.people.whispered()).shown
        await here.until(lambda: here.app.deciding.engine.table["web"].row.state.incident.quiet)


async def test_silences_by_button_by_command_and_from_a_terminal_are_the_same_in_the_listing_and_end_alike(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        await here.people.press(await here.paged(), "Silence 1 h")
        await here.people.whispered()
        await here.people.command("silence web for 2h because we are moving it")
        await here.people.whispered(2)
        words = ("--for", "2h", "--comment", "we are moving it", "--by", ALICE)
        await codeblue(tmp_path, "silence", "add", "service=web", *words)
        terminal, typed, pressed = json.loads(await codeblue(tmp_path, "silence", "list", "--json"))
        assert (pressed["comment"], _length(pressed)) == ("from Slack", timedelta(hours=1))
        assert (typed["comment"], _length(typed)) == ("we are moving it", timedelta(hours=2))
        own = ("id", "starts", "ends", "created", "why")  # what differs by the moment
        assert {key: typed[key] for key in typed if key not in own} == {
            key: terminal[key] for key in terminal if key not in own
        }
        assert {(one["match"], one["by"], one["state"]) for one in (terminal, typed, pressed)} == {
            ("service=web", ALICE, "active")
        }
        await here.until(lambda: here.app.deciding.engine.table["web"].row.state.incident.quiet)
        await codeblue(tmp_path, "silence", "expire", *(one["id"] for one in (terminal, typed, pressed)))
        await here.until(lambda: not here.app.deciding.engine.table["web"].row.state.incident.quiet)
        assert await codeblue(tmp_path, "silence", "list") == "no silences\n"


async def codeblue(folder: Path, *arguments: str) -> str:
    """What the command says, in a process of its own."""
    argv = [str(Path(sys.executable).with_name("codeblue")), *arguments, "--config", str(folder / "config.yaml")]
    process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    said, complaint = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, complaint
    return said.decode()


def _length(silence: dict[str, str]) -> timedelta:
    return datetime.fromisoformat(silence["ends"]) - datetime.fromisoformat(silence["starts"])


async def test_a_command_is_answered_by_the_agent(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.people.connected()
        await here.people.command("status")
        assert "well" in (await here.people.whispered()).shown
        await here.people.command("ack wbe")
        assert "did you mean 'web'?" in (await here.people.whispered(2)).shown


async def test_over_http_the_signature_is_all_that_is_needed(tmp_path: Path) -> None:
    async with world(tmp_path, app_token=None, signing_secret=SIGNING_SECRET) as here:
        here.people.http = f"http://127.0.0.1:{here.app.server.port}"
        await here.people.press(await here.paged(), "Ack")
        await here.until(lambda: "*Acknowledged*" in here.message().shown)
        assert here.people.statuses == [200]
        assert await here.people.post("interactive", {"type": "block_actions"}, secret="another") == 403


async def test_an_agent_that_hears_nobody_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.people.connected()
        here.people.slack.fail_next("apps.connections.open", error="invalid_auth", times=1_000)
        await here.people.links[0].ws.close()
        await here.until(lambda: here.app.vitals.channel_trouble)
        await here.app.channels.pagers.look_again()  # it can post, but that is not all
        assert "invalid_auth" in here.app.vitals.channel_trouble["oncall"]
        assert 'codeblue_channel_trouble{channel="oncall"} 1.0' in await here.get("/metrics")
        assert "oncall" in await here.get("/readyz")


async def test_who_may_do_what_is_reloaded(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        message = await here.paged()
        config = yaml.safe_load((tmp_path / "config.yaml").read_text())
        config["channels"]["oncall"]["may"] = {"ack": ["U0BOB"]}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        assert await here.reloader.reload()
        await here.people.connected(2)
        await here.people.press(message, "Ack")
        assert "channels.oncall.may.ack doesn't name you" in (await here.people.whispered()).shown


@pytest.mark.parametrize("token", ["app_token", "token"])
async def test_a_token_that_does_not_work_is_refused_at_start(tmp_path: Path, token: str) -> None:
    from agent.config.model import ConfigError

    with pytest.raises(ConfigError, match="its credentials do not work"):
        async with world(tmp_path, **{token: "xapp-1-wrong"}):
            pass
