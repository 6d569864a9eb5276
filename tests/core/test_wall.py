"""What a local time means, on the days on which that is not plain too."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.wall import moment, on_the_wall
from tests.core.zones import ZONES, transitions

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("wall", "zone", "utc"),
    [
        pytest.param("2026-01-05 09:00", "Europe/Berlin", "2026-01-05 08:00", id="winter"),
        pytest.param("2026-07-06 09:00", "Europe/Berlin", "2026-07-06 07:00", id="summer"),
        pytest.param("2026-03-29 01:59", "Europe/Berlin", "2026-03-29 00:59", id="the minute before the jump"),
        pytest.param("2026-03-29 02:00", "Europe/Berlin", "2026-03-29 01:00", id="the first skipped minute: the jump"),
        pytest.param("2026-03-29 02:30", "Europe/Berlin", "2026-03-29 01:00", id="in the skipped hour: the jump"),
        pytest.param("2026-03-29 03:00", "Europe/Berlin", "2026-03-29 01:00", id="the minute after the jump"),
        pytest.param("2026-10-25 02:30", "Europe/Berlin", "2026-10-25 00:30", id="doubled: the first time"),
        pytest.param("2026-10-25 03:00", "Europe/Berlin", "2026-10-25 02:00", id="after the doubled hour"),
        pytest.param("2026-03-08 02:15", "America/New_York", "2026-03-08 07:00", id="skipped in New York"),
        pytest.param("2026-11-01 01:15", "America/New_York", "2026-11-01 05:15", id="doubled in New York"),
        pytest.param("2026-10-04 02:15", "Australia/Lord_Howe", "2026-10-03 15:30", id="a jump of half an hour"),
        pytest.param("2026-04-05 01:45", "Australia/Lord_Howe", "2026-04-04 14:45", id="half an hour twice"),
        pytest.param("2026-03-29 01:30", "Antarctica/Troll", "2026-03-29 01:00", id="a jump of two hours"),
        pytest.param("2011-12-30 09:00", "Pacific/Apia", "2011-12-30 10:00", id="a day that Samoa left out"),
        pytest.param("2026-03-29 01:30", "Europe/Dublin", "2026-03-29 01:00", id="where winter time is the exception"),
        pytest.param("2026-02-15 02:30", "Africa/Casablanca", "2026-02-15 01:30", id="the doubled hour before Ramadan"),
        pytest.param("2026-06-01 12:00", "Asia/Kathmandu", "2026-06-01 06:15", id="quarters of an hour"),
    ],
)
def test_a_local_time_has_one_meaning(wall: str, zone: str, utc: str) -> None:
    assert moment(datetime.fromisoformat(wall), zone) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ZONES)
def test_around_every_change_of_the_clocks_a_later_time_on_the_wall_is_never_an_earlier_moment(zone: str) -> None:
    for change in transitions(zone)[:4]:
        before, after = on_the_wall(change - MINUTE, zone), on_the_wall(change, zone)
        first = min(before, after) - timedelta(hours=2)
        walls = [first + n * 15 * MINUTE for n in range(int(abs(after - before) / MINUTE) // 15 + 17)]
        moments = [moment(wall, zone) for wall in walls]
        assert moments == sorted(moments)
        for wall, at in zip(walls, moments, strict=True):
            shown = on_the_wall(at, zone)
            assert shown == wall or (at == change and before < wall < shown), f"{wall} in {zone}"


@given(zone=st.sampled_from(ZONES), at=st.integers(157_766_400, 2_114_380_800))
def test_what_the_wall_shows_was_first_shown_at_the_moment_that_it_means(zone: str, at: int) -> None:
    instant = datetime.fromtimestamp(at, UTC)
    meant = moment(on_the_wall(instant, zone), zone)
    assert meant <= instant
    assert on_the_wall(meant, zone) == on_the_wall(instant, zone)
