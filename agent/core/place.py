"""Where services stand among each other."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.core.few import no_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service stands among the others. `hosts` are those that its checks ask."""

    depends_on: tuple[str, ...] = ()
    group: str = ""
    hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=no_text)


def upstream(places: Mapping[str, Place], name: str) -> Iterator[str]:
    """Everything that it depends on, near things first."""
    seen, todo = {name}, deque(places[name].depends_on)
    while todo:
        parent = todo.popleft()
        if parent not in seen:
            seen.add(parent)
            yield parent
            todo.extend(places[parent].depends_on if parent in places else ())
