"""Which of a thousand silences mean a service, without asking each of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from agent.core.matchers import Matchers, Sign

T = TypeVar("T")
Tests = list[tuple[str, Callable[[str], bool]]]


class Index(Generic[T]):
    """Things by the matchers that say what they are about. Each is filed under one value that it asks for, an exact
    one if it names any; only those that ask for none have to be tried on every service."""

    def __init__(self, things: Iterable[tuple[Matchers, T]]) -> None:
        self._filed: dict[tuple[str, str], list[tuple[int, Tests, T]]] = {}
        self._rest: list[tuple[int, Tests, T]] = []
        for number, (matchers, thing) in enumerate(things):
            tests = [(matcher.name, matcher.test()) for matcher in matchers.all_of]
            place = _place(matchers)
            shelf = self._rest if place is None else self._filed.setdefault(place, [])
            shelf.append((number, tests, thing))

    def of(self, attributes: Mapping[str, str]) -> tuple[T, ...]:
        """Those whose matchers hold for these attributes, in the order in which they were given."""
        if not self._filed and not self._rest:
            return ()
        near = [one for item in attributes.items() for one in self._filed.get(item, ())]
        found = []
        for one in (*near, *self._rest):
            for name, test in one[1]:
                if not test(attributes.get(name, "")):
                    break
            else:
                found.append(one)
        found.sort(key=lambda one: one[0])
        return tuple(thing for _, _, thing in found)


def _place(matchers: Matchers) -> tuple[str, str] | None:
    exact = [matcher for matcher in matchers.all_of if matcher.sign is Sign.IS and matcher.value]
    exact.sort(key=lambda matcher: matcher.name != "service")
    return (exact[0].name, exact[0].value) if exact else None
