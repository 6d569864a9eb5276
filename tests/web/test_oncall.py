"""Who is on call over HTTP: the real book behind the real server."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.ports import CalendarSpec
from agent.web.deps import WebDeps
from tests.oncall.duty import NOW, PRIMARY, Desk, calendar
from tests.web.site import Site, serving


class OnCallSite(Site):
    """A site whose agent keeps a book of who is on call."""

    def __init__(self, desk: Desk, **more: Any) -> None:
        self.desk = desk
        super().__init__(**more)

    def deps(self) -> WebDeps:
        return replace(super().deps(), oncall=self.desk.book)


async def asked(site: Site, path: str, body: Any = None) -> tuple[int, Any]:
    async with serving(site) as browser:
        if body is None:
            answer = await browser.ask(path)
        else:
            answer = await browser.ask(path, method="POST", body=json.dumps(body).encode())
    return answer.status, json.loads(answer.body)


OVERRIDE = {
    "schedule": "primary",
    "person": "bob",
    "start": "2026-01-06T10:00:00+01:00",
    "end": "2026-01-07T10:00:00+01:00",
    "by": "alice",
}


async def test_it_says_who_is_on_call_until_when_and_what_does_not_work() -> None:
    site = OnCallSite(Desk())
    site.vitals.channel_trouble = {"sms": "auth: wrong token"}
    status, found = await asked(site, "/api/oncall")
    assert status == 200
    assert found == {
        "schedules": [
            {"schedule": "primary", "people": ["alice"], "until": "2026-01-12T08:00:00Z", "next": ["bob"]},
        ],
        "overrides": [],
        "calendars": {},
        "trouble": {},
        "channels": {"sms": "auth: wrong token"},
    }


async def test_the_shifts_of_a_calendar_are_told(tmp_path: Any) -> None:
    desk, file = Desk(), tmp_path / "rota.ics"
    file.write_bytes(calendar("DTSTART:20260105T080000Z DTEND:20260112T080000Z SUMMARY:bob"))
    desk.configure(schedules=(PRIMARY,), calendars=(CalendarSpec(schedule="primary", zone="UTC", file=file),))
    await desk.later(timedelta(0))
    _, found = await asked(OnCallSite(desk), "/api/oncall")
    assert found["calendars"] == {
        "primary": [{"start": "2026-01-05T08:00:00Z", "end": "2026-01-12T08:00:00Z", "people": ["bob"]}]
    }


async def test_an_override_is_made_shown_and_taken_back() -> None:
    desk = Desk()
    status, made = await asked(OnCallSite(desk), "/api/oncall/overrides", OVERRIDE)
    assert status == 200
    assert made["override"] == {
        "id": "o1",
        "schedule": "primary",
        "person": "bob",
        "start": "2026-01-06T09:00:00Z",
        "end": "2026-01-07T09:00:00Z",
        "instead_of": "",
        "swap": False,
        "by": "alice",
        "made_at": "2026-01-06T12:00:00Z",
    }
    assert desk.book.on_call("primary", NOW) == ("bob",)
    _, found = await asked(OnCallSite(desk), "/api/oncall")
    assert found["overrides"] == [made["override"]]
    status, _ = await asked(OnCallSite(desk), "/api/oncall/overrides/remove", {"id": "o1"})
    assert status == 200
    assert desk.book.on_call("primary", NOW) == ("alice",)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        pytest.param("overrides", {**OVERRIDE, "person": "zoe"}, 400, "there is no person 'zoe'", id="nobody"),
        pytest.param(
            "overrides", {**OVERRIDE, "start": "2026-01-06T10:00"}, 400, "start: expected a time", id="no zone"
        ),
        pytest.param("overrides", {**OVERRIDE, "end": "soon"}, 400, "end: expected a time", id="no time"),
        pytest.param("overrides", {**OVERRIDE, "person": 7}, 400, "person: expected a text", id="a number"),
        pytest.param("overrides", {"schedule": "primary"}, 400, "person is missing", id="too little"),
        pytest.param("overrides", ["o1"], 400, "expected an object", id="a list"),
        pytest.param("overrides/remove", {"id": "o9"}, 404, "there is no override 'o9'", id="no such override"),
        pytest.param("overrides/remove", {}, 400, "id is missing", id="no id"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_words(path: str, body: Any, status: int, said: str) -> None:
    desk = Desk()
    found = await asked(OnCallSite(desk), f"/api/oncall/{path}", body)
    assert found[0] == status
    assert found[1]["error"].startswith(said)
    assert desk.book.overrides == ()


async def test_changing_who_is_on_call_needs_a_token_where_there_is_one() -> None:
    desk = Desk()
    status, _ = await asked(OnCallSite(desk, tokens=("a-long-token",)), "/api/oncall/overrides", OVERRIDE)
    assert status == 401
    assert desk.book.overrides == ()
