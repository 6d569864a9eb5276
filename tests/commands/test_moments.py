"""Times as they are written on a command line."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.commands.moments import parse_moment
from agent.commands.reader_zone import reader_zone

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 6, 12, 30, tzinfo=UTC)  # a Tuesday, 13:30 in Berlin


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        pytest.param("now", "2026-01-06 12:30", id="now"),
        pytest.param("+8h", "2026-01-06 20:30", id="in eight hours"),
        pytest.param("18:00", "2026-01-06 17:00", id="today"),
        pytest.param("09:00", "2026-01-07 08:00", id="over for today: tomorrow"),
        pytest.param("Mon 09:00", "2026-01-12 08:00", id="next Monday"),
        pytest.param("tuesday 14:00", "2026-01-06 13:00", id="today, as it is Tuesday"),
        pytest.param("Tue 09:00", "2026-01-13 08:00", id="over for this Tuesday"),
        pytest.param("2026-03-30 09:00", "2026-03-30 07:00", id="in summer time"),
        pytest.param("2026-03-29 02:30", "2026-03-29 01:00", id="skipped: the jump"),
        pytest.param("2026-03-29", "2026-03-28 23:00", id="a day begins at midnight"),
        pytest.param("2026-03-29T09:00Z", "2026-03-29 09:00", id="a zone of its own"),
        pytest.param("2026-03-29T09:00+05:30", "2026-03-29 03:30", id="an offset of its own"),
    ],
)
def test_a_time_is_in_the_zone_of_whoever_writes_it(text: str, utc: str) -> None:
    assert parse_moment(text, "Europe/Berlin", NOW) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "Mon", "2026-13-01", "+8", "Foo 09:00"])
def test_what_is_no_time_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as now"):
        parse_moment(text, "Europe/Berlin", NOW)


@pytest.mark.parametrize(
    ("host", "asked", "zone"),
    [
        pytest.param("America/New_York", "", "America/New_York", id="the terminal's"),
        pytest.param("America/New_York", "Asia/Tokyo", "Asia/Tokyo", id="the one that is asked for"),
    ],
)
def test_times_are_in_the_zone_that_is_asked_for_or_the_terminals(host: str, asked: str, zone: str) -> None:
    code = f"from agent.commands.reader_zone import reader_zone; print(reader_zone({asked!r}))"
    env = {**os.environ, "TZ": host}
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert (said.stdout.strip(), said.stderr) == (zone, "")


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a time zone such as Europe/Berlin"):
        reader_zone("Moon/Base")
