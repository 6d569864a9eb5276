"""What people tell a running agent over HTTP."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.core.events import Acknowledged, Approved, Deployed, RestartAsked
from agent.core.policy import Policy, RestartPolicy
from agent.core.state import Approval, Incident, ServiceState, Stage
from agent.ports import ServiceRow
from tests.web.site import NOW, Site, serving

KEY = "photos-api-20260301T030012.000Z/approval/1-0badcafe"


def asking_site() -> Site:
    incident = Incident(
        id="photos-api-20260301T030012.000Z",
        service="photos-api",
        opened_at=NOW,
        first_miss_at=NOW,
        check="http",
        reason="refused",
        summary="connection refused",
        stage=Stage.ASKING,
        failing=("http",),
        approval=Approval(key=KEY, expires_at=NOW + timedelta(minutes=15)),
    )
    return Site(services=[ServiceRow(name="photos-api", state=ServiceState(service="photos-api", incident=incident))])


async def posted(site: Site, path: str, body: Any) -> tuple[int, Any]:
    async with serving(site) as browser:
        answer = await browser.ask(path, method="POST", body=json.dumps(body).encode())
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("what", [{"key": KEY}, {"service": "photos-api"}], ids=["by key", "by service"])
async def test_an_approval_is_handed_to_the_core_with_the_key_that_was_asked(what: dict[str, str]) -> None:
    site = asking_site()
    status, answer = await posted(site, "/api/approve", {**what, "by": "ana"})
    assert (status, answer) == (200, {"approved": KEY, "service": "photos-api"})
    assert site.told == [("photos-api", Approved(at=NOW, key=KEY, by="ana"))]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({"key": KEY[:-1] + "f"}, id="the key of another failure"),
        pytest.param({"service": "billing"}, id="a service that asks nothing"),
        pytest.param({}, id="nothing at all"),
    ],
)
async def test_an_approval_of_what_is_not_asked_changes_nothing(what: dict[str, str]) -> None:
    site = asking_site()
    status, answer = await posted(site, "/api/approve", what)
    assert status == 409
    assert "nothing waits" in answer["error"]
    assert site.told == []


async def test_a_service_that_asks_nothing_cannot_be_approved_by_an_empty_key() -> None:
    site = asking_site()
    row = site.services[0]
    assert row.state.incident is not None
    row.state = replace(row.state, incident=replace(row.state.incident, approval=None))
    assert (await posted(site, "/api/approve", {"key": ""}))[0] == 409


async def test_a_deployment_is_told_with_its_end() -> None:
    site = asking_site()
    status, _ = await posted(site, "/api/deployed", {"service": "photos-api", "for": "90s", "by": "ci"})
    assert status == 200
    assert site.told == [("photos-api", Deployed(at=NOW, until=NOW + timedelta(seconds=90), by="ci"))]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"service": "nobody"}, 404, id="an unknown service"),
        pytest.param({"service": "photos-api", "for": "soon"}, 400, id="no duration"),
        pytest.param({"service": "photos-api", "for": "30d"}, 400, id="longer than a day"),
        pytest.param({"service": ["photos-api"]}, 400, id="no text"),
        pytest.param([], 400, id="no object"),
    ],
)
async def test_a_deployment_that_makes_no_sense_is_refused(body: Any, status: int) -> None:
    site = asking_site()
    assert (await posted(site, "/api/deployed", body))[0] == status
    assert site.told == []


async def test_an_acknowledgement_is_handed_to_the_core_with_how_long_it_holds() -> None:
    site = asking_site()
    status, answer = await posted(site, "/api/ack", {"service": "photos-api", "for": "30m", "by": "ana"})
    assert (status, answer) == (200, {"said": "photos-api: ana has taken it on until 03:37 UTC."})
    incident = "photos-api-20260301T030012.000Z"
    until = NOW + timedelta(minutes=30)
    assert site.told == [("photos-api", Acknowledged(at=NOW, by="ana", until=until, incident=incident))]


async def test_a_restart_that_is_asked_for_is_handed_to_the_core() -> None:
    site = asking_site()
    site.policies["photos-api"] = Policy(service="photos-api", restart=RestartPolicy(action="systemd"))
    status, _ = await posted(site, "/api/restart", {"service": "photos-api", "by": "ana"})
    incident = "photos-api-20260301T030012.000Z"
    assert (status, site.told) == (200, [("photos-api", RestartAsked(at=NOW, by="ana", incident=incident))])


@pytest.mark.parametrize(
    ("path", "asked", "status", "why"),
    [
        pytest.param("/api/ack", {"service": "photo-api"}, 404, "did you mean 'photos-api'?", id="a typo"),
        pytest.param("/api/ack", {"service": "photos-api", "for": "soon"}, 400, "for: ", id="no duration"),
        pytest.param("/api/ack", {"service": "photos-api", "for": "90d"}, 409, "at most", id="for ever"),
        pytest.param("/api/restart", {"service": "photos-api"}, 409, "no restart is configured", id="no restart"),
    ],
)
async def test_what_cannot_be_done_is_answered_in_words(
    path: str, asked: dict[str, str], status: int, why: str
) -> None:
    site = asking_site()
    site.policies["photos-api"] = Policy(service="photos-api")
    found, answer = await posted(site, path, asked)
    assert (found, site.told) == (status, [])
    assert why in answer["error"]
