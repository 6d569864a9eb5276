"""Ways to people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, runtime_checkable

from agent.core.commands import Notice
from agent.core.few import no_text
from agent.ports.options import O


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a channel remembers of a delivered notice, e.g. Slack's channel id and message timestamp."""

    data: Mapping[str, str] = field(default_factory=no_text)


class DeliveryError(Exception):
    """A notice was not taken. `reason` is a bounded slug (auth, rate_limited, not_found, archived, invalid,
    server, network, timeout); a `retryable` one is tried again, no sooner than `retry_after` seconds."""

    def __init__(self, reason: str, message: str = "", *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after


class Channel(Protocol):
    """A way to people. One is made per configured channel; it may hold clients."""

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        """Deliver one notice. `opening` is the receipt of the same incident's opening notice on this channel, None
        if it never arrived (a closing notice then says so). Raises DeliveryError, and nothing else, when it could
        not; may be called again with the same notice (same key) after a crash."""
        ...

    async def verify(self) -> None:
        """Prove that the credentials work, without sending anything. Raises DeliveryError."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Repeating(Protocol):
    """What a channel has besides whose receiver forgets what it is not told again: between a page and its closing it
    repeats by itself. Incidents are named "INCIDENT/CHANNEL", with the channel (or address) of the notice."""

    def resume(self, openings: Mapping[str, Receipt]) -> None:
        """These incidents are open, with the receipts of their pages: the agent or this channel is new."""
        ...

    def release(self) -> Mapping[str, Receipt]:
        """Repeat nothing any more: another object takes this one's place. Returns what `resume` needs there."""
        ...


@runtime_checkable
class ReadingBack(Protocol):
    """What a channel has besides whose messages can be looked at where they stand."""

    async def read_back(self, notice: Notice, receipt: Receipt) -> str:
        """Whether this message stands where its receipt says, as it was meant: empty if it does, otherwise what is
        there instead, one sentence. Raises DeliveryError where that can't be found out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelType(Generic[O]):
    """One type of channel: `build` makes it from its name and options. `per_second` is its default rate limit."""

    name: str
    options: type[O]
    build: Callable[[str, O], Channel]
    about: str
    per_second: float = 25.0
