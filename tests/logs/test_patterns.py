"""Counting lines that match, second by second."""

import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logs.patterns import Pattern
from tests.logs.conftest import Said
from tests.logs.lines import NOW, line

T = NOW.timestamp()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_only_matching_lines_are_counted_and_only_those_of_the_time_asked_for() -> None:
    pattern = Pattern("refused|timeout", T - 100)
    for seconds, text in [(60, "refused"), (30, "all well"), (20, "a timeout"), (0, "refused again")]:
        pattern.offer(line(text, ago=seconds), T - seconds)
    assert pattern.count(ago(100), T) == 3
    assert pattern.count(ago(59), T) == 2
    assert pattern.count(ago(20), T) == 2
    assert pattern.count(ago(19), T) == 1
    assert pattern.count(NOW + timedelta(seconds=5), T) == 0
    assert pattern.last == line("refused again")


def test_a_line_counts_in_the_second_it_was_written_not_read() -> None:
    pattern = Pattern("x", T - 300)
    pattern.offer(line("x", ago=200), T)
    pattern.offer(line("x", ago=100_000), T)
    assert pattern.count(ago(100), T) == 0
    assert pattern.count(ago(250), T) == 1


def test_a_longer_window_is_kept_from_the_moment_it_is_first_asked_for() -> None:
    pattern = Pattern("x", T - 7200)
    pattern.count(ago(7200 + 3600), T - 7200)
    for seconds in range(7200, 0, -10):
        pattern.offer(line("x", ago=seconds), T - seconds)
    assert pattern.count(ago(3600), T) == 360
    assert pattern.count(ago(600), T) == 60


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    pattern = Pattern("x", T)
    pattern.offer(line("x"), T)
    pattern.offer(line("x", ago=50), T - 50)
    assert pattern.count(ago(60), T - 50) == 2


def test_memory_is_bounded_by_a_day_whatever_window_is_asked_for() -> None:
    pattern = Pattern("x", T)
    pattern.offer(line("x"), T)
    assert pattern.count(ago(10_000_000), T) == 1
    assert len(pattern._ring) == 86_400


def test_an_expression_that_is_slow_gets_less_and_less_text_to_look_at(said: Said) -> None:
    pattern = Pattern(r"(a|aa)+$", T, patience=60)
    pattern.offer(line("a" * 28 + "!"), T)
    began = time.thread_time()
    assert [entry["event"] for entry in said] == ["log_pattern_slow"]
    pattern.offer(line("all well"), T)
    assert time.thread_time() - began < 0.05


def test_an_expression_that_would_stop_the_agent_is_given_up(said: Said) -> None:
    """It would take years on this line, and is ended after a tenth of a second."""
    pattern = Pattern(r"(a|aa)+$", T, patience=0.1)
    began = time.thread_time()
    pattern.offer(line("a" * 4000 + "!"), T)
    assert time.thread_time() - began < 1
    assert pattern.trouble
    pattern.offer(line("a" * 4000 + "!"), T)
    assert [entry["event"] for entry in said] == ["log_pattern_given_up"]


def test_only_the_first_4_kib_of_a_line_are_looked_at() -> None:
    pattern = Pattern("needle", T)
    pattern.offer(line("x" * 4_093 + "needle"), T)
    pattern.offer(line("x" * 4_080 + "needle"), T)
    assert pattern.count(ago(1), T) == 1


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Pattern("(", T)


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=60),
    st.lists(st.integers(0, 2500), min_size=1, max_size=5),
)
def test_the_ring_counts_what_a_list_would(offers: list[tuple[int, bool]], windows: list[int]) -> None:
    pattern = Pattern("x", T - 2000)
    pattern.count(ago(2000 + 2500), T - 2000)
    for seconds, matches in sorted(offers, reverse=True):
        pattern.offer(line("x" if matches else "-", ago=seconds), T - seconds)
    for window in windows:
        assert pattern.count(ago(window), T) == sum(matches and seconds <= window for seconds, matches in offers)
