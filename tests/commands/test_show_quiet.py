"""What silences and windows look like on a terminal."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from agent.commands.show_quiet import Clock, preview, silenced, silences, window_ended, window_made, windows

NOW = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)  # a Saturday
BERLIN = Clock("Europe/Berlin", NOW)


def printed(what: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def a_silence(**more: Any) -> dict[str, Any]:
    return {
        "id": "s-1",
        "match": "team=shop",
        "state": "active",
        "starts": "2026-11-21T15:00:00Z",
        "ends": "2026-11-21T17:00:00Z",
        "until_resolved": False,
        "by": "ann",
        "comment": "",
        "services": 2,
        **more,
    }


def a_window(**more: Any) -> dict[str, Any]:
    return {
        "id": "backup",
        "match": "service=db",
        "when": "cron 0 2 * * sun",
        "for": 7200.0,
        "zone": "Europe/Berlin",
        "comment": "weekly backup",
        "by": "",
        "by_hand": False,
        "state": "pending",
        "now": None,
        "next": [{"start": "2026-11-22T01:00:00Z", "end": "2026-11-22T03:00:00Z"}],
        "services": 1,
        **more,
    }


MONDAY = {"state": "pending", "starts": "2026-11-23T08:00:00Z", "ends": "2026-11-23T09:00:00Z"}


@pytest.mark.parametrize(
    ("silence", "when"),
    [
        pytest.param(a_silence(), "until 18:00 (1 h 30 min left)", id="in force"),
        pytest.param(a_silence(ends="2026-11-22T01:00:00Z"), "until Sun 22 Nov 02:00 (9 h 30 min left)", id="tomorrow"),
        pytest.param(a_silence(**MONDAY), "from Mon 23 Nov 09:00 until 10:00", id="to come, its day said once"),
        pytest.param(a_silence(until_resolved=True, ends=None), "until resolved", id="until resolved"),
        pytest.param(
            a_silence(until_resolved=True), "until resolved, at the latest 18:00 (1 h 30 min left)", id="or until then"
        ),
        pytest.param(a_silence(state="expired", ends="2026-11-20T09:00:00Z"), "ended Fri 20 Nov 10:00", id="over"),
    ],
)
def test_the_list_says_until_when_on_the_clocks_of_whoever_reads_it(silence: dict[str, Any], when: str) -> None:
    head, line = printed(silences([silence], BERLIN)).splitlines()
    assert "WHEN (Europe/Berlin)" in head
    assert when in line


@pytest.mark.parametrize(
    ("silence", "text"),
    [
        pytest.param(a_silence(), "s-1: silenced until 18:00 Europe/Berlin: team=shop (2 services)", id="now"),
        pytest.param(
            a_silence(**MONDAY, services=1),
            "s-1: silenced from Mon 23 Nov 09:00 until 10:00 Europe/Berlin: team=shop (1 service)",
            id="later",
        ),
        pytest.param(
            a_silence(until_resolved=True, ends=None),
            "s-1: silenced until resolved: team=shop (2 services)",
            id="no time, no zone",
        ),
    ],
)
def test_a_silence_that_was_made_says_what_and_until_when(silence: dict[str, Any], text: str) -> None:
    assert silenced(silence, BERLIN).plain == text


def test_windows_show_their_next_time_in_their_own_zone_and_its_rest_while_they_are_open() -> None:
    opened = a_window(now={"start": "2026-11-21T15:00:00Z", "end": "2026-11-21T16:00:00Z"}, state="active")
    once = a_window(when="once, 2026-11-22 01:00 UTC", by="ann", comment="[disks]")
    over = a_window(when="once, 2026-11-20 01:00 UTC", next=[], state="expired")
    lines = printed(windows([a_window(), opened, once, over], NOW)).splitlines()[1:]
    assert "Sun 22 Nov 02:00 to 04:00 Europe/Berlin" in lines[0]
    assert "  cron 0 2 * * sun for 2 h  " in lines[0]
    assert "until 17:00 Europe/Berlin (30 min left)" in lines[1]
    assert "once for 2 h " in lines[2]
    assert "[disks] (ann)" in lines[2]
    assert "once, 2026-11-20 01:00 UTC for 2 h  - " in lines[3]


def test_a_window_that_was_made_says_whether_it_has_begun() -> None:
    opened = a_window(now={"start": "2026-11-21T15:00:00Z", "end": "2026-11-21T16:00:00Z"})
    assert window_made(opened, NOW).plain == (
        "backup: service=db (1 service) is under maintenance until 17:00 Europe/Berlin (30 min left): nobody is asked, "
        "nothing is restarted"
    )
    assert window_made(a_window(), NOW).plain == (
        "backup: service=db (1 service): maintenance Sun 22 Nov 02:00 to 04:00 Europe/Berlin"
    )


def test_the_end_of_a_planned_window_says_when_it_comes_again() -> None:
    again = "backup: the maintenance of service=db is over; it comes again Sun 22 Nov 02:00 to 04:00 Europe/Berlin"
    assert window_ended(a_window(), NOW).plain == again
    assert window_ended(a_window(by_hand=True), NOW).plain == "backup: the maintenance of service=db is over"


def test_a_preview_names_services_incidents_and_pages_and_cuts_what_is_long() -> None:
    found = {
        "match": "all",
        "services": [f"web-{number}" for number in range(25)],
        "incidents": [{"service": "web-1", "incident": "i1"}],
        "pages": [{"service": "web-1", "at": "2026-11-20T23:30:00Z", "text": "asked [oncall]"}],
        "since": "2026-11-14T15:30:00Z",
        "complete": False,
    }
    text = printed(preview(found, BERLIN))
    assert "all means 25 services" in text
    assert "  and 5 more" in text
    assert "1 open incident now\n  web-1: i1" in text
    assert "At least 1 page since Sat 14 Nov 16:30 Europe/Berlin would have been hidden\n" in text
    assert "  00:30 web-1: asked [oncall]" in text


def test_a_preview_of_a_window_names_its_times() -> None:
    found = {"match": "service=db", "services": ["db"], "incidents": [], "pages": [], "since": "2026-11-14T15:30:00Z"}
    text = printed(preview({**found, "complete": True, "window": a_window()}, BERLIN))
    assert "Its next times (Europe/Berlin)\n  Sun 22 Nov 02:00 to 04:00\n" in text
    never = printed(preview({**found, "complete": True, "window": a_window(next=[])}, BERLIN))
    assert "It does not come again" in never
