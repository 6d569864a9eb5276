"""How schedules, overrides and coverage look on a terminal. Pure: data in, renderables out."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.text import Text

from agent.commands.show import table
from agent.core.durations import format_duration
from agent.core.rota import Override, Person, on_call, shifts
from agent.oncall.book import Book
from agent.oncall.coverage import Hole, Route, Step


def rows_of(book: Book, names: Sequence[str], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The shifts of each schedule over the span, for --json: `instead_of` is who would be on call but for an
    override."""
    found = []
    for name in names:
        schedule = book.schedules[name]
        rows = []
        for shift in shifts(schedule, book.in_force(), start, end):
            row: dict[str, Any] = {"start": shift.start, "end": shift.end, "people": shift.people}
            planned = on_call(schedule, (), shift.start)
            rows.append(row if planned == shift.people else {**row, "instead_of": planned})
        found.append({"schedule": name, "zone": schedule.zone, "shifts": rows})
    return found


class Reader:
    """Prints times and people for somebody who reads them in one zone."""

    def __init__(self, zone: str, people: Mapping[str, Person], now: datetime) -> None:
        self.zone = zone
        self._people = people
        self._now = now

    def at(self, moment: datetime) -> str:
        return f"{moment.astimezone(ZoneInfo(self.zone)):%a %Y-%m-%d %H:%M}"

    def who(self, names: Iterable[str]) -> Text:
        called = [person.full_name or name for name in names if (person := self._people.get(name))]
        return Text(", ".join(called)) if called else Text("nobody", style="bold red")

    def schedules(self, found: Iterable[Mapping[str, Any]]) -> RenderableType:
        """A table for each schedule; the present shift is marked."""
        parts: list[RenderableType] = []
        for one in found:
            made = table("", "FROM", "UNTIL", "FOR", "WHO", "")
            for shift in one["shifts"]:
                present = "→" if shift["start"] <= self._now < shift["end"] else ""
                note = Text.assemble("instead of ", self.who(shift["instead_of"])) if "instead_of" in shift else ""
                span = format_duration(_to_the_minute(shift["end"] - shift["start"]))
                made.add_row(
                    present, self.at(shift["start"]), self.at(shift["end"]), span, self.who(shift["people"]), note
                )
            parts += [Text(f"{one['schedule']}, times in {self.zone}", style="bold"), made, Text()]
        return Group(*parts[:-1])

    def now(self, found: Iterable[Mapping[str, Any]]) -> RenderableType:
        made = table("SCHEDULE", "ON CALL NOW", "UNTIL", "THEN")
        for row in found:
            until = self.at(row["until"]) if row["until"] else "-"
            made.add_row(
                row["schedule"], self.who(row["people"]), until, self.who(row["next"]) if row["until"] else "-"
            )
        return Group(made, Text(f"times in {self.zone}", style="dim"))

    def overrides(self, found: Iterable[Override]) -> RenderableType:
        made = table("ID", "SCHEDULE", "FROM", "UNTIL", "WHAT", "BY")
        for one in found:
            made.add_row(one.id, one.schedule, self.at(one.start), self.at(one.end), self.what(one), one.by or "-")
        return Group(made, Text(f"times in {self.zone}", style="dim"))

    def what(self, override: Override) -> Text:
        if override.swap:
            return Text.assemble(self.who([override.person]), " and ", self.who([override.instead_of]), " swap")
        person = self.who([override.person])
        return Text.assemble(person, " for ", self.who([override.instead_of])) if override.instead_of else person

    # ------------------------------------------------------------------------------------------ coverage

    def coverage(self, found: Iterable[Route], holes: Sequence[Hole], hours: int) -> RenderableType:
        parts: list[RenderableType] = []
        for route in found:
            parts += [Text(self._heading(route), style="bold")]
            if route.escalation is not None:
                parts.append(self._spans(route))
            parts.append(Text())
        if holes:
            parts += [self._holes(holes)]
        else:
            parts += [Text(f"every one of the next {hours} hours is covered; times in {self.zone}", style="green")]
        return Group(*parts)

    def _heading(self, route: Route) -> str:
        asked = [f"{', '.join(route.page)} at once"] if route.page else []
        asked += [f"escalation {route.escalation.name}"] if route.escalation else []
        return f"{', '.join(route.services)} ({route.severity}): {'; '.join(asked)}"

    def _spans(self, route: Route) -> RenderableType:
        assert route.escalation is not None
        names = [
            f"{n}: {', '.join(target.partition(':')[2] for target in step.notify)}, {format_duration(step.wait)}"
            for n, step in enumerate(route.escalation.steps, start=1)
        ]
        made = table("FROM", "UNTIL", *names)
        for span in route.spans:
            cells = [Text(span.closed, style="dim")] if span.closed else [_asked(step) for step in span.steps]
            made.add_row(self.at(span.start), self.at(span.end), *cells)
        return made

    def _holes(self, holes: Sequence[Hole]) -> RenderableType:
        made = table("WRONG", "WHAT", "FROM", "UNTIL")
        for hole in holes:
            when = [self.at(moment) if moment else "-" for moment in (hole.start, hole.end)]
            made.add_row(Text(hole.kind, style="bold red"), Text(hole.text), *when)
        return made


def _asked(step: Step) -> Text:
    """Everybody with the ways by which he is asked, places where people look by their name."""
    ways: dict[str, list[str]] = {}
    for contact in step.contacts:
        ways.setdefault(contact.person or contact.channel, []).extend([contact.channel] if contact.person else [])
    texts = [f"{name} ({', '.join(dict.fromkeys(by))})" if by else name for name, by in ways.items()]
    return Text("; ".join(texts)) if texts else Text("nobody", style="bold red")


def _to_the_minute(span: timedelta) -> timedelta:
    minute = timedelta(minutes=1)
    return max(minute, span // minute * minute)
