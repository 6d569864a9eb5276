import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.slack_blocks import escaped_cost
from alerts.text import clean, clip, clip_lines, cost_of, one_line, span, utf16_units

COSTS = st.sampled_from([utf16_units, escaped_cost])


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


@given(st.text(), st.integers(20, 80), COSTS)
def test_a_clipped_text_fits_and_says_how_much_is_missing(text: str, limit: int, cost) -> None:
    clipped = clip(text, limit, cost)
    assert cost_of(clipped, cost) <= limit
    if clipped != text:
        kept, _, missing = clipped.rpartition("… ")
        assert text.startswith(kept)
        assert len(kept) + int(missing.removesuffix(" more").replace(",", "")) == len(text)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n")), max_size=30), st.integers(60, 200), COSTS)
def test_clipped_lines_fit_and_keep_the_end(lines: list[str], limit: int, cost) -> None:
    text = "\n".join(lines).strip("\n")
    clipped = clip_lines(text, limit, cost)
    assert cost_of(clipped, cost) <= limit
    if "\n" in text and clipped != text:
        first, *kept = clipped.split("\n")
        count = len(text.split("\n"))
        assert first == f"… {count - len(kept):,} more lines"
        assert len(kept) == 1 or text.endswith("\n".join(kept))


def test_a_cut_splits_no_accent_and_no_joined_emoji() -> None:
    family = "👨‍👩‍👧"
    for limit in range(20, 40):
        kept = clip("é" * 10 + family * 10, limit).rpartition("… ")[0]
        assert not kept.endswith(("\u200d", "👨", "👩")), limit
        assert kept.count("e") == kept.count("\u0301")


@pytest.mark.parametrize(("seconds", "text"), [(312.9, "5m12s"), (0, "0s"), (-3, "0s"), (90_000, "1d1h")])
def test_a_span_is_said_in_whole_seconds(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text
