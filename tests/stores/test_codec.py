"""What goes in comes out; what is not ours is refused, and says where."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import get_args, get_origin, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.commands import Notice, Restart
from agent.core.events import Event
from agent.core.state import ServiceState
from agent.ports import ActionOutcome, BeatState, Receipt
from agent.stores.codec import Unreadable, clean, decode, encode, from_micros, micros
from tests.stores.makers import down, event

times = st.integers(micros(datetime(1900, 1, 1, tzinfo=UTC)), micros(datetime(2200, 1, 1, tzinfo=UTC))).map(from_micros)
LEAVES: dict[object, st.SearchStrategy[object]] = {
    datetime: times,
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    int: st.integers(0, 2**53),
    bool: st.booleans(),
    type(None): st.none(),
    timedelta: st.timedeltas(timedelta(days=-9), timedelta(days=9999)),
}


def values(hint: object) -> st.SearchStrategy[object]:
    """Anything that a field of that type can hold."""
    if hint in LEAVES:
        return LEAVES[hint]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if is_dataclass(hint):
        return st.builds(hint, **{name: values(of) for name, of in get_type_hints(hint).items()})
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    return st.one_of(*map(values, arguments))


KINDS = [ServiceState, Restart, Notice, Event, BeatState, Receipt, ActionOutcome]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_was_encoded_decodes_to_an_equal_value(kind: type, data: st.DataObject) -> None:
    value = data.draw(values(kind))
    assert decode(kind, encode(value)) == value


def test_a_read_only_mapping_is_stored_like_any_other() -> None:
    receipt = Receipt(data=MappingProxyType({"ts": "1"}))
    assert decode(Receipt, encode(receipt)) == receipt


@given(at=times)
def test_times_are_exact_and_sort(at: datetime) -> None:
    assert from_micros(micros(at)) == at
    assert micros(at) < micros(at + timedelta(microseconds=1))


@given(text=st.text())
def test_any_text_can_be_stored(text: str) -> None:
    found = decode(Event, encode(event(text)))
    assert found.text == text or found.text == clean(text)
    clean(text).encode()


def test_a_field_of_a_later_version_is_ignored() -> None:
    later = orjson.loads(encode(down())) | {"mood": "blue"}
    assert decode(ServiceState, orjson.dumps(later).decode()) == down()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{}", "service"),
        ("", "Invalid JSON"),
        ('{"service": "a", "health": "sleepy"}', "health"),
        ('{"service": "a", "restarts": [3, "x"]}', r"restarts\.1"),
    ],
    ids=["a field is missing", "nothing at all", "a word that is not known", "deep inside"],
)
def test_what_does_not_fit_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(Unreadable, match=place):
        decode(ServiceState, text)
