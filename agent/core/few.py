"""Mappings of no, one or a few names that cost little, for what exists once per service or check."""

from collections.abc import Iterator, Mapping, Sequence, ValuesView
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

V = TypeVar("V")

NOTHING: Mapping[str, float] = MappingProxyType({})
NO_TEXT: Mapping[str, str] = MappingProxyType({})


def no_figures() -> Mapping[str, float]:
    """The shared empty mapping: most results have nothing to add."""
    return NOTHING


def no_text() -> Mapping[str, str]:
    """The shared empty mapping of texts."""
    return NO_TEXT


def few(entries: Mapping[str, V]) -> Mapping[str, V]:
    """The same entries in the same order, in a quarter or half of a dict's 200 bytes; looked up one by one, so a dozen
    at most."""
    if len(entries) == 1:
        return One(*next(iter(entries.items())))
    return Few(tuple(entries), tuple(entries.values()))


class One(Mapping[str, V]):
    """A mapping of one name."""

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, value: V) -> None:
        self._name = name
        self._value = value

    def __getitem__(self, name: str) -> V:
        if name == self._name:
            return self._value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield self._name

    def __len__(self) -> int:
        return 1

    def values(self) -> ValuesView[V]:
        return _Single(self)

    def __repr__(self) -> str:
        return f"few({dict(self)!r})"


class Few(Mapping[str, V]):
    """A mapping of a few names; equal names are one tuple for all who have them. `values` is anything in the order of
    the names, an `array` of floats for example."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: Sequence[V]) -> None:
        self._names = _shared(names)
        self._values = values

    def __getitem__(self, name: str) -> V:
        for known, value in zip(self._names, self._values, strict=True):
            if known == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def __repr__(self) -> str:
        return f"few({dict(self)!r})"


class _Single(ValuesView[V]):
    """Without a generator that looks it up."""

    def __init__(self, one: One[V]) -> None:
        self._mapping: One[V] = one

    def __iter__(self) -> Iterator[V]:
        return iter((self._mapping._value,))


class _Values(ValuesView[V]):
    """Without a look-up for each."""

    def __init__(self, few: Few[V]) -> None:
        self._mapping: Few[V] = few

    def __iter__(self) -> Iterator[V]:
        return iter(self._mapping._values)


@lru_cache(maxsize=4096)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    return names
