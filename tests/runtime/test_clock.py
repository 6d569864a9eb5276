"""Steps and suspends are seen; slewing is not."""

from datetime import timedelta

import pytest

from agent.runtime.clock import Clock


class Hands:
    """A wall clock and a monotonic one that a test moves by hand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_700_000_000.0, 500.0

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.monotonic)


def test_passing_time_is_no_step() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.pass_time(86_400)
    assert clock.step() == timedelta(0)
    assert not clock.stepped_since(0)


@pytest.mark.parametrize("seconds", [-3600, 3600, 30 * 86_400, -30 * 86_400, 1.5])
def test_a_step_is_seen_once_and_its_size_is_told(seconds: float) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall += seconds
    assert clock.step() == pytest.approx(timedelta(seconds=seconds), abs=timedelta(milliseconds=1))
    assert clock.step() == timedelta(0)


def test_a_step_that_nobody_has_looked_for_yet_is_seen_by_whoever_asks_about_the_past() -> None:
    hands = Hands()
    clock = hands.clock()
    began = clock.monotonic()
    hands.pass_time(2)
    hands.wall += 7200
    assert clock.stepped_since(began)
    clock.step()
    assert clock.stepped_since(began)
    hands.pass_time(5)
    assert not clock.stepped_since(clock.monotonic())


def test_slewing_adds_up_to_no_step() -> None:
    hands = Hands()
    clock = hands.clock()
    for _ in range(10_000):
        hands.pass_time(1)
        hands.wall += 0.0005
        assert clock.step() == timedelta(0)
