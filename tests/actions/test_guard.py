"""The process that ends what supervised processes leave behind when the agent is killed."""

import os
import signal
import subprocess
from uuid import uuid4

import pytest

from agent.actions.guard import left
from agent.actions.guarding import Guard
from tests.processes import alive, eventually, nothing_left


@pytest.mark.parametrize(
    ("lines", "groups"),
    [
        pytest.param([], set(), id="nothing was supervised"),
        pytest.param(["+12\n", "+13\n", "-12\n"], {13}, id="one has ended"),
        pytest.param(["+12\n", "+1"], {12}, id="the agent was killed in the middle of a word"),
        pytest.param(["-12\n", "+12\n"], {12}, id="its number came back"),
    ],
)
def test_what_is_left_at_the_end(lines: list[str], groups: set[int]) -> None:
    assert left(lines) == groups


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)


async def test_at_the_end_what_was_added_and_not_removed_is_killed_and_nothing_else() -> None:
    with nothing_left(f"mark-{uuid4().hex}"), sleeper() as mine, sleeper() as done:
        guard = Guard()
        guard.add(mine.pid)
        guard.add(done.pid)
        guard.remove(done.pid)
        await guard.end()
        await eventually(lambda: not alive(mine.pid))
        assert alive(done.pid)
        done.kill()


async def test_a_guard_that_was_killed_is_replaced_with_the_next_group_and_knows_all_of_them() -> None:
    with sleeper() as first, sleeper() as second:
        guard = Guard()
        guard.add(first.pid)
        killed = guard.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: not alive(killed))
        guard.add(second.pid)
        await guard.end()
        await eventually(lambda: not alive(first.pid) and not alive(second.pid))
