"""Tables of types whose modules are imported when a type is asked for, not when the table is."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TypeVar

T = TypeVar("T")


class OnDemand(Mapping[str, T]):
    """Types by name, each written as "module:CONSTANT". Names are known without importing anything: a daemon holds
    the few types that its configuration names; all of them are 2.7 MiB. Looking one up raises KeyError for a
    name that is not in the table."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> T:
        module, _, constant = self._places[name].partition(":")
        found: T = getattr(import_module(module), constant)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
