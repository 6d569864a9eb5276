"""Who is on call, as tables of a week's life, and over the days on which clocks change in every zone."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.hours import Hours, parse_window
from agent.core.rota import Layer, Override, Schedule, Shift, everybody, next_change, on_call, shifts
from agent.core.wall import moment, on_the_wall
from tests.core.zones import DAY, SECOND, ZONES, transitions

BERLIN = "Europe/Berlin"
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def hours(zone: str, *windows: str) -> Hours:
    return Hours(tuple(map(parse_window, windows)), zone)


def layer(
    *turns: str, every: timedelta = WEEK, start: str = "2026-01-05 09:00", zone: str = BERLIN, **more: Hours
) -> Layer:
    """Each turn is a text of names with blanks between."""
    split = tuple(tuple(turn.split()) for turn in turns)
    return Layer(turns=split, every=every, start=wall(start), zone=zone, **more)


def schedule(*layers: Layer, shifts: tuple[Shift, ...] = ()) -> Schedule:
    return Schedule(name="primary", zone=BERLIN, layers=layers, shifts=shifts)


def override(person: str, start: str, end: str, **more: object) -> Override:
    known = {"id": "o1", "schedule": "primary", "person": person, "start": utc(start), "end": utc(end)}
    return Override(**{**known, **more})  # type: ignore[arg-type]


WEEKLY = schedule(layer("alice", "bob", "carol"))


@pytest.mark.parametrize(
    ("at", "who"),
    [
        pytest.param("2026-01-05 07:59:59", "", id="a second before its start there is nobody"),
        pytest.param("2026-01-05 08:00", "alice", id="the first turn begins at the hand-over"),
        pytest.param("2026-01-12 07:59:59", "alice", id="until a second before the next"),
        pytest.param("2026-01-12 08:00", "bob", id="then it is the next one's"),
        pytest.param("2026-01-26 08:00", "alice", id="and after the last the first again"),
        pytest.param("2026-03-23 07:59:59", "bob", id="the last hand-over in winter time is at 08:00 UTC"),
        pytest.param("2026-03-23 08:00", "carol", id="at 09:00 on the wall"),
        pytest.param("2026-03-30 06:59:59", "carol", id="the first in summer time is an hour earlier in UTC"),
        pytest.param("2026-03-30 07:00", "alice", id="and at 09:00 on the wall all the same"),
        pytest.param("2026-10-26 07:59:59", "carol", id="the week of the autumn is an hour longer"),
        pytest.param("2026-10-26 08:00", "alice", id="and ends at 09:00 on the wall"),
    ],
)
def test_a_weekly_rotation_is_handed_over_at_nine_all_year(at: str, who: str) -> None:
    assert on_call(WEEKLY, (), utc(at)) == tuple(who.split())


@pytest.mark.parametrize(
    ("rota", "at", "who"),
    [
        pytest.param(layer("a", "b", every=DAY), "2026-01-06 08:00", "b", id="daily"),
        pytest.param(layer("a", "b", every=3 * DAY), "2026-01-08 07:59", "a", id="every three days: not yet"),
        pytest.param(layer("a", "b", every=3 * DAY), "2026-01-08 08:00", "b", id="every three days"),
        pytest.param(layer("a", "b", "c", every=8 * HOUR), "2026-01-06 00:30", "c", id="three times eight hours a day"),
        pytest.param(layer("a", "b", "c", every=8 * HOUR), "2026-01-06 08:00", "a", id="and the day begins anew"),
        pytest.param(layer("a", "b", every=12 * HOUR), "2026-03-29 06:59", "b", id="a night with 23 hours to its day"),
        pytest.param(layer("a", "b", every=12 * HOUR), "2026-03-29 07:00", "a", id="is handed over at 09:00 too"),
        pytest.param(layer("a b", "c"), "2026-01-05 08:00", "a b", id="two people at once"),
        pytest.param(layer("a", zone="Asia/Tokyo"), "2026-01-05 00:00", "a", id="09:00 in Tokyo"),
        pytest.param(layer("a", zone="Asia/Tokyo"), "2026-01-04 23:59", "", id="and not before"),
        pytest.param(
            layer("a", "b", every=DAY, start="2026-03-28 02:30"), "2026-03-29 00:59", "a", id="hand-over is skipped"
        ),
        pytest.param(
            layer("a", "b", every=DAY, start="2026-03-28 02:30"), "2026-03-29 01:00", "b", id="so it is at the jump"
        ),
        pytest.param(
            layer("a", "b", every=DAY, start="2026-10-24 02:30"),
            "2026-10-25 00:30",
            "b",
            id="it comes twice: the first",
        ),
        pytest.param(
            layer("a", "b", every=DAY, start="2026-10-24 02:30"), "2026-10-25 01:15", "b", id="and is not taken back"
        ),
        pytest.param(
            layer("a", "b", every=HOUR, start="2026-03-29 00:00"), "2026-03-29 01:00", "b", id="a skipped turn is empty"
        ),
    ],
)
def test_turns_are_counted_on_the_wall_clock(rota: Layer, at: str, who: str) -> None:
    assert on_call(schedule(rota), (), utc(at)) == tuple(who.split())


FOLLOW_THE_SUN = schedule(
    layer("tokyo", zone="Asia/Tokyo", only=hours("Asia/Tokyo", "09:00-17:00")),
    layer("berlin", only=hours(BERLIN, "09:00-17:00")),
    layer("york", zone="America/New_York", only=hours("America/New_York", "09:00-18:00")),
)


@pytest.mark.parametrize(
    ("at", "who"),
    [
        pytest.param("2026-02-02 00:00", "tokyo", id="09:00 in Tokyo"),
        pytest.param("2026-02-02 07:59", "tokyo", id="16:59 in Tokyo"),
        pytest.param("2026-02-02 08:00", "berlin", id="09:00 in Berlin, where Tokyo goes home"),
        pytest.param("2026-02-02 14:30", "york", id="a later layer goes before an earlier one"),
        pytest.param("2026-02-02 23:30", "", id="nobody covers the evening of New York: a gap"),
        pytest.param("2026-07-06 07:00", "berlin", id="summer: Berlin comes an hour earlier, before Tokyo leaves"),
        pytest.param("2026-03-16 13:30", "york", id="the weeks between the two changes of the clocks: 09:30 there"),
    ],
)
def test_the_sun_is_followed(at: str, who: str) -> None:
    assert on_call(FOLLOW_THE_SUN, (), utc(at)) == tuple(who.split())


def test_what_a_later_layer_leaves_open_is_the_earlier_ones() -> None:
    rota = schedule(layer("day"), layer("night", only=hours(BERLIN, "22:00-06:00")))
    assert on_call(rota, (), utc("2026-02-02 20:59")) == ("day",)
    assert on_call(rota, (), utc("2026-02-02 21:00")) == ("night",)
    assert on_call(rota, (), utc("2026-02-03 04:59")) == ("night",)
    assert on_call(rota, (), utc("2026-02-03 05:00")) == ("day",)


@pytest.mark.parametrize(
    ("changes", "at", "who"),
    [
        pytest.param(
            [override("zoe", "2026-01-06 00:00", "2026-01-07 00:00")], "2026-01-05 23:59", "alice", id="not yet"
        ),
        pytest.param([override("zoe", "2026-01-06 00:00", "2026-01-07 00:00")], "2026-01-06 00:00", "zoe", id="from"),
        pytest.param(
            [override("zoe", "2026-01-06 00:00", "2026-01-07 00:00")], "2026-01-07 00:00", "alice", id="until"
        ),
        pytest.param(
            [override("zoe", "2026-01-06 00:00", "2026-01-20 00:00", instead_of="alice")],
            "2026-01-13 00:00",
            "bob",
            id="whoever stands in for one does not for another",
        ),
        pytest.param(
            [override("bob", "2026-01-05 00:00", "2026-01-19 08:00", instead_of="alice", swap=True)],
            "2026-01-06 00:00",
            "bob",
            id="a swap: his week is hers",
        ),
        pytest.param(
            [override("bob", "2026-01-05 00:00", "2026-01-19 08:00", instead_of="alice", swap=True)],
            "2026-01-13 00:00",
            "alice",
            id="and her week is his",
        ),
        pytest.param(
            [
                override("zoe", "2026-01-06 00:00", "2026-01-07 00:00"),
                override("bob", "2026-01-06 12:00", "2026-01-07 00:00"),
            ],
            "2026-01-06 12:00",
            "bob",
            id="of two the later one counts",
        ),
        pytest.param(
            [override("zoe", "2026-01-06 00:00", "2026-01-07 00:00", schedule="secondary")],
            "2026-01-06 00:00",
            "alice",
            id="another schedule's changes nothing",
        ),
        pytest.param(
            [override("zoe", "2025-12-01 00:00", "2025-12-02 00:00")], "2025-12-01 12:00", "zoe", id="in a gap"
        ),
    ],
)
def test_what_people_change_goes_on_top(changes: list[Override], at: str, who: str) -> None:
    assert on_call(WEEKLY, changes, utc(at)) == tuple(who.split())


def test_the_events_of_a_calendar_may_overlap() -> None:
    first = Shift(start=utc("2026-01-05 08:00"), end=utc("2026-01-06 08:00"), people=("alice",))
    second = Shift(start=utc("2026-01-05 20:00"), end=utc("2026-01-07 08:00"), people=("bob", "alice"))
    found = list(shifts(schedule(shifts=(first, second)), (), utc("2026-01-05 00:00"), utc("2026-01-08 00:00")))
    assert [(f"{one.start:%d %H}", one.people) for one in found] == [
        ("05 00", ()),
        ("05 08", ("alice",)),
        ("05 20", ("alice", "bob")),
        ("06 08", ("bob", "alice")),
        ("07 08", ()),
    ]


def test_the_next_change_is_when_somebody_else_comes_and_not_every_hand_over() -> None:
    assert next_change(WEEKLY, (), utc("2026-01-06 00:00")) == utc("2026-01-12 08:00")
    alone = schedule(layer("alice", "alice"))
    assert next_change(alone, (), utc("2026-01-06 00:00")) is None
    assert next_change(alone, (), utc("2025-12-24 00:00")) == utc("2026-01-05 08:00")


def test_everybody_is_each_person_once() -> None:
    assert everybody(schedule(layer("a", "b c"), layer("c", "d"))) == ("a", "b", "c", "d")


# ---------------------------------------------------------------------------------------------------- every zone


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_hand_over_keeps_its_hour_on_the_days_on_which_the_clocks_change(zone: str) -> None:
    """In every zone, around each change: one hand-over a day, at its hour on the wall, or at the jump that skips it."""
    for change in transitions(zone)[:4]:
        day = on_the_wall(change, zone).date() - 2 * DAY
        for at_hour in (time(0), time(2, 30), time(9)):
            rota = schedule(layer("a", "b", every=DAY, start=f"{day} {at_hour}", zone=zone))
            begin = moment(datetime.combine(day, at_hour), zone)
            turns = list(shifts(rota, (), begin, begin + 5 * DAY))[:-1]
            assert [turn.people for turn in turns] == [("a",), ("b",)] * (len(turns) // 2) + [("a",)] * (len(turns) % 2)
            for n, turn in enumerate(turns):
                meant = datetime.combine(day + n * DAY, at_hour)
                shown = on_the_wall(turn.start, zone)
                assert shown == meant or (turn.start == change and shown > meant)
                assert timedelta(0) < turn.end - turn.start < 3 * DAY


spans = st.sampled_from([HOUR, 5 * HOUR, 8 * HOUR, 12 * HOUR, DAY, 36 * HOUR, 3 * DAY, WEEK])


@st.composite
def around_a_change(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment within three days of a change of its clocks where it has any."""
    zone = draw(st.sampled_from(ZONES))
    change = draw(st.sampled_from(transitions(zone) or (utc("2026-03-29 01:00"),)))
    return zone, change + draw(st.integers(-3 * 86_400, 3 * 86_400)) * SECOND


