"""What takes a replica out of the balance before its restart, and puts it back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol

from agent.ports.options import O


class NotDrained(Exception):
    """It could not be taken out, or put back. The text is for people."""


class Drain(Protocol):
    """One replica's place in a balancer. Each method ends by itself, and raises NotDrained and nothing else."""

    async def held(self) -> str:
        """Why it is out of service by somebody else's will; empty when it is in service."""
        ...

    async def drain(self) -> str:
        """Take it out, and wait for its sessions to end as long as config says. Returns what was done, for people."""
        ...

    async def undrain(self) -> str:
        """Put it back. May be called again, whatever the last call did; what an operator has done meanwhile stays."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainType(Generic[O]):
    """One way of draining. `short` as in CheckType."""

    name: str
    options: type[O]
    build: Callable[[O], Drain]
    about: str
    short: str | None = None
