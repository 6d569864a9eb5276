"""Small mappings that are mappings like any other."""

from array import array
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.few import Few, few

ENTRIES = st.dictionaries(st.text(max_size=5), st.integers(), max_size=6)


@given(ENTRIES)
def test_it_is_equal_to_the_dict_that_it_was_made_of_in_both_directions(entries: dict[str, int]) -> None:
    made = few(entries)
    assert made == entries
    assert entries == made
    assert (list(made), list(made.values()), list(made.items())) == (
        list(entries),
        list(entries.values()),
        list(entries.items()),
    )
    assert len(made) == len(made.values()) == len(entries)


@given(ENTRIES, st.text(max_size=5))
def test_a_name_is_found_or_not_as_in_a_dict(entries: dict[str, int], name: str) -> None:
    made = few(entries)
    assert (name in made) is (name in entries)
    assert made.get(name, "none") == entries.get(name, "none")
    if name not in entries:
        with pytest.raises(KeyError):
            made[name]


@pytest.mark.parametrize("names", [pytest.param(names, id="".join(names)) for names in permutations("abc")])
def test_the_order_is_kept(names: tuple[str, ...]) -> None:
    assert list(few(dict.fromkeys(names, 1))) == [*names]


def test_figures_may_lie_in_an_array() -> None:
    phases = Few(("dns", "connect"), array("d", [0.25, 0.5]))
    assert phases == {"dns": 0.25, "connect": 0.5}
    assert phases["connect"] == 0.5
    assert repr(phases) == "few({'dns': 0.25, 'connect': 0.5})"
