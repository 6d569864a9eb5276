"""What channels and tests of them look like on a terminal."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from agent.commands.show_notify import channels, outcome

NOW = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)


def printed(what: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def a_result(**more: Any) -> dict[str, Any]:
    return {
        "channel": "oncall",
        "type": "slack",
        "person": "",
        "outcome": "delivered",
        "took": 0.42,
        "where": {"channel": "#oncall", "channel_id": "C1"},
        "tries": 0,
        "reason": "",
        "error": "",
        "advice": "",
        **more,
    }


FAILED = {"where": {}, "reason": "auth", "error": "[token] revoked", "advice": "renew the token"}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        pytest.param(
            a_result(), "oncall (slack): delivered in 0.4 s\n  channel #oncall, channel id C1\n", id="delivered"
        ),
        pytest.param(
            a_result(outcome="failed", tries=1, **FAILED),
            "oncall (slack): not delivered\n  auth: [token] revoked\n  What to do: renew the token\n",
            id="refused",
        ),
        pytest.param(
            a_result(outcome="failed", person="alice", tries=3, **FAILED),
            "oncall/alice (slack): not delivered\n  auth: [token] revoked (3 tries)\n  What to do: renew the token\n",
            id="after some tries, for a person",
        ),
        pytest.param(
            a_result(outcome="waiting", where={}, error="not sent within 30 s", advice="try again"),
            "oncall (slack): not sent\n  not sent within 30 s\n  What to do: try again\n",
            id="in no time",
        ),
    ],
)
def test_a_test_says_what_became_of_it_and_what_to_do(result: dict[str, Any], text: str) -> None:
    assert printed(outcome(result)) == text


def test_the_listing_says_what_is_wrong_and_what_the_last_message_was() -> None:
    last = {"at": "2026-11-21T15:28:00Z", "address": "oncall", "kind": "opened", "outcome": "delivered", "error": ""}
    rows = [
        {"name": "oncall", "type": "slack", "trouble": "", "waiting": 0, "people": ["alice", "bob"], "last": last},
        {"name": "sms", "type": "apprise", "trouble": "auth: no", "waiting": 3, "people": [], "last": None},
        {
            "name": "hook",
            "type": "webhook",
            "trouble": "",
            "waiting": 0,
            "people": [],
            "last": {**last, "outcome": "dead", "error": "auth: [401]"},
        },
    ]
    head, oncall, sms, hook = printed(channels(rows, NOW)).splitlines()
    assert head.split() == ["CHANNEL", "TYPE", "STATE", "WAITING", "LAST", "MESSAGE", "PEOPLE"]
    assert "delivered 2 min ago (opened)" in oncall
    assert "alice, bob" in oncall
    assert "auth: no" in sms
    assert "none since the agent's start" in sms
    assert "given up 2 min ago (opened): auth: [401]" in hook
