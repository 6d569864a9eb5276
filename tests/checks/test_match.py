"""Expectations about single values, and places in a JSON document."""

import re
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.json_path import MISSING, find, parse_path
from checks.match import TooSlow, pattern, searched, value_matches

DOCUMENT = {"a": {"b c": [1, {"d": None}]}, "ünï": "x", "it's": 5, "": 1, "a-b": 2}

FOUND = [
    ("$", DOCUMENT),
    ("$.a['b c'][0]", 1),
    ('$.a["b c"][-1].d', None),
    ("$['it\\'s']", 5),
    ("$.ünï", "x"),
    ("$['']", 1),
    ("$.a-b", 2),
    ("$.a['b c'][2]", MISSING),
    ("$.a['b c'][-3]", MISSING),
    ("$.a.b", MISSING),
    ("$.a[0]", MISSING),
    ("$.ünï.x", MISSING),
]


@pytest.mark.parametrize(("path", "expected"), FOUND, ids=[path for path, _ in FOUND])
def test_a_path_finds_one_place_or_says_that_it_is_missing(path: str, expected: Any) -> None:
    assert find(DOCUMENT, path) is expected or find(DOCUMENT, path) == expected


@pytest.mark.parametrize("path", ["", "a", "$a", "$.", "$.a[*]", "$..a", "$[1:2]", "$[?@.a]", "$.a[0", "$['a", "$.a b"])
def test_what_is_no_such_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a JSON path"):
        parse_path(path)


@given(st.lists(st.text(min_size=0) | st.integers(0, 3), max_size=5))
def test_any_key_can_be_named_in_quotes(steps: list[str | int]) -> None:
    document: Any = "here"
    path = ""
    for step in reversed(steps):
        document = {step: document} if isinstance(step, str) else [None] * step + [document]
        quoted = str(step) if isinstance(step, int) else "'" + step.replace("\\", "\\\\").replace("'", "\\'") + "'"
        path = f"[{quoted}]{path}"
    assert find(document, "$" + path) == "here"


MATCHES = [
    pytest.param("ok", "ok", True, id="equal"),
    pytest.param("ok", "OK", False, id="case counts"),
    pytest.param(3, 3.0, True, id="3 is 3.0"),
    pytest.param(1, True, False, id="true is not 1"),
    pytest.param(True, 1, False, id="1 is not true"),
    pytest.param(None, None, True, id="null"),
    pytest.param(None, 0, False, id="0 is not null"),
    pytest.param("3", 3, False, id="a text is not a number"),
    pytest.param([1, {"a": 2}], [1, {"a": 2}], True, id="a whole structure"),
    pytest.param(">= 3", 3, True, id="at least"),
    pytest.param(">= 3", 2.9, False, id="less"),
    pytest.param("< 1e3", 999, True, id="an exponent"),
    pytest.param(">= 3", "4", False, id="a text has no order"),
    pytest.param(">= 0", True, False, id="true has no order"),
    pytest.param("!= down", "up", True, id="not this text"),
    pytest.param("!= down", "down", False, id="just this text"),
    pytest.param("!= 0", 0, False, id="not this number"),
    pytest.param("!= null", None, False, id="not null"),
    pytest.param("== true", True, True, id="spelled out"),
    pytest.param("/^v\\d+/", "v12", True, id="an expression"),
    pytest.param("/^v\\d+/", 12, False, id="an expression wants text"),
]


@pytest.mark.parametrize(("expected", "found", "matches"), MATCHES)
def test_a_value_is_held_against_an_expectation(expected: Any, found: Any, matches: bool) -> None:
    assert value_matches(expected, found) is matches


# ------------------------------------------------------------------------------------------- expressions that take long


@pytest.mark.parametrize("expression", ["ok|fine", r"^\s*\{.*\}$", "(?i)OK", "(?P<q>['\"])ok(?P=q)", "(?<!not )ok"])
def test_what_re_knows_is_known(expression: str) -> None:
    assert searched(pattern(expression), '{"status": "ok"}') == bool(re.search(expression, '{"status": "ok"}'))


def test_a_search_that_would_take_years_is_given_up_at_once_and_says_what_to_write_instead() -> None:
    began = process_time()
    with pytest.raises(TooSlow, match=r"/\(a\|aa\)\+\$/ takes more than 0.02 s on 4001 characters: avoid repeats"):
        searched(pattern("(a|aa)+$"), "a" * 4000 + "!")
    assert process_time() - began < 1


def test_a_value_that_an_expression_takes_too_long_for_is_neither_as_expected_nor_not() -> None:
    with pytest.raises(TooSlow):
        value_matches("/(a|aa)+$/", "a" * 4000 + "!")
