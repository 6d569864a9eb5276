"""The proof that somebody is woken: what it finds, and that it finds every hole there is."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.hours import Hours, parse_window
from agent.core.policy import Escalation, EscalationStep, Policy
from agent.core.rota import Layer, Override, Schedule
from agent.oncall.book import Book
from agent.oncall.coverage import Hole, channels_used, holes, routes
from tests.oncall.duty import NOW, PEOPLE, PRIMARY, Away, override, utc

DAY = timedelta(days=1)
BERLIN = "Europe/Berlin"


def hours(*windows: str, zone: str = BERLIN) -> Hours:
    return Hours(tuple(map(parse_window, windows)), zone)


def rota(name: str, *people: str, only: Hours | None = None, every: timedelta = DAY) -> Schedule:
    start = datetime(2026, 1, 5, 9)  # noqa: DTZ001 - on the wall
    layer = Layer(turns=tuple((one,) for one in people), every=every, start=start, zone=BERLIN, only=only)
    return Schedule(name=name, zone=BERLIN, layers=(layer,))


def book(*schedules: Schedule, overrides: tuple[Override, ...] = ()) -> Book:
    made = Book(lambda: NOW, Away())
    made.configure(PEOPLE, {schedule.name: schedule for schedule in schedules}, ())
    made.adopt(overrides)
    return made


def escalation(*steps: str, **more: object) -> Escalation:
    """Each step is a text of targets with blanks between."""
    made = tuple(EscalationStep(notify=tuple(step.split()), wait=timedelta(minutes=5)) for step in steps)
    return Escalation(name="default", steps=made, **more)  # type: ignore[arg-type]


def policy(
    *steps: str, service: str = "shop", page: tuple[str, ...] = (), severity: str = "critical", **more: object
) -> Policy:
    by_steps = escalation(*steps, **more) if steps else None
    return Policy(service=service, page=page, severity=severity, escalation=by_steps)


def found_in(keeping: Book, *policies: Policy, days: int = 7) -> list[Hole]:
    end = NOW + days * DAY
    return holes(policies, routes(policies, keeping, NOW, end), keeping)


def texts(found: list[Hole]) -> list[str]:
    return [f"{hole.kind}: {hole.text}" for hole in found]


@pytest.mark.parametrize(
    ("keeping", "of", "said"),
    [
        pytest.param(book(rota("primary", "alice", "bob")), policy("oncall:primary"), [], id="always somebody"),
        pytest.param(
            book(rota("primary", "alice", only=hours("Mon-Fri"))),
            policy("oncall:primary", page=("ops",)),
            ["gap: shop: step 1 of default (primary) reaches nobody"],
            id="a weekend without anybody, though a channel is asked",
        ),
        pytest.param(
            book(rota("primary", "alice", only=hours("Mon-Fri"))),
            policy("oncall:primary"),
            ["gap: shop: nobody at all is asked"],
            id="and without a channel nobody at all",
        ),
        pytest.param(
            book(rota("day", "alice", only=hours("08:00-20:00")), rota("night", "bob", only=hours("20:00-08:00"))),
            policy("oncall:day oncall:night"),
            [],
            id="two that complete each other in one step",
        ),
        pytest.param(
            book(rota("primary", "alice"), rota("secondary", "carol")),
            policy("oncall:primary", "oncall:secondary"),
            [
                "gap: shop: step 2 of default (secondary) reaches nobody",
                "contact: carol has no contact: step 2 of default (secondary) does not reach them",
            ],
            id="a step that nobody can answer, as its person has no contact",
        ),
        pytest.param(
            book(rota("primary", "alice", "carol")),
            policy("oncall:primary person:bob"),
            ["contact: carol has no contact: step 1 of default (primary) does not reach them"],
            id="a person without contact, though somebody else is asked too",
        ),
        pytest.param(
            book(rota("primary", "alice")),
            policy("oncall:primary person:bob/sms"),
            ["contact: bob has no contact on sms: step 1 of default does not reach them"],
            id="no contact on the only channel that is used",
        ),
        pytest.param(
            book(),
            Policy(service="shop"),
            ["unpaged: nobody is ever asked about shop: it has no page and no escalation"],
            id="nobody",
        ),
        pytest.param(book(), Policy(service="shop", notify=("quiet",)), [], id="told only, by intention"),
        pytest.param(book(), policy(page=("ops",)), [], id="a channel alone"),
        pytest.param(
            book(rota("primary", "alice", only=hours("Mon-Fri 09:00-17:00"))),
            policy("oncall:primary", hours=hours("Mon-Fri 10:00-16:00")),
            [],
            id="nobody is missing at hours at which nobody is asked",
        ),
        pytest.param(
            book(rota("primary", "alice", only=hours("06:00-24:00"))),
            policy("oncall:primary", severity="warning", quiet_hours=hours("22:00-07:00"), quiet_for=("warning",)),
            [],
            id="nor at quiet ones for what can wait",
        ),
        pytest.param(
            book(rota("primary", "alice", only=hours("06:00-24:00"))),
            policy("oncall:primary", severity="critical", quiet_hours=hours("22:00-07:00"), quiet_for=("warning",)),
            ["gap: shop: nobody at all is asked"] * 7,
            id="but for what cannot wait somebody is",
        ),
    ],
)
def test_coverage_finds(keeping: Book, of: Policy, said: list[str]) -> None:
    assert texts(found_in(keeping, of)) == said


def test_a_gap_has_its_beginning_and_its_end() -> None:
    (gap,) = found_in(book(rota("primary", "alice", only=hours("Mon-Fri"))), policy("oncall:primary"))
    assert (gap.start, gap.end) == (utc("2026-01-09 23:00"), utc("2026-01-11 23:00"))


def test_a_gap_that_another_schedules_change_divides_is_one_gap() -> None:
    keeping = book(rota("primary", "alice", only=hours("Mon-Fri")), rota("second", "alice", "bob"))
    (gap,) = found_in(keeping, policy("oncall:primary", "oncall:second"))
    assert (gap.start, gap.end) == (utc("2026-01-09 23:00"), utc("2026-01-11 23:00"))


def test_an_override_closes_a_gap() -> None:
    weekend = override("bob", "2026-01-09 20:00", "2026-01-12 08:00", id="o1")
    assert (
        found_in(book(rota("primary", "alice", only=hours("Mon-Fri")), overrides=(weekend,)), policy("oncall:primary"))
        == []
    )


def test_an_override_by_somebody_without_contact_opens_one() -> None:
    found = found_in(book(PRIMARY, overrides=(override("carol", id="o1"),)), policy("oncall:primary"), days=3)
    assert [hole.kind for hole in found] == ["gap", "contact"]


def test_services_that_are_paged_alike_are_told_together() -> None:
    alike = [policy("oncall:primary", service=name) for name in ("a", "b")]
    other = policy("oncall:primary", service="c", severity="warning")
    found = routes([*alike, other, Policy(service="d")], book(PRIMARY), NOW, NOW + DAY)
    assert [(route.services, route.severity) for route in found] == [(("a", "b"), "critical"), (("c",), "warning")]


def test_the_spans_of_a_route_say_who_is_asked_by_what_at_any_moment_of_them() -> None:
    (route,) = routes([policy("oncall:primary")], book(rota("primary", "alice", "bob")), NOW, NOW + 2 * DAY)
    said = [
        (f"{span.start:%d %H}", f"{span.end:%d %H}", [c.name for c in span.steps[0].contacts]) for span in route.spans
    ]
    assert said == [
        ("06 12", "07 08", ["mail/bob"]),
        ("07 08", "08 08", ["slack/alice", "sms/alice"]),
        ("08 08", "08 12", ["mail/bob"]),
    ]
    assert channels_used([route]) == {"slack", "sms", "mail"}


windows = st.sampled_from(["Mon-Fri", "Sat,Sun", "22:00-07:00", "09:00-17:00", "Wed 00:00-12:30", "00:00-24:00"])


@given(
    primary=st.lists(windows, min_size=1, max_size=2),
    secondary=st.lists(windows, min_size=1, max_size=2),
    open_at=st.none() | windows,
    offset=st.integers(0, 90 * 24),
)
def test_no_hour_without_anybody_escapes_the_proof(
    primary: list[str], secondary: list[str], open_at: str | None, offset: int
) -> None:
    """Hour by hour, from what the engine would be told at that moment: asked and reached, or closed, or a gap."""
    keeping = book(rota("primary", "alice", only=hours(*primary)), rota("secondary", "bob", only=hours(*secondary)))
    of = policy("oncall:primary oncall:secondary", hours=hours(open_at) if open_at else None)
    start = NOW + timedelta(hours=offset)
    end = start + 4 * DAY
    gaps = [hole for hole in holes([of], routes([of], keeping, start, end), keeping) if hole.kind == "gap"]
    assert of.escalation is not None
    for n in range(4 * 24):
        at = start + timedelta(hours=n)
        reached = any(keeping.reach(of.escalation, at).values())
        closed = of.escalation.hours is not None and at not in of.escalation.hours
        in_a_gap = any(gap.start <= at < gap.end for gap in gaps if gap.start and gap.end)
        assert in_a_gap == (not reached and not closed)
