"""What is left of a text from outside before it is shown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plain_text import clean, one_line


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param("a\x1b[31;1mred\x1b[0m", "ared", id="colours"),
        pytest.param("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc", id="window titles and terminal links"),
        pytest.param("a\x1b]52;c;ZX\nb", "a52;c;ZX\nb", id="a clipboard write that never ends hides nothing"),
        pytest.param("a\x1bcb\x1b", "ab", id="a terminal reset, and a lone escape"),
        pytest.param("a\x9b2Jb", "a2Jb", id="the one-byte form of an escape is no escape any more"),
        pytest.param("a\x00\x08\x7fb", "ab", id="controls"),
        pytest.param("a\u202eb\u2066c", "abc", id="bidirectional overrides"),
        pytest.param("a\r\nb\rc", "a\nb\nc", id="carriage returns can't overwrite a line"),
        pytest.param("a\ud800b", "a\ufffdb", id="half of a surrogate pair"),
        pytest.param("tab\there\nüñí 🔥", "tab\there\nüñí 🔥", id="ordinary text stays"),
    ],
)
def test_cleaned_text_can_do_nothing_to_a_terminal(raw: str, expected: str) -> None:
    assert clean(raw) == expected


@given(st.text())
def test_no_text_keeps_a_control_character(text: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", clean(text))
    assert "\n" not in one_line(text)
