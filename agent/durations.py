"""The field type for durations in options models: text such as `10s` in, timedelta inside, the same text out."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from agent.core.durations import PATTERN, format_duration, parse_duration


def _read(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write {value}s, {value}m or the like")
    raise ValueError("expected a duration such as 10s, 500ms, 5m or 1h30m")


_SCHEMA = {"type": "string", "pattern": rf"^(?=.){PATTERN}$", "examples": ["10s", "500ms", "5m", "1h30m"]}

Duration = Annotated[
    timedelta, BeforeValidator(_read), PlainSerializer(format_duration, return_type=str), WithJsonSchema(_SCHEMA)
]
"""A length of time, zero or more. Narrow it where zero is wrong: `Annotated[Duration, Gt(timedelta(0))]`."""
