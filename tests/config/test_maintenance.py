"""Planned maintenance windows, as they are written."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from agent.config.diff import changes
from agent.core.matchers import parse
from agent.core.windows import ByCron, ByRule, Once, Recurrence, Window
from tests.config.reading import complaints, read
from tests.config.refusals import refusals

TWO_HOURS = timedelta(hours=2)
SERVICES = """
services:
  - {name: db, checks: [host], labels: {team: storage}}
  - {name: api, checks: [host], group: web, severity: warning}
"""


def planned(folder: Path, window: str) -> Window:
    [found] = read(folder, f"{SERVICES}\nmaintenance:\n  - {window}\n").maintenance
    return found


def wrong(folder: Path, window: str) -> list[str]:
    return complaints(folder, f"{SERVICES}\nmaintenance:\n  - {window}\n")


@pytest.mark.parametrize(
    ("written", "recurrence", "length"),
    [
        pytest.param(
            '{match: "service=db", cron: "0 2 * * sun", for: 2h, zone: Europe/Berlin}',
            ByCron(expression="0 2 * * sun"),
            TWO_HOURS,
            id="by cron",
        ),
        pytest.param(
            '{match: "service=db", rrule: "FREQ=MONTHLY;BYDAY=1SU", at: "02:00", for: 2h}',
            ByRule(rule="FREQ=MONTHLY;BYDAY=1SU", at=time(2)),
            TWO_HOURS,
            id="by rule",
        ),
        pytest.param(
            '{match: "service=db", rrule: "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", at: "02:00", from: 2026-01-04, for: 90m}',
            ByRule(rule="FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", at=time(2), first=date(2026, 1, 4)),
            timedelta(minutes=90),
            id="every other week, counted from a day",
        ),
        pytest.param(
            '{match: "service=db", from: 2026-11-22 02:00, until: 2026-11-22 04:00, zone: Europe/Berlin}',
            Once(at=datetime(2026, 11, 22, 1, tzinfo=UTC)),
            TWO_HOURS,
            id="once, in its zone",
        ),
        pytest.param(
            '{match: "service=db", from: "2026-11-22T02:00+02:00", for: 2h}',
            Once(at=datetime(2026, 11, 22, 0, tzinfo=UTC)),
            TWO_HOURS,
            id="once, with an offset, for so long",
        ),
        pytest.param(
            '{match: "service=db", from: 2026-10-25 00:00, until: 2026-10-26 00:00, zone: Europe/Berlin}',
            Once(at=datetime(2026, 10, 24, 22, tzinfo=UTC)),
            timedelta(hours=25),
            id="the whole day on which the clocks go back has 25 hours",
        ),
    ],
)
def test_a_window_is_read_with_its_times(
    tmp_path: Path, written: str, recurrence: Recurrence, length: timedelta
) -> None:
    found = planned(tmp_path, written)
    assert (found.recurrence, found.length, found.by_hand) == (recurrence, length, False)
    assert refusals(f"{SERVICES}\nmaintenance:\n  - {written}\n") == []


def test_several_matchers_may_be_a_list_or_one_text(tmp_path: Path) -> None:
    when = "cron: '0 2 * * *', for: 1h"
    as_list = planned(tmp_path, f"{{match: [team=storage, 'severity!=warning'], {when}}}")
    assert as_list.matchers == parse("team=storage severity!=warning")
    assert planned(tmp_path, f"{{match: team=storage severity!=warning, {when}}}").matchers == as_list.matchers
    assert str(planned(tmp_path, f"{{match: all, {when}}}").matchers) == "all"


def test_its_name_is_the_given_one_or_follows_from_what_it_says(tmp_path: Path) -> None:
    plain = "{match: service=db, cron: '0 2 * * *', for: 1h}"
    assert planned(tmp_path, plain).id == planned(tmp_path, plain.replace("1h}", "1h, comment: backup}")).id
    assert planned(tmp_path, plain).id != planned(tmp_path, plain.replace("1h", "2h")).id
    assert planned(tmp_path, plain.replace("{", "{name: backup, ")).id == "backup"


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param("{match: service=db, for: 2h}", "expected when: cron, rrule with at, or from", id="never"),
        pytest.param("{match: service=db, cron: '0 2 * * *'}", ".for: expected how long it lasts", id="how long?"),
        pytest.param("{match: service=db, cron: '0 2 * * *', for: 0s}", "longer than zero", id="no length"),
        pytest.param("{match: service=db, cron: '0 25 * * *', for: 1h}", ".cron: expected a cron", id="no such hour"),
        pytest.param("{match: service=db, cron: '0 0 30 2 *', for: 1h}", ".cron: ", id="30 February"),
        pytest.param("{match: service=db, rrule: FREQ=DAILY, for: 1h}", ".at: expected the time of day", id="when?"),
        pytest.param("{match: service=db, rrule: FREQ=HOURLY, at: '02:00', for: 1h}", ".rrule: ", id="hourly"),
        pytest.param("{match: service=db, rrule: FREQ=DAILY, at: '2', for: 1h}", ".at: expected a time", id="no time"),
        pytest.param(
            "{match: service=db, cron: '0 2 * * *', at: '02:00', for: 1h}", "belongs to rrule", id="at + cron"
        ),
        pytest.param("{match: service=db, from: soon, for: 1h}", ".from: expected a time such as", id="soon"),
        pytest.param(
            "{match: service=db, from: 2026-11-22, until: 2026-11-21}", ".until: expected a time after", id="past"
        ),
        pytest.param(
            "{match: service=db, from: 2026-03-29 02:10, until: 2026-03-29 02:50, zone: Europe/Berlin}",
            ".until: expected a time after from",
            id="wholly within the hour that the clocks skip",
        ),
        pytest.param(
            "{match: service=db, from: 2026-11-22, until: 2026-11-23, for: 1h}", "either until or for", id="both"
        ),
        pytest.param("{match: service=db, cron: '0 2 * * *', for: 400d}", ".for: a window lasts a year", id="too long"),
        pytest.param(
            "{match: service=db, cron: '0 2 * * *', for: 1h, zone: Mars}", ".zone: expected a time zone", id="zone"
        ),
        pytest.param("{match: serivce=db, cron: '0 2 * * *', for: 1h}", "did you mean 'service'?", id="attribute"),
        pytest.param("{match: service=dbb, cron: '0 2 * * *', for: 1h}", "did you mean 'db'?", id="no such service"),
        pytest.param("{match: [], cron: '0 2 * * *', for: 1h}", ".match: ", id="nothing meant"),
        pytest.param("{cron: '0 2 * * *', for: 1h}", ".match: ", id="no match at all"),
        pytest.param("{match: service=db, corn: '0 2 * * *', for: 1h}", "did you mean 'cron'?", id="an unknown key"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_its_place(tmp_path: Path, written: str, complaint: str) -> None:
    assert any(complaint in found and found.startswith("maintenance[0]") for found in wrong(tmp_path, written)), wrong(
        tmp_path, written
    )


def test_the_same_window_twice_is_refused(tmp_path: Path) -> None:
    one = "{match: service=db, cron: '0 2 * * *', for: 1h}"
    assert any("is there twice" in found for found in wrong(tmp_path, f"{one}\n  - {one}"))


def test_included_files_may_hold_windows(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("maintenance: [{match: service=db, cron: '0 2 * * *', for: 1h}]")
    assert len(read(tmp_path, f"{SERVICES}\ninclude: [more.yaml]").maintenance) == 1


def test_a_reload_sees_that_windows_have_changed(tmp_path: Path) -> None:
    config = read(tmp_path, f"{SERVICES}\nmaintenance: [{{match: service=db, cron: '0 2 * * *', for: 1h}}]")
    assert not changes(config, config)
    assert changes(config, replace(config, maintenance=())).maintenance
    assert changes(config, replace(config, maintenance=()))
