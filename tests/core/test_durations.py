"""Durations as people write them, and the field type that reads them."""

from datetime import timedelta
from typing import Annotated, Any

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from agent.core.durations import format_duration, parse_duration
from agent.durations import Duration

READ = [
    pytest.param("10s", timedelta(seconds=10), id="seconds"),
    pytest.param("500ms", timedelta(milliseconds=500), id="milliseconds are not minutes"),
    pytest.param("5m", timedelta(minutes=5), id="minutes"),
    pytest.param("1h30m", timedelta(minutes=90), id="units combine"),
    pytest.param("1w2d3h4m5s6ms", timedelta(9, 11045, 6000), id="all units"),
    pytest.param("1.5s", timedelta(seconds=1.5), id="a fraction"),
    pytest.param("0s", timedelta(0), id="nothing"),
    pytest.param(" 1h 30m ", timedelta(minutes=90), id="spaces don't matter"),
    pytest.param("90m", timedelta(minutes=90), id="more than the next unit"),
]

REFUSED = [
    pytest.param("", "is not a duration", id="empty"),
    pytest.param("10", "write the unit, 10s or 10m", id="a number without a unit says which to add"),
    pytest.param("-5s", "is not a duration", id="negative"),
    pytest.param("30m1h", "is not a duration", id="smaller unit first"),
    pytest.param("5m5m", "is not a duration", id="a unit twice"),
    pytest.param("5 minutes", "expected something like", id="a word"),
    pytest.param("1e3s", "is not a duration", id="an exponent"),
    pytest.param("٣s", "is not a duration", id="digits of another script"),
    pytest.param("5200000w", "longer than a hundred years", id="too long"),
    pytest.param("x" * 400, "is not a duration", id="a text without an end"),
    pytest.param("9" * 400 + "s", "longer than a hundred years", id="too long for a float"),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_a_duration_is_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_not_a_duration_is_refused_with_a_remedy(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse_duration(text)
    assert len(str(refused.value)) < 200


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_000)))
def test_what_is_written_reads_back_as_the_same_length(length: timedelta) -> None:
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize(
    ("length", "text"),
    [(timedelta(minutes=90), "1h30m"), (timedelta(0), "0s"), (timedelta(milliseconds=-1500), "-1s500ms")],
)
def test_a_duration_is_written_short(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


class Timing(BaseModel):
    every: Annotated[Duration, Gt(timedelta(0))]


def test_the_field_reads_text_and_writes_it_back() -> None:
    timing = Timing.model_validate({"every": "1h30m"})
    assert timing.every == timedelta(minutes=90)
    assert timing.model_dump(mode="json") == {"every": "1h30m"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(10, "10 has no unit: write 10s", id="a bare number"),
        pytest.param(True, "expected a duration", id="a boolean"),
        pytest.param(None, "expected a duration", id="null"),
        pytest.param("soon", "is not a duration", id="a word"),
        pytest.param("0s", "greater than", id="the narrowed type's own rule"),
    ],
)
def test_the_field_refuses_with_a_clear_message(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Timing.model_validate({"every": value})


def test_the_json_schema_is_a_string_with_a_pattern() -> None:
    schema = Timing.model_json_schema()["properties"]["every"]
    assert schema["type"] == "string"
    assert schema["pattern"].startswith("^")
