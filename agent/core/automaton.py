"""Nondeterministic automata, put together of pieces (Thompson's construction)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MOST_STATES = 2000  # of an automaton: {100} repeats what stands before it a hundred times

Test = Callable[[str], bool]


@dataclass(slots=True, eq=False)
class State:
    """`test` says which character leads on to `next`; without one the ways in `empty` are free."""

    test: Test | None = None
    next: "State | None" = None
    empty: "list[State]" = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """A piece of the automaton: where it is entered and where it is left. `copy` makes the same piece once more."""

    start: State
    end: State
    copy: Callable[[], "Part"]


def reachable(states: Iterable[State]) -> frozenset[State]:
    """These states and all that can be reached from them for free."""
    found: set[State] = set()
    waiting = list(states)
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += state.empty
    return frozenset(found)


class Pieces:
    """Makes the pieces of one automaton. Raises ValueError for more than `MOST_STATES` states."""

    def __init__(self) -> None:
        self._states = 0

    def _state(self, test: Test | None = None) -> State:
        self._states += 1
        if self._states > MOST_STATES:
            raise ValueError(f"an expression of more than {MOST_STATES} states: repeat less")
        return State(test)

    def one(self, test: Test) -> Part:
        """One character that passes."""
        start, end = self._state(test), self._state()
        start.next = end
        return Part(start, end, lambda: self.one(test))

    def chain(self, parts: list[Part]) -> Part:
        """These, one after the other; none stands for the empty text."""
        start = end = self._state()
        for part in parts:
            end.empty.append(part.start)
            end = part.end
        return Part(start, end, lambda: self.chain([part.copy() for part in parts]))

    def either(self, parts: list[Part]) -> Part:
        """One of these."""
        start, end = self._state(), self._state()
        for part in parts:
            start.empty.append(part.start)
            part.end.empty.append(end)
        return Part(start, end, lambda: self.either([part.copy() for part in parts]))

    def repeat(self, part: Part, least: int, most: int | None) -> Part:
        """So often, without an end where `most` is None."""

        def once_more() -> Part:
            return self.repeat(part.copy(), least, most)

        start = end = self._state()
        for number in range(max(least, most or 0) + (most is None)):
            again = part.copy()
            here = self._state()
            end.empty.append(again.start)
            if number >= least:
                end.empty.append(here)
            if most is None and number == least:
                again.end.empty.append(again.start)
            again.end.empty.append(here)
            end = here
        return Part(start, end, once_more)
