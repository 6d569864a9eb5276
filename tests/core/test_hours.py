"""Hours of the week: how they are written, what they hold, when they end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.closed import closed_hours
from agent.core.hours import Hours, Window, closed, ends_at, next_edge, parse_window
from agent.core.policy import Escalation, Policy
from tests.core.zones import ZONES

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(*windows: str, zone: str = BERLIN) -> Hours:
    return Hours(tuple(map(parse_window, windows)), zone)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        pytest.param("Mon-Fri 09:00-17:00", Window((0, 1, 2, 3, 4), 540, 1020), id="working days"),
        pytest.param("22:00-07:00", Window(tuple(range(7)), 1320, 1860), id="every night, into the next day"),
        pytest.param("Sat,Sun", Window((5, 6), 0, 1440), id="whole days"),
        pytest.param(
            "fri-mon 8:00 - 24:00", Window((0, 4, 5, 6), 480, 1440), id="over the end of the week, to midnight"
        ),
        pytest.param("Monday, wed 00:00-12:30", Window((0, 2), 0, 750), id="long names and blanks"),
    ],
)
def test_hours_are_written_as_people_do(text: str, means: Window) -> None:
    assert parse_window(text) == means


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "expected hours such as", id="nothing"),
        pytest.param("9-17", "expected hours such as", id="no minutes"),
        pytest.param("Mo 09:00-10:00", "expected hours such as", id="two letters"),
        pytest.param("Mon-Fre", "expected hours such as", id="no such day"),
        pytest.param("09:00-09:00", "has no length: the whole day is 00:00-24:00", id="no length"),
        pytest.param("25:00-26:00", "a time of day such as 09:00, got '25:00'", id="no such hour"),
        pytest.param("24:00-12:00", "a time of day such as 09:00, got '24:00'", id="begins at the end of the day"),
        pytest.param("09:60-12:00", "a time of day such as 09:00, got '09:60'", id="no such minute"),
    ],
)
def test_what_is_no_hours_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_window(text)


windows = st.builds(
    lambda days, begins, length: Window(tuple(sorted(days)), begins, begins + length),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1439),
)


@given(windows)
def test_hours_are_printed_as_they_can_be_read(window: Window) -> None:
    assert parse_window(str(window)) == window


@pytest.mark.parametrize(
    ("at", "until"),
    [
        pytest.param("2026-01-05 08:00", None, id="Monday 09:00: open"),
        pytest.param("2026-01-09 16:00", "2026-01-12 08:00", id="Friday 17:00: until Monday"),
        pytest.param("2026-01-05 07:59", "2026-01-05 08:00", id="a minute before"),
        pytest.param("2026-03-28 12:00", "2026-03-30 07:00", id="over the change of the clocks: 09:00 on the wall"),
    ],
)
def test_closed_says_until_when(at: str, until: str | None) -> None:
    assert closed(hours("Mon-Fri 09:00-17:00"), utc(at)) == (utc(until) if until else None)


@pytest.mark.parametrize(
    ("given_hours", "at", "until"),
    [
        pytest.param(["22:00-07:00"], "2026-01-05 22:00", "2026-01-06 06:00", id="a night"),
        pytest.param(["22:00-07:00"], "2026-01-05 12:00", None, id="not now"),
        pytest.param(["22:00-07:00", "Sat,Sun"], "2026-01-09 22:00", "2026-01-12 06:00", id="windows that meet"),
        pytest.param(["00:00-24:00"], "2026-01-05 12:00", None, id="they never end"),
        pytest.param(["22:00-07:00"], "2026-03-28 22:00", "2026-03-29 05:00", id="the short night"),
    ],
)
def test_hours_end_where_no_other_goes_on(given_hours: list[str], at: str, until: str | None) -> None:
    assert ends_at(hours(*given_hours), utc(at)) == (utc(until) if until else None)


def test_hours_that_the_clocks_skip_are_none_on_that_day() -> None:
    skipped = hours("02:15-02:45")
    assert not [n for n in range(0, 86_400, 60) if utc("2026-03-29 00:00") + timedelta(seconds=n) in skipped]
    assert utc("2026-03-30 00:20") in skipped


@given(
    window=windows,
    zone=st.sampled_from(ZONES),
    at=st.integers(int(utc("2024-01-01").timestamp()), int(utc("2027-01-01").timestamp())),
)
def test_between_two_edges_nothing_changes_and_closed_is_until_it_is_open(window: Window, zone: str, at: int) -> None:
    weekly, now = Hours((window,), zone), datetime.fromtimestamp(at, UTC)
    edge = next_edge(weekly, now)
    assert edge > now
    assert (now in weekly) == (now + (edge - now) / 2 in weekly) == (edge - timedelta(seconds=1) in weekly)
    until = closed(weekly, now)
    assert (until is None) == (now in weekly)
    assert until is None or until in weekly


def policy(severity: str = "critical", **more: object) -> Policy:
    return Policy(service="db", severity=severity, escalation=Escalation(name="daytime", steps=(), **more))  # type: ignore[arg-type]


WORKING = hours("Mon-Fri 09:00-17:00")
NIGHT = hours("22:00-07:00")


@pytest.mark.parametrize(
    ("of", "at", "until"),
    [
        pytest.param(Policy(service="db"), "2026-01-05 02:00", "open", id="without a policy there are no hours"),
        pytest.param(policy(hours=WORKING), "2026-01-05 12:00", "open", id="business hours"),
        pytest.param(policy(hours=WORKING), "2026-01-09 20:00", "2026-01-12 08:00", id="after them until Monday"),
        pytest.param(
            policy(quiet_hours=NIGHT, quiet_for=("warning",)),
            "2026-01-05 23:00",
            "open",
            id="what is critical never waits",
        ),
        pytest.param(
            policy("warning", quiet_hours=NIGHT, quiet_for=("warning",)),
            "2026-01-05 23:00",
            "2026-01-06 06:00",
            id="what can",
        ),
        pytest.param(
            policy("warning", hours=WORKING, quiet_hours=hours("Mon 00:00-12:00"), quiet_for=("warning",)),
            "2026-01-10 20:00",
            "2026-01-12 11:00",
            id="one goes over into the other",
        ),
        pytest.param(
            policy("warning", quiet_hours=hours("00:00-24:00"), quiet_for=("warning",)),
            "2026-01-05 23:00",
            "never",
            id="never",
        ),
    ],
)
def test_the_quiet_time_of_a_policy_ends_when_people_may_be_asked_again(of: Policy, at: str, until: str) -> None:
    quiet = closed_hours(of, utc(at))
    if until == "open":
        assert quiet is None
        return
    assert quiet is not None
    assert quiet.until == (None if until == "never" else utc(until))
    assert quiet.why.startswith("daytime ")
    assert not quiet.restarts
