"""The field types of everything about who is on call and when."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from agent.config.types import ONE_OR_MORE, Length
from agent.core.hours import Window, parse_clock, parse_day, parse_window

SEVERITIES = ("critical", "error", "warning", "info")
HOUR = timedelta(hours=1)

Severity = Literal["critical", "error", "warning", "info"]


def _windows(value: object) -> tuple[Window, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(one, str | Window) for one in texts):
        raise ValueError("expected hours such as Mon-Fri 09:00-17:00, or a list of such")
    return tuple(one if isinstance(one, Window) else parse_window(one) for one in texts)


def _date(value: object) -> date:
    if isinstance(value, date):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = date.min
        if 1970 <= found.year < 2200:
            return found
    raise ValueError(f"expected a date such as 2026-01-05, got {value!r}")


def _handover(value: object) -> tuple[int | None, int]:
    if isinstance(value, tuple):
        return value
    words = value.split() if isinstance(value, str) else []
    if len(words) not in (1, 2):
        raise ValueError(f"expected a time of day such as 09:00, or Mon 09:00; got {value!r}")
    return (parse_day(words[0]) if len(words) == 2 else None), parse_clock(words[-1])


_LENGTHS = {"hourly": "1h", "daily": "1d", "weekly": "1w"}


def _every(value: object) -> object:
    return _LENGTHS.get(value, value) if isinstance(value, str) else value


def _whole_hours(value: timedelta) -> timedelta:
    if value % HOUR:
        raise ValueError("expected whole hours, days or weeks")
    return value


def _turns(value: object) -> object:
    """Each turn is one name or a list of them."""
    turns = [value] if isinstance(value, str) else value
    return [[turn] if isinstance(turn, str) else turn for turn in turns] if isinstance(turns, list) else turns


def _addresses(value: object) -> object:
    """A telephone number without quotes is a number, and its + is lost: it must not get that far."""
    for channel, address in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(address, str) or not address.strip():
            got = "nothing" if address in (None, "") else f"{address!r}, which is no text: put it in quotes"
            raise ValueError(f"expected an address on {channel} in quotes, such as '+49 170 1234567'; got {got}")
    return value


def _patterns(value: object) -> object:
    """What a route wants of each label: one pattern or several."""
    if not isinstance(value, Mapping):
        return value
    return {key: [one] if isinstance(one, str) else one for key, one in value.items()}


HoursText = Annotated[
    tuple[Window, ...],
    BeforeValidator(_windows),
    PlainSerializer(lambda windows: [str(one) for one in windows], return_type=list[str]),
    WithJsonSchema(ONE_OR_MORE),
]
DateText = Annotated[date, BeforeValidator(_date), WithJsonSchema({"type": "string", "examples": ["2026-01-05"]})]
Handover = Annotated[
    tuple[int | None, int],
    BeforeValidator(_handover),
    WithJsonSchema({"type": "string", "examples": ["09:00", "Mon 09:00"]}),
]
TurnLength = Annotated[
    Length,
    BeforeValidator(_every),
    AfterValidator(_whole_hours),
    WithJsonSchema({"type": "string", "examples": ["weekly", "daily", "1w", "2d", "12h"]}),
]
Turns = Annotated[
    tuple[tuple[str, ...], ...],
    BeforeValidator(_turns),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": ONE_OR_MORE}]}),
]
Addresses = Annotated[
    dict[str, str],
    BeforeValidator(_addresses),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
Patterns = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_patterns),
    WithJsonSchema({"type": "object", "additionalProperties": ONE_OR_MORE}),
]
