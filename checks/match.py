"""Expectations about one value: a plain one is equal, `/…/` is a regular expression, `>= 3` compares numbers.

Expressions are searched for by the `regex` package, which knows what `re` knows, gives up after a time limit, and
lets other threads work meanwhile. What a target answers must not be able to stop the agent.
"""

import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator

_COMPARISON = re.compile(r"(>=|<=|!=|==|>|<)\s*(.+)", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


QUICK = 0.02  # seconds of CPU time: everything else stands still for so long at most
_REMEDY = "avoid repeats within repeats, and several .* in one expression"


class Expression(Protocol):
    """A compiled regular expression."""

    @property
    def pattern(self) -> str: ...

    def search(self, string: str, *, timeout: float) -> object: ...


class TooSlow(Exception):
    """A search was given up: nobody can tell whether the expression is in the text."""


@lru_cache(maxsize=4096)
def pattern(text: str) -> Expression:
    """The compiled expression; the same one for every option that writes it. Raises ValueError."""
    import regex

    try:
        found: Expression = regex.compile(text)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return found


def searched(expression: Expression, text: str, patience: float = QUICK) -> bool:
    """Whether the expression is anywhere in the text. Raises TooSlow after `patience` seconds of CPU time."""
    try:
        return expression.search(text, timeout=patience) is not None
    except TimeoutError:
        shown = expression.pattern if len(expression.pattern) <= 80 else f"{expression.pattern[:79]}…"
        size = f"{len(text)} characters"
        raise TooSlow(f"/{shown}/ takes more than {patience:g} s on {size}: {_REMEDY}") from None


def slashed(text: str) -> Expression | None:
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


def text_matches(expected: str, found: str, patience: float = QUICK) -> bool:
    """Equal, or found by the expression between slashes. Raises TooSlow."""
    expression = slashed(expected)
    return found == expected if expression is None else searched(expression, found, patience)


def check_expectation(expected: Any) -> None:
    """Raises ValueError for an expectation that no value could ever be held against."""
    if not isinstance(expected, str):
        return
    slashed(expected)
    comparison = _COMPARISON.fullmatch(expected)
    if comparison and comparison[1] in _ORDER and _number(comparison[2]) is None:
        raise ValueError(f"{expected!r} compares with something that is not a number")


def value_matches(expected: Any, found: Any, patience: float = QUICK) -> bool:
    """Whether a JSON value is as expected. true is not 1, and a number in quotes is not a number. Raises TooSlow."""
    if not isinstance(expected, str):
        return _equal(expected, found)
    comparison = _COMPARISON.fullmatch(expected)
    if comparison is None:
        return isinstance(found, str) and text_matches(expected, found, patience)
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
