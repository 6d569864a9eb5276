"""Equal values are one object: ten thousand services mostly say the same things."""

from collections.abc import Callable, Hashable
from typing import TypeVar

H = TypeVar("H", bound=Hashable)
T = TypeVar("T")


class Pool:
    """Lives as long as a configuration is being read."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, object] = {}

    def one(self, value: H) -> H:
        """The first value that was equal to this one and of its type."""
        return self._seen.setdefault((type(value), value), value)  # type: ignore[return-value]

    def made(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave when this key was first asked for."""
        if key not in self._seen:
            self._seen[key] = make()
        return self._seen[key]  # type: ignore[return-value]
