"""What the listings say, as a person reads them on a terminal of 120 columns."""

from typing import Any

import pytest
from rich.console import Console, RenderableType

from agent.commands import show

INCIDENT: dict[str, Any] = {
    "service": "api",
    "first_miss_at": "2026-03-01T03:00:00Z",
    "stage": "paged",
    "check": "http",
    "summary": "connection refused",
    "tried": [],
    "asked": [{"channel": "sms/alice", "delivered": True}],
    "ack": None,
    "quiet": "",
}


def printed(what: RenderableType) -> str:
    console = Console(width=120, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({}, "sms/alice\n", id="asked"),
        pytest.param({"ack": {"by": "alice"}}, "sms/alice; alice has taken it on", id="acknowledged"),
        pytest.param({"quiet": "silenced by bob"}, "sms/alice; silenced by bob", id="silenced-after-the-page"),
        pytest.param({"quiet": "silenced by bob", "asked": []}, "  silenced by bob", id="silenced-before-it"),
    ],
)
def test_an_incident_says_who_was_asked_and_who_has_it(more: dict[str, Any], said: str) -> None:
    text = printed(show.incidents({"open": [{**INCIDENT, **more}], "recent": []}))
    assert said in "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_a_service_that_is_held_says_what_it_waits_for() -> None:
    row = {"name": "api", "health": "down", "since": None, "checks": 1, "summary": "http: refused", "stage": "held"}
    assert "http: refused (held by db, cache)" in printed(show.services([{**row, "held_by": ["db", "cache"]}]))
    assert "http: refused (held)" in printed(show.services([{**row, "held_by": []}]))


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        pytest.param([], " - ", id="nothing"),
        pytest.param(["failed", "failed", "failed"], "process failed 3 times", id="alike"),
        pytest.param(["done", "failed", None], "process done, process failed, process running", id="each another"),
    ],
)
def test_restarts_that_went_alike_are_counted(outcomes: list[str | None], said: str) -> None:
    tried = [{"action": "process", "outcome": outcome} for outcome in outcomes]
    assert said in printed(show.incidents({"open": [{**INCIDENT, "tried": tried}], "recent": []}))


def test_an_explanation_names_the_steps_of_the_escalation() -> None:
    steps = [
        {"notify": ["oncall:primary"], "wait": 300.0},
        {"notify": ["person:bob", "channel:ops"], "wait": 600.0},
    ]
    policy = {"page": ["oncall"], "escalation": {"name": "night", "steps": steps, "repeat": 2}}
    service = {"name": "api", "health": "up", "since": None, "checks": [], "depends_on": []}
    text = printed(show.explanation({"service": service, "policy": policy, "restarts": None, "timeline": []}))
    assert "Pages: oncall; by night: primary → 5 min → bob and ops, 2 times more" in text
