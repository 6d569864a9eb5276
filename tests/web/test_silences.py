"""Silences over HTTP, and what the status page says of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.core.events import EventKind
from tests.quiet.town import happened
from tests.web.quiet_site import QuietSite
from tests.web.site import NOW, Site, an_incident, serving


async def test_a_silence_is_made_listed_and_ended() -> None:
    site = QuietSite()
    asked = {"match": "team=photos", "for": "2h", "by": "bob", "comment": "deploy"}
    status, made = await site.says("POST", "/api/silences", asked)
    assert status == 201
    assert (made["match"], made["state"], made["services"]) == ("team=photos", "active", 1)
    assert made["why"] == "silenced by bob until 05:07 UTC: deploy"
    assert [one["id"] for one in (await site.says("GET", "/api/silences"))[1]] == [made["id"]]
    status, ended = await site.says("DELETE", f"/api/silences/{made['id']}?by=ann")
    assert (status, ended["state"]) == (200, "expired")
    assert (await site.says("GET", "/api/silences"))[1] == []
    assert [one["id"] for one in (await site.says("GET", "/api/silences?expired=1"))[1]] == [made["id"]]
    assert [(service, event.text) for service, event in site.told] == [  # type: ignore[union-attr]
        ("photos-api", "bob made a silence: silenced by bob until 05:07 UTC: deploy"),
        ("photos-api", "ann ended the silence of bob"),
    ]


async def test_a_silence_may_begin_later_on_the_clocks_of_a_zone() -> None:
    site = QuietSite()
    asked = {"match": ["team=photos"], "for": "1h", "from": "2026-11-22 02:00", "zone": "Europe/Berlin"}
    status, made = await site.says("POST", "/api/silences", asked)
    assert (status, made["state"], made["starts"]) == (201, "pending", "2026-11-22T01:00:00Z")


async def test_a_silence_may_end_on_the_clocks_of_a_zone() -> None:
    asked = {"match": "team=photos", "until": "2026-11-22 02:00", "zone": "Europe/Berlin"}
    status, made = await QuietSite().says("POST", "/api/silences", asked)
    assert (status, made["state"], made["ends"]) == (201, "active", "2026-11-22T01:00:00Z")


async def test_what_means_nothing_now_is_made_and_says_what_was_probably_meant() -> None:
    site = QuietSite()
    status, made = await site.says("POST", "/api/silences", {"match": "team=fotos", "for": "1h"})
    assert (status, made["services"], made["hint"]) == (201, 0, "no service has team=fotos now: did you mean 'photos'?")
    status, found = await site.says("POST", "/api/silences/preview", {"match": "team=photos service=mail"})
    assert (status, found["hint"]) == (200, "no service matches team=photos service=mail now")


async def test_what_people_write_is_one_line_that_a_terminal_can_show() -> None:
    site = QuietSite()
    wrote = {"by": "ann\x1b[2J", "comment": "new\ndisks\x07 \u202e for all"}
    _, silence = await site.says("POST", "/api/silences", {"match": "team=photos", "for": "1h", **wrote})
    _, window = await site.says("POST", "/api/maintenance", {"match": "team=photos", "for": "1h", **wrote})
    assert {(one["by"], one["comment"]) for one in (silence, window)} == {("ann [2J", "new disks for all")}
    await site.says("DELETE", f"/api/silences/{silence['id']}?by=bob%1B%5B2J")
    assert site.told[-1][1].text == "bob [2J ended the silence of ann [2J"  # type: ignore[union-attr]


async def test_until_resolved_is_bound_to_what_is_open() -> None:
    status, made = await QuietSite().says("POST", "/api/silences", {"match": "team=photos", "until_resolved": True})
    assert (status, made["ends"], made["incidents"]) == (201, None, ["i1"])


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        pytest.param([], 400, "expected an object of match", id="no object"),
        pytest.param({"match": "team=photos", "fro": "2h"}, 400, "unknown key 'fro'", id="an unknown key"),
        pytest.param({"match": 7, "for": "2h"}, 400, "match: expected a text or a list of texts", id="a number"),
        pytest.param({"match": ["team=photos", 7], "for": "2h"}, 400, "match: expected a text", id="a number within"),
        pytest.param({"for": "2h"}, 400, "expected a matcher", id="nothing meant"),
        pytest.param({"match": "taem=photos", "for": "2h"}, 400, "did you mean 'team'?", id="a slip"),
        pytest.param({"match": "team=photos", "for": "soon"}, 400, "for: 'soon' is not a duration", id="no duration"),
        pytest.param({"match": "team=photos", "for": "1h", "from": "soon"}, 400, "expected a time", id="no time"),
        pytest.param(
            {"match": "team=photos", "for": "1h", "from": "2026-11-22", "zone": "Mars"}, 400, "Mars", id="no zone"
        ),
        pytest.param({"match": "team=photos"}, 409, "say for how long", id="no end"),
        pytest.param({"match": "team=photos", "for": "1h", "until": "2026-12-01"}, 400, "got both", id="two ends"),
        pytest.param({"match": "team=photos", "until": "2026-11-20"}, 400, "that is to come", id="an end that is over"),
        pytest.param({"match": "team=photos", "for": "1h", "by": "x" * 101}, 409, "at most 100", id="no name"),
        pytest.param({"match": "all", "for": "1h"}, 409, "say --all (in the API all: true)", id="everything"),
        pytest.param({"match": "service=mial", "for": "1h"}, 404, "did you mean 'mail'?", id="no such service"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(asked: Any, status: int, error: str) -> None:
    site = QuietSite()
    found, answer = await site.says("POST", "/api/silences", asked)
    assert found == status
    assert error in answer["error"]
    assert not site.book.silences


async def test_everything_is_silenced_when_all_is_said() -> None:
    status, made = await QuietSite().says("POST", "/api/silences", {"match": "all", "for": "1h", "all": True})
    assert (status, made["services"]) == (201, 9)


async def test_what_is_not_there_cannot_be_ended() -> None:
    assert await QuietSite().says("DELETE", "/api/silences/s-1") == (404, {"error": "there is no silence 's-1'"})


async def test_a_preview_changes_nothing_and_says_what_would_be_hidden() -> None:
    site = QuietSite()
    await happened(site.store, "photos-api", NOW - timedelta(hours=5), EventKind.PAGED)
    status, found = await site.says("POST", "/api/silences/preview", {"match": "team=photos"})
    assert status == 200
    assert found["services"] == ["photos-api"]
    assert found["incidents"] == [{"service": "photos-api", "incident": "i1"}]
    assert [one["kind"] for one in found["pages"]] == ["paged"]
    assert not site.book.silences


async def test_the_status_page_names_what_is_silenced_and_who_is_quiet() -> None:
    site = QuietSite()
    await site.says("POST", "/api/silences", {"match": "team=~.+", "for": "2h", "by": "<bob>", "comment": "deploy"})
    await site.book.tick()
    async with serving(site) as browser:
        text = (await browser.ask("/")).text
        one = (await browser.ask("/services/mail")).text
        unconcerned = (await browser.ask("/services/shop")).text
    [silence] = site.book.silences
    assert "<h2>Quiet now</h2>" in text
    assert "2 services</span></td>" in text
    assert f"<td>silence {silence}: deploy</td><td>&lt;bob&gt;</td><td>05:07 UTC</td>" in text
    assert text.count('">quiet until 05:07 UTC</span>') == 2
    assert "Nobody is asked about this service now: silenced by &lt;bob&gt; until 05:07 UTC: deploy" in one
    assert "Nobody is asked" not in unconcerned
    listed = {one["name"]: one["quiet"] for one in (await site.says("GET", "/api/services"))[1]}
    assert {name: why for name, why in listed.items() if why} == dict.fromkeys(
        ("mail", "photos-api"), "silenced by <bob> until 05:07 UTC: deploy"
    )
    assert [one["service"] for one in (await site.says("GET", "/api/quiet"))[1]] == ["mail", "photos-api"]


async def test_what_is_quiet_until_it_is_resolved_says_so_and_not_twice() -> None:
    site = QuietSite()
    [row] = [row for row in site.services if row.name == "photos-api"]
    row.state = replace(row.state, incident=replace(an_incident(), quiet="silenced by bob until it is resolved"))
    await site.says("POST", "/api/silences", {"match": "team=photos", "until_resolved": True, "by": "bob"})
    await site.book.tick()
    async with serving(site) as browser:
        text = (await browser.ask("/")).text
        one = (await browser.ask("/services/photos-api")).text
    assert "<td>resolved</td>" in text
    assert '">quiet until resolved</span>' in text
    assert one.count("silenced by bob until it is resolved") == 1


async def test_of_many_silences_the_page_shows_the_newest_and_says_how_many_more_there_are() -> None:
    site = QuietSite()
    await site.says("POST", "/api/maintenance", {"match": "team=photos", "for": "2h"})
    for number in range(12):
        await site.says("POST", "/api/silences", {"match": "team=photos", "for": "1h", "comment": f"n{number}."})
        site.now += timedelta(seconds=1)
    async with serving(site) as browser:
        text = (await browser.ask("/")).text
    assert [f"n{number}." in text for number in (2, 3, 11)] == [False, True, True]
    assert "and 3 more" in text


async def test_where_nothing_is_quiet_the_page_says_nothing_of_it() -> None:
    for site in (QuietSite(), Site()):
        async with serving(site) as browser:
            assert "Quiet now" not in (await browser.ask("/")).text


async def test_an_agent_without_a_book_says_so() -> None:
    async with serving(Site()) as browser:
        assert (await browser.ask("/api/silences")).status == 503
