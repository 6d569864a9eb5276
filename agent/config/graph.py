"""Cycles in what names depend on each other."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


def cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Cycles, each as its names in order with the first repeated at its end (`[a, b, a]`), until taking one edge out
    of each would leave none. A cycle begins at its alphabetically first name, and each name points at the next."""
    left = {name: list(dict.fromkeys(targets)) for name, targets in edges.items()}
    found = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            ring = error.args[1][::-1][:-1]  # it lists what comes before what: we say who depends on whom
            start = ring.index(min(ring))
            ring = [*ring[start:], *ring[:start]]
            found.append([*ring, ring[0]])
            left[ring[-1]].remove(ring[0])
        else:
            return sorted(found)
