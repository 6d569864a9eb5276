"""How the demo's timeline tells what the agent logs."""

from typing import Any

import pytest

from agent.commands.demo_agent import told


def logged(event: str, text: str, **more: Any) -> dict[str, Any]:
    return {"event": event, "service": "photos", "check": "http", "text": text, **more}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        pytest.param(
            logged("missed", "missed beat 1 of 2: refused"), "✗ photos  http: missed beat 1 of 2: refused", id="a miss"
        ),
        pytest.param(
            logged("recovered_early", "passed again before anything was decided", check="beat"),
            "✓ photos  beat: passed again before anything was decided",
            id="one check recovers while the other still misses",
        ),
        pytest.param(
            logged("opened", "incident opened: http: refused"),
            "✗ photos  incident opened: http: refused",
            id="a text that names its check is not told twice",
        ),
        pytest.param(
            {"event": "restart_ordered", "service": "photos", "text": "restart 1 by process"},
            "↻ photos  restart 1 by process",
            id="no check is meant",
        ),
    ],
)
def test_a_line_says_which_check_it_means(entry: dict[str, Any], line: str) -> None:
    assert told(entry).plain == line
