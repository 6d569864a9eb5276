"""What is believed when an agent began without its database and learned late what it held."""

from dataclasses import replace

import pytest

from agent.core.state import Asked, Health, ServiceState, Tried
from agent.ports import Beat, BeatState
from agent.stores.merge import merge_beats, merge_states
from tests.stores.makers import at, down, healthy


def with_debts(state: ServiceState, *asked: Asked, tried: tuple[Tried, ...] = (), notices: int = 0) -> ServiceState:
    assert state.incident is not None
    return replace(state, incident=replace(state.incident, asked=asked, tried=tried, notices=notices))


@pytest.mark.parametrize(
    ("disk", "memory", "merged"),
    [
        (healthy(seconds=0), healthy(seconds=50), healthy(seconds=50)),
        (healthy(seconds=0), down(seconds=50), down(seconds=50)),
        (down(seconds=0), healthy(seconds=50), down(seconds=0)),
    ],
    ids=[
        "nothing open: memory is newer",
        "opened since: memory knows it",
        "open before: its closing message is owed, and the checks will close it",
    ],
)
def test_an_open_incident_is_never_forgotten(disk: ServiceState, memory: ServiceState, merged: ServiceState) -> None:
    assert merge_states(disk, memory) == merged


def test_restarts_of_both_lives_count_against_the_budget() -> None:
    disk, memory = replace(healthy(), restarts=(at(1), at(2))), replace(healthy(), restarts=(at(2), at(9)))
    assert merge_states(disk, memory).restarts == (at(1), at(2), at(9))


def test_two_open_incidents_become_the_older_with_everybody_who_was_asked() -> None:
    before = Asked(channel="oncall", key="k1", at=at(1), delivered=True)
    again = Asked(channel="oncall", key="k2", at=at(60))
    other = Asked(channel="ops", key="k3", at=at(61), delivered=True)
    tried = [Tried(key=f"r{i}", at=at(i), action="systemd") for i in (1, 60)]
    disk = with_debts(down(incident="old"), before, tried=(tried[0],), notices=1)
    memory = with_debts(down(incident="new", seconds=50), again, other, tried=(tried[1],), notices=2)
    merged = merge_states(disk, memory)
    assert merged.incident is not None
    assert (merged.incident.id, merged.incident.opened_at) == ("old", at(0))
    assert merged.incident.asked == (before, other)
    assert merged.incident.tried == tuple(tried)
    assert merged.incident.notices == 3  # part of keys: a number is never used twice
    assert merged.health is Health.DOWN


def test_beats_of_both_lives_are_the_newest_of_each_kind() -> None:
    old, new = Beat(at=at(1), kind="success"), Beat(at=at(50), kind="success")
    begun = Beat(at=at(60), kind="start")
    disk = BeatState(first_at=at(0), success=old, last=old, total=5)
    memory = BeatState(first_at=at(40), success=new, start=begun, last=begun, total=2)
    merged = merge_beats(disk, memory)
    assert merged == BeatState(first_at=at(0), success=new, start=begun, last=begun, total=7)
    assert merge_beats(disk, BeatState(first_at=at(40))).success == old
