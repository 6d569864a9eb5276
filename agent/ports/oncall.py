"""Who is on call: where calendars are read from, and what people may ask and change at run time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from agent.core.rota import Override, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSpec:
    """An iCalendar file or web address (one of them) whose events are the shifts of a schedule, read again `every` so
    often. Its all-day events, and times without a zone, are in `zone`."""

    schedule: str
    zone: str
    url: SecretStr | None = None
    file: Path | None = None
    every: timedelta = timedelta(minutes=5)


class OnCall(Protocol):
    """The agent's book of who is on call. What it says is from memory: nothing here waits for a store or a server."""

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """Every schedule by name; that of a calendar with the shifts that were read last."""
        ...

    @property
    def overrides(self) -> Sequence[Override]:
        """All that count still or did lately, in the order in which they were made."""
        ...

    @property
    def trouble(self) -> Mapping[str, str]:
        """What is wrong with the calendar of a schedule, by its name."""
        ...

    def now(self) -> Sequence[Mapping[str, Any]]:
        """For each schedule who is on call, until when, and who is next: `schedule`, `people`, `until`, `next`."""
        ...

    async def add(self, asked: Override) -> Override:
        """Put a change in force; its `id` and `made_at` are filled in. Raises ValueError, in words for whoever asked,
        for a schedule or a person that config does not name and for a span that is over or has no length."""
        ...

    async def remove(self, override: str) -> Override:
        """Take a change back by its id. Raises LookupError."""
        ...
