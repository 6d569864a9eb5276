"""Fire drills, as those who show them and those who hold them know them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class DrillOutcome(StrEnum):
    """How a drill, or one of its legs, ended. UNFINISHED: the agent was stopped during it. SKIPPED is for legs only:
    it could not be found out, or was not needed any more."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    UNFINISHED = "unfinished"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillLeg:
    """One part of the way: "decision", "delivery/CONTACT", "read back/CONTACT", "seen" or "closing". `seconds` is how
    long it took, `detail` what was seen, or what is wrong."""

    name: str
    outcome: DrillOutcome
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """One drill. `of` is the service, or "@channels"; `failed` are the channels that are not to be relied on now; `why`
    says which leg failed, and `remedy` what to do about it, one sentence each, empty where all went well. `seen` tells
    that it waits, or has waited, for a person."""

    id: str
    of: str
    by: str
    at: datetime
    outcome: DrillOutcome
    seconds: float = 0.0
    legs: tuple[DrillLeg, ...] = ()
    failed: tuple[str, ...] = ()
    why: str = ""
    remedy: str = ""
    seen: bool = False


class DrillBook(Protocol):
    """Where drills are held."""

    def hold(self, of: str, by: str) -> str:
        """Begin one, for that service or (empty) the channels alone. Returns its id. Raises `operations.Refused`."""
        ...

    async def seen(self, drill: str, by: str) -> str:
        """A person has seen the message of that drill: its id, what it is of, or empty for the one that waits. One
        sentence about it. Raises `operations.Refused`."""
        ...

    def report(self, drill: str) -> DrillReport | None:
        """The drill of that id, while it is held and as long as it is the last one of its kind."""
        ...

    def reports(self) -> tuple[DrillReport, ...]:
        """The drills that are being held, and the last ones that have ended, newest first."""
        ...
