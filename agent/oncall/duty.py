"""Everything about who is on call that lives as long as the agent: the book, its calendars, and the look after both."""

from collections.abc import Callable, Mapping
from datetime import datetime

from agent.core.rota import Person, Schedule
from agent.oncall.book import Book
from agent.oncall.calendars import Calendars
from agent.ports import CalendarSpec, Store, Vitals


class Duty:
    """`configure` puts a configuration in force, `load` remembers the life before; the rest is for timers."""

    def __init__(self, now: Callable[[], datetime], store: Store, vitals: Vitals) -> None:
        self.book = Book(now, store)
        self._calendars = Calendars(self.book, now, store)
        self._vitals = vitals

    def configure(
        self,
        people: Mapping[str, Person],
        schedules: Mapping[str, Schedule],
        calendars: Mapping[str, CalendarSpec],
    ) -> None:
        """Overrides, and what was read of calendars, stay."""
        self.book.configure(people, schedules, calendars)
        self._calendars.configure(calendars)

    async def load(self) -> None:
        """Overrides and the last good copies of calendars. Raises StoreUnavailable."""
        await self.book.load()
        await self._calendars.load()

    async def read_calendars(self) -> None:
        """Read those that are due; takes as long as their servers do."""
        await self._calendars.look_again()

    async def look_after(self) -> None:
        """Save what is unsaved, and say in the vitals what is wrong."""
        await self.book.save()
        self._vitals.oncall_trouble = self.book.trouble
        self._vitals.calendar_ages = self._calendars.ages
