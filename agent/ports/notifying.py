"""Trying out the ways to people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a message when it was last tried. `address` is "CHANNEL" or "CHANNEL/PERSON", `kind` a kind of
    notice or "test"; `outcome` is "delivered", "retried" (it will be tried again) or "dead" (it was given up)."""

    at: datetime
    address: str
    kind: str
    outcome: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """A configured channel. `people` have an address there, `trouble` is why it can't be used now as far as is known,
    `waiting` how many messages it has before it, `last` what became of the last one since the agent's start."""

    name: str
    type: str
    per_second: float
    people: tuple[str, ...]
    trouble: str
    waiting: int
    last: Delivery | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedOut:
    """What became of a test message: `outcome` is "delivered", "failed", or "waiting" when it could not be sent in time
    and was taken back. `where` says where it is to be found, `took` is in seconds, `tries` counts those that failed;
    `reason` and `error` are the channel's own, `advice` is what to do about it."""

    channel: str
    type: str
    person: str
    outcome: str
    took: float
    where: Mapping[str, str]
    tries: int = 0
    reason: str = ""
    error: str = ""
    advice: str = ""


class Notifying(Protocol):
    def channels(self) -> Sequence[ChannelState]:
        """Every channel of the configuration, in its order."""
        ...

    async def test(self, channel: str, *, person: str = "", by: str) -> TriedOut:
        """Send one message that says it is a test, through the channel's own queue, and wait for what becomes of it, a
        limited time. With a `person` it goes to that person's address there. Raises LookupError for a channel or a
        person that config does not name, `agent.operations.Refused` where it can't be done now."""
        ...
