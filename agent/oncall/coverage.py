"""Who would be paged for each service, at any moment of a span: the proof that nobody is missing. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from agent.core.closed import closed_hours
from agent.core.contact import Contact
from agent.core.hours import next_edge
from agent.core.policy import Escalation, Policy
from agent.core.rota import Override, Schedule, shifts
from agent.oncall.book import Book


@dataclass(frozen=True, slots=True)
class Step:
    """Whom one step of an escalation asks at that time, and how."""

    number: int
    notify: tuple[str, ...]
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which the answer stays the same. `closed` says why nobody is asked in it at all, by intention."""

    start: datetime
    end: datetime
    steps: tuple[Step, ...]
    closed: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Services that are paged the same way: by these channels at once, and step by step."""

    services: tuple[str, ...]
    severity: str
    page: tuple[str, ...]
    escalation: Escalation | None
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, order=True)
class Hole:
    """What is wrong. `kind` is "gap" (a step reaches nobody then), "contact" (a person cannot be reached by it),
    "unpaged" (a service for which nobody is ever asked), "channel" (it does not work), "calendar"."""

    kind: str
    text: str
    start: datetime | None = None
    end: datetime | None = None


def routes(policies: Iterable[Policy], book: Book, start: datetime, end: datetime) -> list[Route]:
    """Every way in which services are paged over the span, services of the same way together."""
    together: dict[tuple[object, ...], list[Policy]] = {}
    for policy in policies:
        if policy.pages:
            name = policy.escalation.name if policy.escalation else ""
            together.setdefault((policy.page, name, policy.severity), []).append(policy)
    return [_route(alike, book, start, end) for alike in together.values()]


def _route(alike: Sequence[Policy], book: Book, start: datetime, end: datetime) -> Route:
    policy = alike[0]
    edges = sorted({start, end, *_edges(policy, book.schedules, book.in_force(), start, end)})
    spans: list[Span] = []
    for begin, finish in pairwise(edges):
        span = _span(policy, book, begin, finish)
        if spans and (spans[-1].steps, spans[-1].closed) == (span.steps, span.closed):
            span = Span(spans.pop().start, span.end, span.steps, span.closed)
        spans.append(span)
    services = tuple(one.service for one in alike)
    return Route(services, policy.severity, policy.page, policy.escalation, tuple(spans))


def _span(policy: Policy, book: Book, start: datetime, end: datetime) -> Span:
    escalation = policy.escalation
    if escalation is None:
        return Span(start, end, ())
    quiet = closed_hours(policy, start)
    if quiet is not None:
        return Span(start, end, (), quiet.why)
    reach = book.reach(escalation, start)
    found = (tuple(contact for target in step.notify for contact in reach[target]) for step in escalation.steps)
    numbered = zip(escalation.steps, found, strict=True)
    return Span(start, end, tuple(Step(n, step.notify, got) for n, (step, got) in enumerate(numbered, start=1)))


def _edges(
    policy: Policy, schedules: Mapping[str, Schedule], overrides: Sequence[Override], start: datetime, end: datetime
) -> Iterator[datetime]:
    escalation = policy.escalation
    if escalation is None:
        return
    for name in {name for _, name, _ in _targets(escalation, "oncall")} & set(schedules):
        yield from (shift.start for shift in shifts(schedules[name], overrides, start, end))
    for hours in (escalation.hours, escalation.quiet_hours):
        at = next_edge(hours, start) if hours is not None else end
        while hours is not None and at < end:
            yield at
            at = next_edge(hours, at)


def _targets(escalation: Escalation, kind: str) -> Iterator[tuple[int, str, str]]:
    """For each target of that kind the number of its step, its name, and the channel that it is bound to."""
    for number, step in enumerate(escalation.steps, start=1):
        for target in step.notify:
            written, _, name = target.partition(":")
            if written == kind:
                name, _, channel = name.partition("/")
                yield number, name, channel


def holes(policies: Sequence[Policy], found: Sequence[Route], book: Book) -> list[Hole]:
    """Everything that would leave somebody asleep who should be woken, each thing once."""
    unpaged = sorted(policy.service for policy in policies if not policy.pages and not policy.notify)
    every = [
        Hole("unpaged", f"nobody is ever asked about {name}: it has no page and no escalation") for name in unpaged
    ]
    every += [Hole("calendar", f"schedule {name}: {text}") for name, text in book.trouble.items()]
    for route in found:
        every += _joined(_gaps(route))
        every += _without_contact(route, book)
    return sorted(set(every), key=lambda hole: (hole.kind != "gap", hole.kind, hole.text, str(hole.start)))


def _gaps(route: Route) -> Iterator[Hole]:
    name = route.escalation.name if route.escalation else ""
    for span in route.spans:
        for step in span.steps:
            if not step.contacts:
                nobody = not route.page and not any(other.contacts for other in span.steps)
                whom = ", ".join(target.partition(":")[2] for target in step.notify)
                text = "nobody at all is asked" if nobody else f"step {step.number} of {name} ({whom}) reaches nobody"
                services = _some(route.services)
                yield Hole("gap", f"{services}: {text}", span.start, span.end)


def _joined(gaps: Iterable[Hole]) -> Iterator[Hole]:
    """One hole where the end of one is the beginning of the next."""
    last: dict[str, Hole] = {}
    for gap in gaps:
        before = last.get(gap.text)
        if before is not None and before.end == gap.start:
            last[gap.text] = Hole(gap.kind, gap.text, before.start, gap.end)
        else:
            yield from [before] if before else []
            last[gap.text] = gap
    yield from last.values()


def _without_contact(route: Route, book: Book) -> Iterator[Hole]:
    escalation = route.escalation
    if escalation is None:
        return
    for number, person, channel in _targets(escalation, "person"):
        yield from _unreachable(person, channel, f"step {number} of {escalation.name}", book)
    for number, schedule, channel in _targets(escalation, "oncall"):
        moments = (span.start for span in route.spans if not span.closed)
        people = dict.fromkeys(name for at in moments for name in book.on_call(schedule, at))
        for person in people:
            yield from _unreachable(person, channel, f"step {number} of {escalation.name} ({schedule})", book)


def _unreachable(person: str, channel: str, where: str, book: Book) -> Iterator[Hole]:
    contacts = book.contacts.get(person, {})
    if not contacts:
        yield Hole("contact", f"{person} has no contact: {where} does not reach them")
    elif channel and channel not in contacts:
        yield Hole("contact", f"{person} has no contact on {channel}: {where} does not reach them")


def channels_used(found: Iterable[Route]) -> set[str]:
    """Every channel by which anybody is asked in the span."""
    steps = [step for route in found for span in route.spans for step in span.steps]
    return {name for route in found for name in route.page} | {c.channel for step in steps for c in step.contacts}


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
