"""What pydantic found, in words for the person who wrote the file."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.config.fields import Model, allowed, keys, nested, secrets
from agent.config.nearest import did_you_mean
from agent.config.report import Steps
from agent.core.durations import format_duration

_LONGEST = 80  # characters of a value that are shown

_EXPECTED: Mapping[str, str] = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping of options",
    "model_attributes_type": "a mapping of options",
    "url_parsing": "a URL such as https://example.org/health",
    "url_type": "a URL such as https://example.org/health",
    "path_type": "the path of a file",
    "byte_size": "a size such as 500MB or 1GiB",
    "byte_size_unit": "a size such as 500MB or 1GiB",
}
_LIMITS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda c: f"more than {_figure(c['gt'])}",
    "greater_than_equal": lambda c: f"at least {_figure(c['ge'])}",
    "less_than": lambda c: f"less than {_figure(c['lt'])}",
    "less_than_equal": lambda c: f"at most {_figure(c['le'])}",
    "string_too_short": lambda c: "a text that is not empty" if c["min_length"] == 1 else f"{c['min_length']} letters",
    "string_too_long": lambda c: f"at most {c['max_length']} characters",
    "too_short": lambda c: f"at least {_items(c['min_length'], c)}",
    "too_long": lambda c: f"at most {_items(c['max_length'], c)}",
    "literal_error": lambda c: f"one of {c['expected']}",
    "enum": lambda c: f"one of {c['expected']}",
    "string_pattern_mismatch": lambda c: f"a text of the form {c['pattern']}",
    "url_scheme": lambda c: f"a URL that begins with {c['expected_schemes']}",
}


def explain(error: ValidationError, model: Model, value: object) -> list[tuple[Steps, str]]:
    """Each thing that is wrong with `value`, as the steps to it and one message.

    The alternatives of a union become one message, and where a part of an alternative is wrong only that part is named.
    """
    found: dict[Steps, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_steps(detail, value), []).append(detail)
    deep = [steps for steps in found if not any(len(o) > len(steps) and o[: len(steps)] == steps for o in found)]
    return [(steps, _message(found[steps], model, steps)) for steps in deep]


def _steps(detail: ErrorDetails, value: object) -> Steps:
    """The location without what pydantic adds of its own: names of alternatives and of validators."""
    steps: list[str | int] = []
    for n, part in enumerate(detail["loc"]):
        written = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if part in written:
            value = value[part]  # type: ignore[index]
        elif not (detail["type"] == "missing" and n == len(detail["loc"]) - 1):
            continue
        steps.append(part)
    return tuple(steps)


def _message(details: list[ErrorDetails], model: Model, steps: Steps) -> str:
    for detail in details:
        if detail["type"] == "extra_forbidden":
            return f"unknown key{did_you_mean(str(steps[-1]), _known(model, steps[:-1]))}"
        if detail["type"] == "missing":
            return "is required"
        if detail["type"] in ("value_error", "assertion_error"):
            return str(detail["ctx"]["error"])
    expected = list(dict.fromkeys(_expected(detail) for detail in details))
    got = "" if _is_secret(model, steps) else f", got {shown_value(details[0]['input'])}"
    hint = " (put it in quotes)" if expected == ["a text"] and isinstance(details[0]["input"], int | float) else ""
    return f"expected {' or '.join(expected)}{got}{hint}"


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] in _LIMITS:
        return _LIMITS[detail["type"]]({**detail["ctx"], "input": detail["input"]})
    said = detail["msg"].removeprefix("Input should be ")
    return _EXPECTED.get(detail["type"]) or said[:1].lower() + said[1:]


def _models_at(model: Model, steps: Steps) -> list[type[BaseModel]]:
    """The models that describe the options at the end of these steps."""
    models = [model]
    for step in steps:
        inner = [m for outer in models if isinstance(step, str) for m in nested(outer).get(step, ())]
        models = inner or models  # a number, or a name in a mapping of models, stays with the same model
    return models


def _known(model: Model, steps: Steps) -> list[str]:
    return [key for found in _models_at(model, steps) for key in allowed(found)]


def _is_secret(model: Model, steps: Steps) -> bool:
    for depth, step in enumerate(steps):
        for owner in _models_at(model, steps[:depth]):
            secret = isinstance(step, str) and step in keys(owner) and "SecretStr" in repr(keys(owner)[step].annotation)
            if secret or step in secrets(owner):
                return True
    return False


def shown_value(value: object) -> str:
    """A value as it may stand in a message: short, and in the file's own words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = format_duration(value) if isinstance(value, timedelta) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _figure(limit: object) -> str:
    if isinstance(limit, str) and limit.startswith("datetime.timedelta"):  # that is how pydantic passes it on
        parts = {unit: float(count) for unit, count in re.findall(r"(\w+)=(-?\d+)", limit)}
        return format_duration(timedelta(**parts))
    return f"{limit:,g}" if isinstance(limit, float) else str(limit)


def _items(count: int, context: dict[str, Any]) -> str:
    thing = "character" if isinstance(context["input"], str) else "item"
    return f"one {thing}" if count == 1 else f"{count} {thing}s"
