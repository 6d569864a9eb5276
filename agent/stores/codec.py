"""What the stores write: the core's dataclasses as JSON text, and back.

Encoding never fails for what the core can hold: texts from outside may contain lone surrogates or NUL, which neither
UTF-8 nor PostgreSQL take; they are replaced. Decoding ignores fields that this version does not know (an older agent
may read what a newer one wrote within the same schema version) and refuses everything else that does not fit.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # made on first use: building one takes about a millisecond


class Unreadable(ValueError):
    """A stored text is not what this version of codeblue writes."""


def encode(value: object) -> str:
    """The value as JSON text; `decode` with its type gives an equal one."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(_scrubbed(value), default=_plain).decode()


def decode(kind: type[T], text: str) -> T:
    """The value that was encoded. Raises Unreadable, naming the first thing that does not fit."""
    try:
        value: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "text"
        raise Unreadable(f"{kind.__name__}: {place}: {first['msg']}") from error
    return value


def micros(at: datetime) -> int:
    """An aware time as microseconds since the epoch: exact, and sorts like the time."""
    return (at - EPOCH) // MICROSECOND


def from_micros(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


def clean(text: str) -> str:
    """The text as every database takes it: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    known = _ADAPTERS.get(kind)
    if known is None:
        known = _ADAPTERS[kind] = TypeAdapter(kind)
    return known


def _plain(value: object) -> object:
    """What orjson cannot write by itself: read-only mappings, and durations (as ISO 8601)."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, timedelta):
        sign, size = ("-", -value) if value < timedelta(0) else ("", value)
        return f"{sign}P{size.days}DT{size.seconds}.{size.microseconds:06}S"
    raise TypeError(f"{type(value).__name__} is not stored")


def _scrubbed(value: Any) -> Any:
    """The same value as plain containers with every text made clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_scrubbed(item) for item in value]
    if is_dataclass(value):
        return {field.name: _scrubbed(getattr(value, field.name)) for field in fields(value)}
    return value
