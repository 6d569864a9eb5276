"""The field types of a configuration's own keys, each with the message for what it does not take."""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, PlainSerializer, WithJsonSchema

from agent.config.nearest import nearest
from agent.core.durations import format_duration
from agent.core.rates import Rate, parse_rate
from agent.core.schedule import SLOT
from agent.durations import Duration

_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"


def check_name(value: object) -> str:
    """The name itself. Raises ValueError, saying what a name is, for anything else."""
    if isinstance(value, str) and re.fullmatch(_NAME, value, re.ASCII):
        return value
    raise ValueError(f"expected a name such as photos-api: small letters, digits, . _ -, at most 63; got {value!r}")


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _texts(value: object) -> object:
    """Numbers and booleans in a mapping of texts are what they look like: PORT: 8080."""
    if not isinstance(value, dict):
        return value
    return {key: _text(item) for key, item in value.items()}


def _text(item: object) -> object:
    if isinstance(item, bool):
        return str(item).lower()
    return str(item) if isinstance(item, int | float) else item


def _argv(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"expected a list such as [{', '.join(value.split())}]: there is no shell to split a text")
    return [_text(item) for item in value] if isinstance(value, list) else value


def _longer_than_zero(value: timedelta) -> timedelta:
    if value > timedelta(0):
        return value
    raise ValueError("expected a duration longer than zero")


def _not_too_often(value: timedelta) -> timedelta:
    if value < SLOT:
        raise ValueError(
            f"expected {format_duration(SLOT)} or longer, got {format_duration(value)}: ms are milliseconds, m minutes"
        )
    return value


def _no_boolean(value: object) -> object:
    """`true` would be taken for 1."""
    if isinstance(value, bool):
        raise ValueError(f"expected a whole number, got {str(value).lower()}")
    return value


def _rate(value: object) -> Rate:
    if isinstance(value, Rate):
        return value
    return parse_rate(value if isinstance(value, str) else str(value))


def _cron(value: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        if len(value.split()) == 5:
            CronSim(value, datetime(2000, 1, 1, tzinfo=UTC))
            return " ".join(value.split())
    except CronSimError as error:
        raise ValueError(f"expected a cron expression such as '*/5 * * * *', got {value!r}: {error}") from error
    raise ValueError(f"expected a cron expression of five fields such as '*/5 * * * *', got {value!r}")


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        meant = nearest(value, (name for name in available_timezones() if "/" in name))  # not EST for CEST
        raise ValueError(f"expected a time zone such as Europe/Berlin or UTC, got {value!r}{meant}") from error
    return value


def split_address(text: str) -> tuple[str, int]:
    """`host:port` as its parts; an IPv6 address stands in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host if ":" not in host else ""
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"expected an address such as 127.0.0.1:9797, got {text!r}")
    return host, int(port)


def _address(value: object) -> object:
    split_address(str(value))
    return value


def is_loopback(address: str) -> bool:
    """Can only this machine reach it?"""
    host, _ = split_address(address)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _store(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"sqlite://(/.*)?", value):
        return value
    raise ValueError(f"expected sqlite:///FILE, got {value!r}")


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return value
    except ValueError:
        pass
    raise ValueError(f"expected a URL such as http://127.0.0.1:4318, got {value!r}")


def _link_template(value: str) -> str:
    if value:
        _http_url(value.replace("{service}", "web"))
    return value


def _trace_link(value: str) -> str:
    if value and "{trace_id}" not in value:
        raise ValueError("expected a URL with {trace_id} in it, such as https://traces.internal/trace/{trace_id}")
    return value


NAME_SCHEMA = {"type": "string", "pattern": f"^{_NAME}$"}
ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

Name = Annotated[str, BeforeValidator(check_name), WithJsonSchema(NAME_SCHEMA)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names), WithJsonSchema(ONE_OR_MORE)]
Texts = Annotated[
    dict[str, str],
    BeforeValidator(_texts),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
]
Argv = Annotated[
    tuple[str, ...],
    BeforeValidator(_argv),
    WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": ["string", "number"]}}),
]
Length = Annotated[Duration, AfterValidator(_longer_than_zero)]
Cadence = Annotated[Length, AfterValidator(_not_too_often)]
Count = Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=1_000_000)]
RateText = Annotated[
    Rate,
    BeforeValidator(_rate),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+\s*(per|in|/)\s*\S+\s*$", "examples": ["3 per 1h"]}),
]
CronText = Annotated[str, AfterValidator(_cron)]
Zone = Annotated[str, AfterValidator(_zone)]
Address = Annotated[str, BeforeValidator(_address)]
StoreUrl = Annotated[str, BeforeValidator(_store)]
LinkTemplate = Annotated[str, AfterValidator(_link_template)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
TraceLink = Annotated[str, AfterValidator(_trace_link)]
Size = Annotated[
    ByteSize, WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": ["1GiB"]})
]
