import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.heartbeat_slots import last_slot, next_slot, require_cron, zone_mismatch, zone_named


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(cron: str, zone: str, begin: str, end: str) -> list[str]:
    found = []
    at = utc(begin)
    while (at := next_slot(cron, zone, at)) <= utc(end):
        found.append(at.strftime("%dT%H:%M"))
    return found


# 2026: Berlin jumps at 02:00 on 29 March (01:00 UTC) and falls back at 03:00 on 25 October (01:00 UTC);
# New York jumps at 02:00 on 8 March (07:00 UTC) and falls back at 02:00 on 1 November (06:00 UTC).
@pytest.mark.parametrize(
    ("cron", "zone", "begin", "end", "expected"),
    [
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-03-27T12:00", "2026-03-30T12:00", ["28T01:30", "29T01:00", "30T00:30"],
            id="Berlin in spring: the skipped half past two runs at the jump",
        ),
        pytest.param(
            "0,30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T12:00", ["29T01:00"],
            id="Berlin in spring: two skipped slots run once, at the jump",
        ),
        pytest.param(
            "0 3 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T12:00", ["29T01:00"],
            id="Berlin in spring: three o'clock is the jump itself",
        ),
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-26T12:00", ["25T00:30", "26T01:30"],
            id="Berlin in autumn: the doubled half past two runs once, the first time",
        ),
        pytest.param(
            "0 * * * *", "Europe/Berlin", "2026-10-24T23:30", "2026-10-25T02:30", ["25T00:00", "25T01:00", "25T02:00"],
            id="Berlin in autumn: an hourly job runs in both of the doubled hours",
        ),
        pytest.param(
            "*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T12:00", [],
            id="Berlin in spring: a wildcard follows the wall clock, which has no such hour",
        ),
        pytest.param(
            "30 2 * * *", "America/New_York", "2026-03-07T00:00", "2026-03-09T12:00",
            ["07T07:30", "08T07:00", "09T06:30"],
            id="New York in spring: the skipped half past two runs at the jump",
        ),
        pytest.param(
            "30 1 * * *", "America/New_York", "2026-10-31T12:00", "2026-11-02T12:00", ["01T05:30", "02T06:30"],
            id="New York in autumn: the doubled half past one runs once, the first time",
        ),
        pytest.param(
            "0 2 * * *", "UTC", "2026-03-28T12:00", "2026-03-30T12:00", ["29T02:00", "30T02:00"],
            id="UTC knows no summer",
        ),
        pytest.param(
            "0 9 * * 1-5", "UTC", "2026-11-20T09:00", "2026-11-23T09:00", ["23T09:00"], id="over a week-end"
        ),
    ],
)  # fmt: skip
def test_slots_follow_the_documented_rule_on_the_days_of_clock_changes(
    cron: str, zone: str, begin: str, end: str, expected: list[str]
) -> None:
    assert slots(cron, zone, begin, end) == expected


CRONS = st.sampled_from(
    ["* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "30 1,2 * * *", "0,30 2 * * *", "15 0 * * 0",
     "59 23 31 12 *", "0 2-3 * * *", "7 */2 * * *", "0 0 29 2 *", "0 9 * * 1-5"]
)  # fmt: skip
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo", "US/Eastern"]
)
AROUND_CHANGES = st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-25", "2026-11-01", "2027-06-15"])


@given(CRONS, ZONES, AROUND_CHANGES, st.timedeltas(timedelta(days=-1), timedelta(days=2)))
def test_any_moment_lies_between_its_last_slot_and_the_next(cron: str, zone: str, day: str, off: timedelta) -> None:
    at = utc(day) + off
    assert last_slot(cron, zone, at) <= at < next_slot(cron, zone, at)


@given(CRONS, ZONES, AROUND_CHANGES, st.timedeltas(timedelta(days=-1), timedelta(days=2)))
def test_a_slot_is_its_own_last_slot_and_there_is_none_before_the_next(
    cron: str, zone: str, day: str, off: timedelta
) -> None:
    slot = next_slot(cron, zone, utc(day) + off)
    assert last_slot(cron, zone, slot) == slot
    assert last_slot(cron, zone, next_slot(cron, zone, slot) - timedelta(microseconds=1)) == slot


@pytest.mark.parametrize("name", ["US/Eastern", "Asia/Calcutta", "Europe/Kiev", "GB", "EST5EDT", "Etc/GMT+5"])
def test_legacy_zone_names_are_known(name: str) -> None:
    assert zone_named(name).key == name


def test_the_names_do_not_hang_on_the_files_of_the_host() -> None:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=())
    try:
        zoneinfo.ZoneInfo.clear_cache()
        assert zone_named("US/Pacific").key == "US/Pacific"
    finally:
        zoneinfo.reset_tzpath(to=before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("Europe/Berlinn", "'Europe/Berlinn' is not a time zone, did you mean Europe/Berlin?", id="a typo"),
        pytest.param("Europe", "did you mean", id="a folder"),
        pytest.param("", "expected an IANA name such as Europe/Berlin", id="nothing"),
        pytest.param("../../etc/passwd", "is not a time zone", id="a path out of the folder"),
        pytest.param("/etc/localtime", "is not a time zone", id="an absolute path"),
        pytest.param("UTC\0", "is not a time zone", id="a NUL"),
    ],
)
def test_an_unknown_zone_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone") as refused:
        zone_named(name)
    assert message in str(refused.value)


def test_a_cron_expression_is_kept_with_single_blanks() -> None:
    assert require_cron(" 30  2 * *\t1-5 ") == "30 2 * * 1-5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "has 0 fields", id="nothing"),
        pytest.param("* * * *", "has 4 fields", id="too few"),
        pytest.param("0 * * * * *", "has 6 fields", id="seconds"),
        pytest.param("61 * * * *", "bad minute", id="a minute that no hour has"),
        pytest.param("* * * * MO", "bad day-of-week", id="a name that no day has"),
        pytest.param("0 0 30 2 *", "bad day-of-month", id="a day that February never has"),
        pytest.param("0 0 */29 2 WED#5", "never comes", id="a first of the month that is a fifth Wednesday"),
        pytest.param("-1 * * * *", "bad minute", id="a negative number"),
    ],
)
def test_what_is_no_cron_expression_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_cron(text)


@pytest.mark.parametrize(
    ("cron", "zone", "beat", "said"),
    [
        pytest.param("0 2 * * *", "Europe/Berlin", "2026-11-20T02:00:30", "it came 1h after its slot", id="winter"),
        pytest.param("0 2 * * *", "Europe/Berlin", "2026-07-20T02:01", "it came 2h after its slot", id="summer"),
        pytest.param("0 2 * * *", "UTC", "2026-11-20T01:00:10", "it came 1h before its slot", id="the sender is east"),
        pytest.param("0 2 * * *", "America/New_York", "2026-11-20T02:03", "5h before its slot", id="New York"),
        pytest.param("0 2 * * *", "UTC", "2026-11-20T02:00:30", "", id="in time"),
        pytest.param("0 2 * * *", "UTC", "2026-11-20T02:35", "", id="just late"),
        pytest.param("0 * * * *", "UTC", "2026-11-20T02:59", "", id="slots too close to tell"),
    ],
)
def test_an_offset_of_whole_hours_is_named_as_what_it_looks_like(cron: str, zone: str, beat: str, said: str) -> None:
    text = zone_mismatch(cron, zone, utc(beat))
    assert said in text
    assert bool(said) == bool(text)
    if text:
        assert text.endswith(f"looks like a zone mismatch: the slots are in {zone}")
