"""Who depends on whom, near and far."""

from collections import deque
from collections.abc import Mapping


def related(depends_on: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """For each service everything upstream and everything downstream, near and far, in a stable order."""
    up: dict[str, tuple[str, ...]] = {}
    for name in depends_on:
        found: dict[str, None] = {}
        todo = deque(depends_on[name])
        while todo:
            parent = todo.popleft()
            if parent not in found and parent != name:
                found[parent] = None
                todo.extend(depends_on.get(parent, ()))
        up[name] = tuple(found)
    down: dict[str, list[str]] = {name: [] for name in depends_on}
    for name, parents in up.items():
        for parent in parents:
            down.setdefault(parent, []).append(name)
    return {name: (up[name], tuple(down[name])) for name in depends_on}
