"""Expressions that no text can make slow."""

import re
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.patterns import LONGEST, Pattern, quoted

ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\.", "1", "-", "[b-]", "[]a]"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"({one}|)"),
    ),
    max_leaves=8,
)
TEXTS = st.text("abc1.-\n", max_size=12)


@settings(max_examples=1500, deadline=None)
@given(EXPRESSIONS, TEXTS)
def test_it_says_what_the_standard_library_says(expression: str, text: str) -> None:
    expected = re.fullmatch(expression, text, re.DOTALL | re.ASCII) is not None
    assert Pattern(expression).matches(text) is expected


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_quoted_text_stands_for_itself_and_nothing_else(text: str, other: str) -> None:
    assert Pattern(quoted(text)).matches(text)
    assert Pattern(quoted(text)).matches(other) is (text == other)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        pytest.param("(a+)+b", "a" * 4000, id="repeats within repeats"),
        pytest.param("(a|a)*b", "a" * 4000, id="two ways for every letter"),
        pytest.param("(.*)(.*)(.*)(.*)(.*)x", "a" * 4000, id="five times anything"),
        pytest.param("(a?){60}a{60}", "a" * 60, id="sixty letters that may be there"),
    ],
)
def test_what_backtracking_never_ends_on_is_done_at_once(expression: str, text: str) -> None:
    pattern = Pattern(expression)
    began = perf_counter()
    pattern.matches(text)
    assert perf_counter() - began < 5


@pytest.mark.parametrize("expression", ["^web-.*$", "^web-.*", "web-.*$", "web-.*"])
def test_anchors_at_the_ends_change_nothing(expression: str) -> None:
    assert Pattern(expression).matches("web-1")
    assert not Pattern(expression).matches("a web-1")


def test_a_dollar_that_is_meant_stays_one() -> None:
    assert Pattern(r"cash\$").matches("cash$")
    assert Pattern(r"back\\$").matches("back\\")


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        pytest.param("(a", "a ( without a )", id="an open bracket"),
        pytest.param("a)", "a ) without a (", id="a closed bracket"),
        pytest.param("[a", "a [ without a ]", id="an open set"),
        pytest.param("*a", "nothing stands before *", id="a star of nothing"),
        pytest.param("a**", "a second sign for how often", id="two stars"),
        pytest.param("a*?", "a second sign for how often", id="a lazy star"),
        pytest.param("a{x}", "expected how often", id="no number"),
        pytest.param("a{3,2}", "at most less often", id="the wrong way round"),
        pytest.param("[z-a]", "the wrong way round", id="a range the wrong way round"),
        pytest.param(r"(a)\1", r"\1 is not understood", id="a reference back"),
        pytest.param("(?i)a", "(? is not understood", id="a flag"),
        pytest.param("a^b", "^ within", id="an anchor within"),
        pytest.param("a\\", "is not understood", id="a backslash before nothing"),
        pytest.param("(" * 60 + ")" * 60, "brackets within brackets", id="too deep"),
        pytest.param("((a{100}){100}){100}", "repeat less", id="a million states"),
        pytest.param("a" * (LONGEST + 1), f"more than {LONGEST} characters", id="too long"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(expression: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        Pattern(expression)


def test_what_is_remembered_stays_bounded() -> None:
    pattern = Pattern("(a|b)*c")
    for char in map(chr, range(0x4E00, 0x4E00 + 9000)):
        pattern.matches(char)
    assert len(pattern._steps) <= 4096
    assert pattern.matches("abac")
