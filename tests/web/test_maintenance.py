"""Maintenance windows over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from agent.core.events import EventKind
from tests.quiet.town import a_window, happened
from tests.web.quiet_site import QuietSite
from tests.web.site import NOW, serving


async def test_a_window_is_made_by_hand_listed_and_ended() -> None:
    site = QuietSite()
    status, made = await site.says("POST", "/api/maintenance", {"match": "team=photos", "for": "2h", "by": "ann"})
    assert (status, made["state"], made["by_hand"], made["services"]) == (201, "active", True, 1)
    assert made["now"]["local"] == "Sat 21 Nov 03:07 UTC to 05:07 UTC"
    assert [one["id"] for one in (await site.says("GET", "/api/maintenance"))[1]] == [made["id"]]
    assert (await site.says("DELETE", f"/api/maintenance/{made['id']}"))[0] == 200
    assert (await site.says("GET", "/api/maintenance"))[1] == []


async def test_planned_windows_are_listed_with_their_next_times_on_both_clocks() -> None:
    site = QuietSite()
    site.book.configure([a_window("team=photos", zone="Europe/Berlin")])
    [listed] = (await site.says("GET", "/api/maintenance"))[1]
    assert (listed["id"], listed["by_hand"], listed["state"], listed["now"]) == ("backup", False, "pending", None)
    assert listed["next"][0] == {
        "start": "2026-11-22T01:00:00Z",
        "end": "2026-11-22T03:00:00Z",
        "local": "Sun 22 Nov 02:00 Europe/Berlin (01:00 UTC) to 04:00 Europe/Berlin (03:00 UTC)",
    }


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"cron": "0 2 * * sun", "for": "2h"}, id="by cron"),
        pytest.param({"rrule": "FREQ=WEEKLY;BYDAY=SU", "at": "02:00", "for": "2h"}, id="by rule"),
        pytest.param({"from": "2026-11-22 02:00", "until": "2026-11-22 04:00"}, id="once"),
    ],
)
async def test_a_window_may_be_written_as_in_the_configuration(asked: dict[str, str]) -> None:
    status, made = await QuietSite().says("POST", "/api/maintenance", {"match": "team=photos", **asked})
    assert (status, made["state"]) == (201, "pending")
    assert made["next"][0]["start"] == "2026-11-22T02:00:00Z"


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        pytest.param({"match": "team=photos"}, 400, "until: expected how long", id="no end"),
        pytest.param({"match": "team=photos", "cron": "x", "for": "1h"}, 400, "cron: expected a cron", id="no cron"),
        pytest.param({"match": "tema=photos", "for": "1h"}, 400, "match: no service has an attribute", id="a slip"),
        pytest.param({"match": "team=photos", "for": "1h", "zone": "Mars"}, 400, "zone: expected", id="no zone"),
        pytest.param({"match": "all", "for": "1h"}, 409, "every service there is", id="everything"),
        pytest.param(
            {"match": "team=photos", "from": "2020-01-01", "until": "2020-01-02"}, 409, "over already", id="long ago"
        ),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(asked: Any, status: int, error: str) -> None:
    site = QuietSite()
    found, answer = await site.says("POST", "/api/maintenance", asked)
    assert found == status
    assert error in answer["error"]
    assert not site.book.windows


async def test_a_preview_counts_the_pages_that_fell_into_its_times() -> None:
    site = QuietSite()
    for hours in (-1, 1):
        await happened(
            site.store, "photos-api", NOW.replace(hour=2, minute=0) + timedelta(hours=hours), EventKind.PAGED
        )
    asked = {"match": "team=photos", "cron": "0 2 * * *", "for": "2h"}
    status, found = await site.says("POST", "/api/maintenance/preview", asked)
    assert (status, len(found["pages"]), len(found["window"]["next"])) == (200, 1, 10)
    assert not site.book.windows
    site.book.configure([a_window("team=photos")])
    assert (await site.says("POST", "/api/maintenance/preview", {"id": "backup"}))[1]["services"] == ["photos-api"]
    assert await site.says("POST", "/api/maintenance/preview", {"id": "bakcup"}) == (
        404,
        {"error": "there is no window 'bakcup': did you mean 'backup'?"},
    )


async def test_a_preview_of_a_window_that_would_begin_now_says_until_when_it_would_hold() -> None:
    site = QuietSite()
    _, found = await site.says("POST", "/api/maintenance/preview", {"match": "team=photos", "for": "2h"})
    assert (found["window"]["now"]["start"], found["window"]["now"]["end"]) == (
        "2026-11-21T03:07:12Z",
        "2026-11-21T05:07:12Z",
    )
    assert found["window"]["next"] == []


async def test_the_status_page_names_the_window_that_is_open() -> None:
    site = QuietSite()
    asked = {"match": "team=photos", "for": "2h", "comment": "disks", "by": "ann", "zone": "Europe/Berlin"}
    made = (await site.says("POST", "/api/maintenance", asked))[1]
    async with serving(site) as browser:
        text = (await browser.ask("/")).text
    assert f"<td>maintenance {made['id']}: disks</td><td>ann</td><td>06:07 Europe/Berlin (05:07 UTC)</td>" in text
