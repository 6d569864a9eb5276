"""Log lines, where they come from, and the embedded store of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agent.core.few import no_text


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log, parsed as far as its format allows. `source` is "file:/path", "journal:unit",
    "process:name"; `level` is debug, info, warning, error, critical or "" where the line has none."""

    at: datetime
    source: str
    service: str
    level: str
    text: str
    trace_id: str = ""
    fields: Mapping[str, str] = field(default_factory=no_text)


class LogBook(Protocol):
    """The embedded log store, as checks and pages see it. Raises nothing: no answer is an empty one."""

    async def tail(self, service: str, *, before: datetime, lines: int = 20) -> list[LogLine]:
        """The last lines of a service before that moment, oldest first."""
        ...

    def count(self, service: str, pattern: str, since: datetime, level: str = "") -> int:
        """How many lines of the service, of at least that level where one is given, matched the registered pattern (a
        regular expression, searched for; empty matches every line) since then. Patterns are counted from the moment
        on which they are first asked for."""
        ...

    def watched_since(self, service: str, pattern: str, level: str = "") -> datetime:
        """From when on such lines are counted: the moment of the first question. Asking this is asking."""
        ...

    def last_match(self, service: str, pattern: str, level: str = "") -> LogLine | None: ...

    def pattern_trouble(self, service: str, pattern: str, level: str = "") -> str:
        """Why a pattern counts nothing, "" while it does: it is no regular expression, or far too slow a one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpec:
    """One source of log lines: files by glob, or journald units; the lines belong to `service`."""

    service: str
    files: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
