"""When windows begin and how long they hold: on ordinary days, and on the two days on which the clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.matchers import Matchers
from agent.core.wall import moment, on_the_wall
from agent.core.windows import ByCron, ByRule, Once, Recurrence, Span, Window
from agent.quiet.recurrence import check, in_force, starts, upcoming, written_rule

BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)
ZONES = sorted(
    zone for zone in available_timezones() if not zone.startswith(("Etc/", "SystemV/")) and zone != "Factory"
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(recurrence: Recurrence, length: timedelta = 2 * HOUR, zone: str = "UTC", **more: object) -> Window:
    return Window(id="w", matchers=Matchers(), recurrence=recurrence, length=length, zone=zone, **more)  # type: ignore[arg-type]


def first_starts(one: Window, after: str, count: int) -> list[str]:
    return [f"{start:%Y-%m-%d %H:%M}" for start in islice(starts(one, utc(after)), count)]


SUNDAYS = window(ByCron(expression="0 2 * * sun"), zone=BERLIN)


def test_a_cron_window_begins_at_the_hour_of_its_zone_in_winter_and_in_summer() -> None:
    assert first_starts(SUNDAYS, "2026-01-01", 1) == ["2026-01-04 01:00"]
    assert first_starts(SUNDAYS, "2026-07-01", 1) == ["2026-07-05 00:00"]


@pytest.mark.parametrize(
    ("recurrence", "after", "expected"),
    [
        pytest.param(
            ByCron(expression="30 2 * * *"),
            "2026-03-28 12:00",
            "2026-03-29 01:00",
            id="cron: a skipped time is the jump",
        ),
        pytest.param(
            ByCron(expression="30 2 * * *"),
            "2026-10-24 12:00",
            "2026-10-25 00:30",
            id="cron: of a doubled time the first",
        ),
        pytest.param(
            ByRule(rule="FREQ=DAILY", at=time(2, 30)), "2026-03-28 12:00", "2026-03-29 01:00", id="rule: a skipped time"
        ),
        pytest.param(
            ByRule(rule="FREQ=DAILY", at=time(2, 30)), "2026-10-24 12:00", "2026-10-25 00:30", id="rule: a doubled time"
        ),
    ],
)
def test_a_time_that_a_clock_change_skips_or_doubles_comes_once(
    recurrence: Recurrence, after: str, expected: str
) -> None:
    found = first_starts(window(recurrence, zone=BERLIN), after, 2)
    assert found[0] == expected
    assert utc(found[1]) - utc(found[0]) >= 22 * HOUR


@pytest.mark.parametrize(("day", "end"), [("2026-03-29", "2026-03-29 03:00"), ("2026-10-25", "2026-10-25 02:00")])
def test_its_length_is_elapsed_time_whatever_the_clocks_do(day: str, end: str) -> None:
    """Two hours from 02:00 on: the clocks show 05:00 in spring, where 02:00 is 03:00, and 03:00 in autumn."""
    [span] = upcoming(window(ByCron(expression="0 2 * * *"), zone=BERLIN), utc(day) - 2 * HOUR, utc(day) + 9 * HOUR, 9)
    assert span.end == utc(end)
    assert span.end - span.start == 2 * HOUR


def changes_of(zone: str) -> list[datetime]:
    """The hours of two years in which the clocks of a zone change."""
    tz, found = ZoneInfo(zone), []
    at, offset = utc("2026-01-01"), utc("2026-01-01").astimezone(tz).utcoffset()
    while at < utc("2028-01-01"):
        at += 6 * HOUR
        now = at.astimezone(tz).utcoffset()
        if now != offset:
            found.append(at)
            offset = now
    return found


CHANGES = [(zone, change) for zone in ZONES for change in changes_of(zone)]


def test_there_are_zones_whose_clocks_change() -> None:
    assert len({zone for zone, _ in CHANGES}) > 100


@pytest.mark.parametrize("minute_of_day", [0, 15, 60, 90, 120, 150, 180, 210, 1380, 1410])
def test_around_every_change_of_every_zone_a_daily_window_comes_once_a_day_by_cron_and_by_rule(
    minute_of_day: int,
) -> None:
    at = time(minute_of_day // 60, minute_of_day % 60)
    cron, rule = ByCron(expression=f"{at.minute} {at.hour} * * *"), ByRule(rule="FREQ=DAILY", at=at)
    for zone, change in CHANGES:
        begin = change - timedelta(days=2)
        expected = [
            moment(datetime.combine(on_the_wall(begin, zone).date() + timedelta(days=n), at), zone) for n in range(6)
        ]
        expected = [start for start in expected if begin < start < change + timedelta(days=2)]
        for recurrence in (cron, rule):
            spans = upcoming(window(recurrence, HOUR, zone), begin, change + timedelta(days=2), 99)
            assert [span.start for span in spans] == expected, (zone, change, recurrence)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.sampled_from(["*/30 * * * *", "0 * * * *", "30 1-4 * * *", "0 2 * * *", "15 2,3 * * *", "0 */6 * * *"]),
    st.integers(1, 300),
    st.lists(st.integers(-600, 600), min_size=1, max_size=8),
)
def test_a_moment_is_in_force_if_and_only_if_some_start_reaches_it(
    change: tuple[str, datetime], expression: str, minutes: int, moments: list[int]
) -> None:
    zone, at = change
    one = window(ByCron(expression=expression), timedelta(minutes=minutes), zone)
    begins = [*takewhile(lambda start: start < at + timedelta(days=1), starts(one, at - timedelta(days=1)))]
    assert begins == sorted(set(begins))
    for offset in moments:
        now = at + timedelta(minutes=offset)
        span = in_force(one, now)
        reaches = [start for start in begins if start <= now < start + one.length]
        assert bool(span) is bool(reaches)
        if span:
            assert span.start == reaches[0]
            assert span.end >= max(reaches) + one.length
            assert span.end - one.length in begins or span.end > begins[-1]
            assert all(not start <= span.end < start + one.length for start in begins) or span.end > begins[-1]


def test_every_six_hours_is_right_also_after_a_change_of_half_an_hour() -> None:
    every_six_hours = ByCron(expression="0 */6 * * *")
    for change in changes_of("Australia/Lord_Howe"):
        one = window(every_six_hours, HOUR, "Australia/Lord_Howe")
        spans = upcoming(one, change - timedelta(days=2), change + timedelta(days=2), 99)
        hours = [on_the_wall(span.start, "Australia/Lord_Howe").hour for span in spans]
        assert len(hours) >= 15
        assert hours == [hours[0], *((hours[0] + 6 * n) % 24 for n in range(1, len(hours)))], change


def test_windows_that_overlap_are_one_and_it_ends_with_the_last() -> None:
    every_hour_on_sunday = window(ByCron(expression="0 2-5 * * sun"), timedelta(minutes=90))
    span = in_force(every_hour_on_sunday, utc("2026-11-22 02:10"))
    assert span == Span(utc("2026-11-22 02:00"), utc("2026-11-22 06:30"))


def test_a_window_that_never_ends_has_a_distant_end() -> None:
    span = in_force(window(ByCron(expression="* * * * *"), 2 * HOUR), utc("2026-11-22"))
    assert span is not None
    assert span.end - utc("2026-11-22") > 12 * HOUR


@pytest.mark.parametrize(
    ("rule", "first", "expected"),
    [
        pytest.param("FREQ=MONTHLY;BYDAY=1SU", None, ["2026-12-06", "2027-01-03"], id="the first Sunday"),
        pytest.param("FREQ=MONTHLY;BYDAY=-1FR", None, ["2026-11-27", "2026-12-25"], id="the last Friday"),
        pytest.param("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", None, ["2026-11-30", "2026-12-31"], id="workday"),
        pytest.param("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", None, ["2028-02-29", "2032-02-29"], id="leap days"),
        pytest.param("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "2026-11-01", ["2026-11-29", "2026-12-13"], id="every other"),
        pytest.param("FREQ=WEEKLY", "2026-11-05", ["2026-11-26", "2026-12-03"], id="the weekday of the first"),
        pytest.param("FREQ=DAILY;COUNT=3", "2026-11-20", ["2026-11-22"], id="three times, the third is left"),
    ],
)  # fmt: skip
def test_a_rule_says_the_days(rule: str, first: str | None, expected: list[str]) -> None:
    by_rule = ByRule(rule=written_rule(rule), at=time(2), first=date.fromisoformat(first) if first else None)
    check(by_rule)
    assert first_starts(window(by_rule), "2026-11-21 03:00", 2) == [f"{day} 02:00" for day in expected]


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        pytest.param("every sunday", "expected a rule such as FREQ", id="English"),
        pytest.param("BYDAY=SU", "expected FREQ=DAILY", id="no frequency"),
        pytest.param("FREQ=HOURLY", "use cron", id="more often than daily"),
        pytest.param("FREQ=DAILY;BYHOUR=2", "as at: beside it", id="the time belongs elsewhere"),
        pytest.param("FREQ=DAILY;UNTIL=20270101", "until: beside it", id="the end belongs elsewhere"),
        pytest.param("FREQ=DAILY;INTERVAL=0", "INTERVAL: expected a whole number", id="an interval of zero"),
        pytest.param("FREQ=DAILY;DAILY=1", "DAILY: expected", id="no such part"),
        pytest.param("FREQ=WEEKLY;BYDAY=XX", "is no recurrence rule", id="no such day"),
        pytest.param("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "INTERVAL is counted from the first day", id="counted from?"),
        pytest.param("FREQ=MONTHLY", "does not say on which day", id="which day?"),
        pytest.param("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes", id="30 February"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_in_words(rule: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        check(ByRule(rule=written_rule(rule), at=time(2)))


@pytest.mark.parametrize("expression", ["0 2 * *", "61 2 * * *", "0 0 30 2 *", "sunday"])
def test_a_cron_expression_that_means_nothing_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expected|never comes"):
        check(ByCron(expression=expression))


def test_a_window_does_not_begin_before_its_first_day_nor_after_its_last() -> None:
    limited = window(ByCron(expression="0 2 * * *"), since=utc("2026-11-22 02:00"), until=utc("2026-11-24 02:00"))
    assert first_starts(limited, "2026-01-01", 9) == ["2026-11-22 02:00", "2026-11-23 02:00"]


def test_once_is_once() -> None:
    once = window(Once(at=utc("2026-11-22 02:00")))
    assert first_starts(once, "2026-11-22 01:59", 9) == ["2026-11-22 02:00"]
    assert in_force(once, utc("2026-11-22 03:59")) == Span(utc("2026-11-22 02:00"), utc("2026-11-22 04:00"))
    assert in_force(once, utc("2026-11-22 04:00")) is None


def test_what_was_ended_by_hand_is_over_and_comes_again_the_next_time() -> None:
    ended = utc("2026-11-22 01:30")
    assert in_force(SUNDAYS, utc("2026-11-22 01:29")) is not None
    assert in_force(SUNDAYS, utc("2026-11-22 01:31"), ended) is None
    assert in_force(SUNDAYS, utc("2026-11-29 01:31"), ended) is not None
