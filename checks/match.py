"""Expectations about one value: a plain one is equal, `/…/` is a regular expression, `>= 3` compares numbers."""

import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator

_COMPARISON = re.compile(r"(>=|<=|!=|==|>|<)\s*(.+)", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@lru_cache(maxsize=4096)
def pattern(text: str) -> re.Pattern[str]:
    """The compiled expression; the same one for every option that writes it. Raises ValueError."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def slashed(text: str) -> re.Pattern[str] | None:
    """The expression between slashes, None for a text that is not one. Raises ValueError."""
    return pattern(text[1:-1]) if len(text) > 2 and text[0] == text[-1] == "/" else None


def _checked_pattern(text: str) -> str:
    pattern(text)
    return text


def _checked_slashed(text: str) -> str:
    slashed(text)
    return text


PatternText = Annotated[str, AfterValidator(_checked_pattern)]
TextOrPattern = Annotated[str, AfterValidator(_checked_slashed)]


def text_matches(expected: str, found: str) -> bool:
    """Equal, or found by the expression between slashes."""
    expression = slashed(expected)
    return found == expected if expression is None else expression.search(found) is not None


def check_expectation(expected: Any) -> None:
    """Raises ValueError for an expectation that no value could ever be held against."""
    if not isinstance(expected, str):
        return
    slashed(expected)
    comparison = _COMPARISON.fullmatch(expected)
    if comparison and comparison[1] in _ORDER and _number(comparison[2]) is None:
        raise ValueError(f"{expected!r} compares with something that is not a number")


def value_matches(expected: Any, found: Any) -> bool:
    """Whether a JSON value is as expected. true is not 1, and a number in quotes is not a number."""
    if not isinstance(expected, str):
        return _equal(expected, found)
    comparison = _COMPARISON.fullmatch(expected)
    if comparison is None:
        return isinstance(found, str) and text_matches(expected, found)
    sign, wanted = comparison[1], comparison[2].strip()
    if sign in _ORDER:
        number = _number(wanted)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return is_number and number is not None and _ORDER[sign](found, number)
    same = found == wanted if isinstance(found, str) else _equal(_literal(wanted), found)
    return same is (sign == "==")


def _equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    return bool(expected == found)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _literal(text: str) -> Any:
    constants = {"true": True, "false": False, "null": None}
    if text in constants:
        return constants[text]
    number = _number(text)
    return text if number is None else number
