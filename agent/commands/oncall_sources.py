"""The book of who is on call, for a command: from the configuration alone, or with what the running agent knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.commands.ask import AgentUnreachable, ask
from agent.config.model import Config
from agent.core.rota import Override
from agent.oncall.book import Book
from agent.oncall.calendar import CannotRead, Event, events, fetch
from agent.stores.memory import MemoryStore

_TIMES = ("start", "end", "made_at")


@dataclass(frozen=True, slots=True)
class Known:
    """A book; `why_not` says why an agent that was asked did not tell its overrides, `channels` are those that it says
    don't work."""

    book: Book
    why_not: str = ""
    channels: Mapping[str, str] = field(default_factory=dict)


def known(config: Config, now: datetime, *, agent: bool) -> Known:
    """What is known of who is on call. Calendars are read here and now where no agent tells what it has read."""
    book = Book(lambda: now, MemoryStore())
    book.configure(config.people, config.schedules, config.calendars)
    told, why_not = _told(config) if agent else (None, "")
    if told is not None:
        book.adopt(override_of(row) for row in told["overrides"])
        book.calendar_trouble.update({name: text for name, text in told["trouble"].items() if name in config.calendars})
    for name in config.calendars:
        if told is not None and name in told["calendars"]:
            book.take(name, tuple(_event(row) for row in told["calendars"][name]))
        else:
            _read(book, config, name, now)
    return Known(book, why_not, told["channels"] if told else {})


def _told(config: Config) -> tuple[Any, str]:
    try:
        return ask(config, "/api/oncall"), ""
    except AgentUnreachable as error:
        return None, str(error)


def _read(book: Book, config: Config, name: str, now: datetime) -> None:
    spec = config.calendars[name]
    try:
        book.take(name, events(fetch(spec), spec.zone, now))
    except CannotRead as error:
        book.calendar_trouble[name] = f"the calendar {error}"


def override_of(row: Mapping[str, Any]) -> Override:
    plain: dict[str, Any] = {key: _time(value) if key in _TIMES and value else value for key, value in row.items()}
    return Override(**plain)


def _event(row: Mapping[str, Any]) -> Event:
    """A shift as the event that means the same people."""
    return Event(_time(row["start"]), _time(row["end"]), ", ".join(row["people"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
