"""`codeblue run`: what ends it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from structlog.testing import capture_logs

from agent.commands.run import told_to_stop


async def for_ever() -> None:
    await asyncio.Event().wait()


async def crashes() -> None:
    raise LookupError("nothing there")


async def ends() -> None:
    """A loop that should have none."""


async def test_an_agent_that_is_told_to_stop_has_been_told() -> None:
    stop, lasting = asyncio.Event(), asyncio.create_task(for_ever(), name="pulse")
    asyncio.get_running_loop().call_soon(stop.set)
    assert await told_to_stop(stop, [lasting]) is True
    assert not lasting.done(), "whoever stops the agent ends it"
    lasting.cancel()


@pytest.mark.parametrize("work", [crashes, ends], ids=["it crashes", "it comes to an end"])
async def test_an_agent_of_which_a_part_has_ended_does_not_go_on_as_if_it_were_whole(
    work: Callable[[], Coroutine[None, None, None]],
) -> None:
    whole, half = asyncio.create_task(for_ever(), name="web"), asyncio.create_task(work(), name="pulse")
    with capture_logs() as said:
        assert await told_to_stop(asyncio.Event(), [whole, half]) is False
    assert [(line["event"], line["task"], line["log_level"]) for line in said] == [("task_ended", "pulse", "critical")]
    whole.cancel()
