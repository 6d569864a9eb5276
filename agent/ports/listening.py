"""Ways from people back to the agent: what they press and type where they were told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from agent.operations import Operations

Said = Mapping[str, Any]
"""One thing that somebody pressed or typed, as its service describes it: known only to the channel that heard it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a channel needs in order to do what people ask. `note` writes a line (about, text, by) into the timeline of
    a service or, where it is about a silence's matchers, of all with an open incident that these mean; it ignores what
    there is not. `contacts` are the addresses of people: person ->
    channel -> address. `count` counts an answer (channel, what was asked, outcome), each from a small fixed set."""

    operations: Operations
    note: Callable[[str, str, str], None]
    contacts: Callable[[], Mapping[str, Mapping[str, str]]]
    count: Callable[[str, str, str], None]


@runtime_checkable
class Listening(Protocol):
    """A channel through which people answer, as well as being told. It hears through a connection of its own, or the
    agent's HTTP server hears for it what carries a signature under its secret, or neither."""

    @property
    def line(self) -> str:
        """Channels with the same one share a connection; empty where it has none."""
        ...

    @property
    def signing_secret(self) -> str:
        """What signs requests that are meant for it; empty where nothing does."""
        ...

    def attach(self, desk: Desk) -> None:
        """From now on it may do what it is asked."""
        ...

    async def listen(self, heard: Callable[[Said], None], trouble: Callable[[str], None]) -> None:
        """Keep the connection, for ever, until cancelled. `heard` takes each thing that was said, and returns at once;
        `trouble` is told why nothing can be heard now, and "" when that is over. Raises nothing."""
        ...

    def marks(self, said: Said) -> tuple[str, ...]:
        """What tells it from everything else that is said: what shares a mark with something heard before is that
        again. Empty for what nothing is to be done about."""
        ...

    def concerns(self, said: Said) -> bool:
        """Whether it was said about what this channel told, or in its place."""
        ...

    async def answer(self, said: Said) -> None:
        """Do it, or say why not, to whoever said it. Raises nothing but bugs."""
        ...
