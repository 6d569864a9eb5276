"""Who is on call: rotations in layers, calendars, and what people change on top of them. Pure calendar arithmetic.

Turns are counted on the wall clock of their zone: a hand-over at 09:00 is at 09:00 on both days of a change of the
clocks, and a turn over such a day is an hour shorter or longer. What a skipped and a doubled local time mean is said
in `agent.core.wall`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.core.few import no_text
from agent.core.hours import Hours, next_edge
from agent.core.wall import moment, on_the_wall

HORIZON = timedelta(days=400)  # how far ahead a change is looked for

People = tuple[str, ...]
"""Names of people, in the order in which they are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who can be asked. `contacts` are addresses by channel, in the order in which they are listed; `aliases`
    is how calendars call him; `zone` is the IANA zone in which he wants to read times."""

    name: str
    full_name: str = ""
    contacts: Mapping[str, str] = field(default_factory=no_text)
    zone: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A rotation: each of `turns` (one or more people) has its turn for `every`, counted on the wall clock of `zone`
    from the first hand-over `start`, and over again. Nobody is on call before `start`, nor outside of `only`."""

    turns: tuple[People, ...]
    every: timedelta
    start: datetime  # on the wall: it has no zone of its own
    zone: str
    only: Hours | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Who is on call from `start` until `end` (UTC). Nobody: a gap."""

    start: datetime
    end: datetime
    people: People


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Layers, of which a later one goes before the earlier ones wherever it has somebody; or the `shifts` of a
    calendar, which may overlap. `zone` is the one that it is shown in."""

    name: str
    zone: str = "UTC"
    layers: tuple[Layer, ...] = ()
    shifts: tuple[Shift, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A change on top of a schedule, from `start` until `end` (UTC): `person` is on call alone, or in the place of
    `instead_of` whenever that one would be. A `swap` goes both ways."""

    id: str
    schedule: str
    person: str
    start: datetime
    end: datetime
    instead_of: str = ""
    swap: bool = False
    by: str = ""
    made_at: datetime | None = None

    def changed(self, people: People) -> People:
        """Who is on call by this, where without it these people would be."""
        if not self.instead_of:
            return (self.person,)
        places = {self.instead_of: self.person} | ({self.person: self.instead_of} if self.swap else {})
        return tuple(dict.fromkeys(places.get(name, name) for name in people))


def on_call(schedule: Schedule, overrides: Iterable[Override], at: datetime) -> People:
    """Who is on call at that moment: nobody, one, or several. Of two overrides the later one in order wins."""
    people = _planned(schedule, at)
    for change in overrides:
        if change.schedule == schedule.name and change.start <= at < change.end:
            people = change.changed(people)
    return people


def next_change(schedule: Schedule, overrides: Sequence[Override], at: datetime) -> datetime | None:
    """The first moment after `at` at which somebody else is on call than at `at`; None within `HORIZON`."""
    shift = next(shifts(schedule, overrides, at, at + HORIZON))
    return shift.end if shift.end < at + HORIZON else None


def shifts(schedule: Schedule, overrides: Sequence[Override], start: datetime, end: datetime) -> Iterator[Shift]:
    """The span without a hole, as shifts of which no two neighbours are the same people; gaps are shifts of nobody."""
    begun, people, at = start, on_call(schedule, overrides, start), start
    while at < end:
        at = min(_next_edge(schedule, overrides, at, end), end)
        now = on_call(schedule, overrides, at)
        if now != people or at == end:
            yield Shift(start=begun, end=at, people=people)
            begun, people = at, now


def everybody(schedule: Schedule) -> People:
    """All who may have a turn, each once, in the order in which they first appear."""
    turns = [turn for layer in schedule.layers for turn in layer.turns] + [shift.people for shift in schedule.shifts]
    return tuple(dict.fromkeys(name for turn in turns for name in turn))


def _planned(schedule: Schedule, at: datetime) -> People:
    for layer in reversed(schedule.layers):
        if (layer.only is None or at in layer.only) and (turn := _turn(layer, at)) >= 0:
            return layer.turns[turn % len(layer.turns)]
    present = (shift.people for shift in schedule.shifts if shift.start <= at < shift.end)
    return tuple(dict.fromkeys(name for people in present for name in people))


def _turn(layer: Layer, at: datetime) -> int:
    """The number of the turn, from 0; less before the first. The last whose hand-over is not after that moment: in
    the second pass of a doubled hour the wall shows less than has been handed over."""
    turn = (on_the_wall(at, layer.zone) - layer.start) // layer.every
    while _handover(layer, turn + 1) <= at:
        turn += 1
    return turn


def _handover(layer: Layer, turn: int) -> datetime:
    return moment(layer.start + turn * layer.every, layer.zone)


def _next_edge(schedule: Schedule, overrides: Iterable[Override], at: datetime, otherwise: datetime) -> datetime:
    """The next moment at which anything begins or ends, `otherwise` when there is none before."""
    edges = [otherwise]
    for layer in schedule.layers:
        turn = _turn(layer, at)
        if turn < 0 or len(layer.turns) > 1:
            edges.append(_handover(layer, max(turn + 1, 0)))
        if layer.only is not None:
            edges.append(next_edge(layer.only, at))
    spans = [(change.start, change.end) for change in overrides if change.schedule == schedule.name]
    spans += [(shift.start, shift.end) for shift in schedule.shifts]
    edges += [edge for span in spans for edge in span if edge > at]
    return min(edges)
