"""Whatever anybody presses or types in Slack to change something stands in the incident's timeline, with who it was:
what was done, and what was refused."""

import asyncio
from pathlib import Path

import pytest

from agent.core.events import Event
from tests.slack_agent import World, world

ALICE = "alice (U0ALICE)"
BY_BOB = {what: ["U0BOB"] for what in ("ack", "silence", "restart", "approve")}
BY_ALICE = {what: ["U0ALICE"] for what in ("ack", "silence", "restart", "approve")}
SILENCED = f"{ALICE} made a silence: "

PRESSED = [
    pytest.param("off", "Ack", f"{ALICE} has acknowledged it", "acknowledge it", id="ack"),
    pytest.param("off", "Silence 1 h", SILENCED, "silence it", id="silence"),
    pytest.param("shadow", "Restart now", f"{ALICE} asked for a restart", "restart it", id="restart"),
    pytest.param("ask", "Approve restart", f"{ALICE} approved the restart", "approve a restart", id="approve"),
]
TYPED = [
    pytest.param("ack web for 2h", f"{ALICE} has acknowledged it", "acknowledge it", id="ack"),
    pytest.param("silence web for 2h", SILENCED, "silence it", id="silence of a service"),
    pytest.param("silence service=web service=~we.* for 2h", SILENCED, "silence it", id="silence by matchers"),
    pytest.param("silence web until resolved", SILENCED, "silence it", id="silence until it is resolved"),
]


async def said_of(here: World, user: str) -> Event:
    """The first event that bears that person's name, once there is one: in the incident that is open."""
    since = here.app.vitals.started
    async with asyncio.timeout(20):
        while True:
            events = await here.app.store.history("web", since=since)
            if found := sorted((one for one in events if user in one.data.get("by", "")), key=lambda one: one.at):
                break
            await asyncio.sleep(0.02)
    incident = here.app.deciding.engine.table["web"].row.state.incident
    assert incident is not None
    assert found[0].incident == incident.id
    return found[0]


async def offered(here: World, label: str) -> None:
    await here.paged()
    await here.until(lambda: label in here.message().buttons)


@pytest.mark.parametrize(("mode", "label", "done", "_"), PRESSED)
async def test_what_was_pressed_and_done_stands_in_the_timeline(
    tmp_path: Path, mode: str, label: str, done: str, _: str
) -> None:
    async with world(tmp_path, mode=mode, may=BY_ALICE) as here:
        await offered(here, label)
        await here.people.press(here.message(), label)
        assert (await said_of(here, "U0ALICE")).text.startswith(done)


@pytest.mark.parametrize(("mode", "label", "_", "wanted"), PRESSED)
async def test_what_was_pressed_and_refused_stands_in_the_timeline(
    tmp_path: Path, mode: str, label: str, _: str, wanted: str
) -> None:
    async with world(tmp_path, mode=mode, may=BY_BOB) as here:
        await offered(here, label)
        await here.people.press(here.message(), label)
        said = (await said_of(here, "U0ALICE")).text
        assert said.startswith(f"{ALICE} wanted to {wanted} from Slack, and was refused: You may not ")
        assert not here.restarted.exists()


@pytest.mark.parametrize(("typed", "done", "_"), TYPED)
async def test_what_was_typed_and_done_stands_in_the_timeline(tmp_path: Path, typed: str, done: str, _: str) -> None:
    async with world(tmp_path, may=BY_ALICE) as here:
        await here.paged()
        await here.people.command(typed)
        assert (await said_of(here, "U0ALICE")).text.startswith(done)


@pytest.mark.parametrize(("typed", "_", "wanted"), TYPED)
async def test_what_was_typed_and_refused_stands_in_the_timeline(
    tmp_path: Path, typed: str, _: str, wanted: str
) -> None:
    async with world(tmp_path, may=BY_BOB) as here:
        await here.paged()
        await here.people.command(typed)
        said = (await said_of(here, "U0ALICE")).text
        assert said.startswith(f"{ALICE} wanted to {wanted} from Slack, and was refused: You may not ")