@settings(max_examples=300)
@given(
    where=around_a_change(),
    every=spans,
    clock=st.times().map(lambda t: t.replace(second=0, microsecond=0, tzinfo=None)),
    back=st.integers(0, 400),
    windows=st.lists(st.sampled_from(["Mon-Fri 09:00-17:00", "22:00-07:00", "Sat,Sun", "02:15-02:45"]), max_size=2),
)
def test_shifts_fill_a_span_without_a_hole_and_say_the_same_as_any_moment_in_them(
    where: tuple[str, datetime], every: timedelta, clock: time, back: int, windows: list[str]
) -> None:
    zone, at = where
    start = datetime.combine(on_the_wall(at, zone).date() - back * DAY, clock)
    only = hours(zone, *windows) if windows else None
    rota = schedule(
        Layer(turns=(("x",),), every=WEEK, start=start, zone=zone),
        Layer(turns=(("a",), ("b",), ("c",)), every=every, start=start, zone=zone, only=only),
    )
    found = list(shifts(rota, (), at, at + 4 * DAY))
    assert found[0].start == at
    assert found[-1].end == at + 4 * DAY
    for one, after in pairwise(found):
        assert one.end == after.start
        assert one.people != after.people
    for one in found:
        middle = one.start + (one.end - one.start) / 2
        assert (
            on_call(rota, (), one.start)
            == on_call(rota, (), middle)
            == on_call(rota, (), one.end - SECOND)
            == one.people
        )


@settings(max_examples=300)
@given(where=around_a_change(), every=spans, back=st.integers(1, 40))
def test_turns_come_in_order_and_none_is_lost(where: tuple[str, datetime], every: timedelta, back: int) -> None:
    """However odd the day: at any moment the number of turns begun is the number of hand-overs on the wall so far."""
    zone, at = where
    start = datetime.combine(on_the_wall(at, zone).date(), time(9)) - back * DAY
    rota = Layer(turns=tuple((str(n),) for n in range(5000)), every=every, start=start, zone=zone)
    if moment(start, zone) > at:
        return
    (turn,) = on_call(schedule(rota), (), at)
    begun, next_one = (moment(start + n * every, zone) for n in (int(turn), int(turn) + 1))
    assert begun <= at < next_one
