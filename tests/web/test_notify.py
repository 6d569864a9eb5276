"""Trying out channels over HTTP."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.operations import Refused
from agent.ports import ChannelState, Delivery, TriedOut
from agent.web.deps import WebDeps
from tests.web.site import NOW, Site, serving


@dataclass
class Notifier:
    """Knows one channel, and one person who has no address there."""

    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def channels(self) -> Sequence[ChannelState]:
        last = Delivery(at=NOW, address="oncall", kind="opened", outcome="dead", error="auth: token s3cret-token")
        return [
            ChannelState(
                name="oncall", type="slack", per_second=1.0, people=("alice",), trouble="", waiting=2, last=last
            )
        ]

    async def test(self, channel: str, *, person: str = "", by: str) -> TriedOut:
        self.asked.append((channel, person, by))
        if channel != "oncall":
            raise LookupError(f"there is no channel {channel!r}")
        if person:
            raise Refused(f"{person} has no address on oncall")
        return TriedOut(channel=channel, type="slack", person="", outcome="delivered", took=0.25, where={"ts": "1.2"})


@dataclass
class NotifySite(Site):
    notifier: Notifier = field(default_factory=Notifier)

    def deps(self) -> WebDeps:
        return replace(super().deps(), notifying=self.notifier)

    async def says(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with serving(self) as browser:
            found = await browser.ask(path, method=method, body=b"" if body is None else json.dumps(body).encode())
        return found.status, json.loads(found.body)


async def test_a_test_is_sent_and_what_became_of_it_is_told() -> None:
    site = NotifySite()
    status, found = await site.says("POST", "/api/notify/oncall", {"by": "ann"})
    assert status == 200
    assert found == {
        "channel": "oncall",
        "type": "slack",
        "person": "",
        "outcome": "delivered",
        "took": 0.25,
        "where": {"ts": "1.2"},
        "tries": 0,
        "reason": "",
        "error": "",
        "advice": "",
    }
    assert site.notifier.asked == [("oncall", "", "ann")]


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        pytest.param("nothing", {}, 404, "there is no channel 'nothing'", id="no such channel"),
        pytest.param("oncall", {"person": "bob"}, 409, "bob has no address on oncall", id="nobody there"),
        pytest.param("oncall", {"persn": "bob"}, 400, "unknown key 'persn': expected person, by", id="a slip"),
        pytest.param("oncall", {"person": 7}, 400, "person: expected a text", id="a number"),
        pytest.param("oncall", [], 400, "expected an object of person, by", id="no object"),
    ],
)
async def test_what_makes_no_sense_is_refused(path: str, body: Any, status: int, error: str) -> None:
    assert await NotifySite().says("POST", f"/api/notify/{path}", body) == (status, {"error": error})


async def test_channels_are_listed_without_secrets() -> None:
    status, [listed] = await NotifySite(secret="s3cret-token").says("GET", "/api/notify")
    assert status == 200
    assert (listed["name"], listed["waiting"], listed["people"]) == ("oncall", 2, ["alice"])
    assert listed["last"] == {
        "at": "2026-11-21T03:07:12Z",
        "address": "oncall",
        "kind": "opened",
        "outcome": "dead",
        "error": "auth: token ***",
    }


async def test_a_test_needs_the_token_that_changes_need() -> None:
    site = NotifySite(tokens=("t0ken",))
    assert (await site.says("POST", "/api/notify/oncall", {}))[0] == 401
    assert site.notifier.asked == []


async def test_an_agent_without_channels_to_try_says_so() -> None:
    async with serving(Site()) as browser:
        assert (await browser.ask("/api/notify")).status == 503
