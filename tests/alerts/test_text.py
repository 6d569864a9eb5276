from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.slack_blocks import escaped_cost
from alerts.text import clip, clip_lines, cost_of, span, utf16_units

COSTS = st.sampled_from([utf16_units, escaped_cost])


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
