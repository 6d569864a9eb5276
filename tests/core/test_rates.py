from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.rates import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        pytest.param("3 per 1h", Rate(3, timedelta(hours=1)), id="as in the examples"),
        pytest.param(" 20 per 10m ", Rate(20, timedelta(minutes=10)), id="blanks around it do not matter"),
        pytest.param("5/30s", Rate(5, timedelta(seconds=30)), id="a slash is a per"),
        pytest.param("1 per day", Rate(1, timedelta(days=1)), id="a named window"),
        pytest.param("0 per 1h", Rate(0, timedelta(hours=1)), id="never is a rate too"),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("3", id="no window"),
        pytest.param("per 1h", id="no count"),
        pytest.param("-3 per 1h", id="a negative count"),
        pytest.param("3.5 per 1h", id="a fraction"),
        pytest.param("3 per 10 apples", id="no duration"),
        pytest.param("3 per 0s", id="a window of no length"),
        pytest.param("٣ per 1h", id="digits of another script"),
    ],
)
def test_anything_else_is_refused_with_an_example_of_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match='expected a rate such as "3 per 1h"'):
        parse_rate(text)


@given(st.integers(0, 999_999), st.integers(1, 10_000_000))
def test_what_a_rate_prints_is_read_back_as_the_same_rate(count: int, seconds: int) -> None:
    rate = Rate(count, timedelta(seconds=seconds))
    assert parse_rate(str(rate)) == rate
