"""Whom an event of a calendar means."""

import pytest

from agent.core.rota import Person
from agent.oncall.calendar import Event
from agent.oncall.naming import meant
from tests.oncall.duty import NOW, PEOPLE

SOME = {**PEOPLE, "ann": Person(name="ann"), "ann-marie": Person(name="ann-marie", aliases=("ops@example.org",))}


@pytest.mark.parametrize(
    ("summary", "attendees", "who"),
    [
        pytest.param("alice", (), "alice", id="the name"),
        pytest.param("On call: Alice Miller.", (), "alice", id="the full name, within a sentence"),
        pytest.param("ROBERT / Alice", (), "bob alice", id="an alias, another, whatever the case, in their order"),
        pytest.param("primary", ("Bob@Example.org",), "bob", id="an address that is a contact"),
        pytest.param(
            "alice", ("ops@example.org",), "ann-marie", id="an alias that is an address goes before the summary"
        ),
        pytest.param("alice", ("room-7@example.org",), "alice", id="an attendee that is not known: the summary"),
        pytest.param("ann-marie", (), "ann-marie", id="the longest name counts"),
        pytest.param("ann-sophie", (), "", id="nobody has this name"),
        pytest.param("ann@elsewhere.org", (), "", id="an address of somebody else"),
        pytest.param("joanna", (), "", id="part of a word"),
        pytest.param("alice and alice", (), "alice", id="twice is once"),
        pytest.param("", (), "", id="nothing"),
    ],
)
def test_an_event_means(summary: str, attendees: tuple[str, ...], who: str) -> None:
    assert meant(Event(NOW, NOW, summary, attendees), SOME) == tuple(who.split())
