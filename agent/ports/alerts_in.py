"""Alerts of other systems that come in and are paged like our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agent.core.few import no_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAlert:
    """One alert as another system tells it. `fingerprint` is the same for as long as it is the same alert. `ends` is
    when one that fires is over unless it is told again, where its sender says so."""

    fingerprint: str
    firing: bool
    labels: Mapping[str, str] = field(default_factory=no_text)
    annotations: Mapping[str, str] = field(default_factory=no_text)
    link: str = ""
    ends: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """What is told at once: a group of alerts, with what all of them have in common. `key` is the group's own. `whole`:
    no alert of the group was left out."""

    key: str
    firing: bool
    alerts: tuple[ForeignAlert, ...]
    labels: Mapping[str, str] = field(default_factory=no_text)
    annotations: Mapping[str, str] = field(default_factory=no_text)
    link: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a group: how many of its alerts fire and are over, how many there was no room for, and how many
    were our own coming back."""

    firing: int = 0
    over: int = 0
    refused: int = 0
    own: int = 0


class AlertIntake(Protocol):
    """Takes alerts in. Once it has answered, they are as durable as any incident."""

    @property
    def open(self) -> bool:
        """Whether config wants any."""
        ...

    def admits(self, token: str | None) -> bool | None:
        """Whether this is the intake's own token; None where it has none. Takes the same time whichever it is."""
        ...

    async def take(self, group: AlertGroup) -> Taken: ...
