"""What Alertmanager posts: read within bounds, handed on as it is meant, or refused with one message that says why."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.ports import AlertGroup, ForeignAlert, Taken
from agent.web.alerts_in import LARGEST
from agent.web.deps import WebDeps
from tests.web.site import Answer, Site, serving


@dataclass
class Intake:
    token: str = "comes-in"
    open: bool = True
    taken: list[AlertGroup] = field(default_factory=list)
    answer: Taken = field(default_factory=lambda: Taken(firing=1))

    def admits(self, token: str | None) -> bool | None:
        return token == self.token if self.token else None

    async def take(self, group: AlertGroup) -> Taken:
        self.taken.append(group)
        return self.answer


class IntakeSite(Site):
    def __init__(self, intake: Intake, **more: Any) -> None:
        self.intake = intake
        super().__init__(**more)

    def deps(self) -> WebDeps:
        return replace(super().deps(), alerts_in=self.intake)


# as Alertmanager 0.25 sends it
ALERT = {
    "status": "firing",
    "labels": {"alertname": "Disk", "instance": "web-1:9100", "severity": "critical"},
    "annotations": {"summary": "/ is 97 % full"},
    "startsAt": "2026-11-21T03:00:00.000Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus:9090/graph?g0.expr=1",
    "fingerprint": "c8e8f1b0e8d4a1f2",
}
MESSAGE = {
    "receiver": "codeblue",
    "status": "firing",
    "alerts": [ALERT],
    "groupLabels": {"alertname": "Disk"},
    "commonLabels": {"alertname": "Disk", "severity": "critical"},
    "commonAnnotations": {"summary": "/ is 97 % full"},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="Disk"}',
    "truncatedAlerts": 0,
}


async def posted(site: Site, message: Any, token: str | None = "comes-in", **headers: str) -> Answer:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with serving(site) as browser:
        return await browser.ask("/alerts/alertmanager", "POST", headers, body)


async def test_a_message_is_handed_on_with_all_that_it_says() -> None:
    intake = Intake()
    answer = await posted(IntakeSite(intake), MESSAGE)
    assert (answer.status, json.loads(answer.body)["taken"]["firing"]) == (200, 1)
    assert intake.taken == [
        AlertGroup(
            key='{}:{alertname="Disk"}',
            firing=True,
            labels={"alertname": "Disk", "severity": "critical"},
            annotations={"summary": "/ is 97 % full"},
            link="http://alertmanager:9093",
            alerts=(
                ForeignAlert(
                    fingerprint="c8e8f1b0e8d4a1f2",
                    firing=True,
                    labels={"alertname": "Disk", "instance": "web-1:9100", "severity": "critical"},
                    annotations={"summary": "/ is 97 % full"},
                    link="http://prometheus:9090/graph?g0.expr=1",
                ),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        pytest.param({"endsAt": "2026-11-21T04:00:00+01:00"}, datetime(2026, 11, 21, 3, tzinfo=UTC), id="an end"),
        pytest.param({"endsAt": "0001-01-01T00:00:00Z"}, None, id="an end that nobody knows"),
        pytest.param({"endsAt": "soon"}, None, id="no time at all"),
        pytest.param({"endsAt": "2026-11-21T04:00:00Z", "status": "resolved"}, None, id="over already"),
    ],
)
async def test_the_end_of_one_that_fires_is_when_it_has_to_be_said_again(changed: Any, read: Any) -> None:
    intake = Intake()
    await posted(IntakeSite(intake), {**MESSAGE, "alerts": [ALERT | changed]})
    assert intake.taken[0].alerts[0].ends == read


async def test_what_is_long_is_cut_and_what_is_many_is_left_out_and_nothing_is_refused_for_it() -> None:
    intake = Intake()
    long = ALERT | {
        "labels": {f"l{n}": "x" * 1_000 for n in range(100)},
        "annotations": {"description": "y" * 100_000},
        "generatorURL": "http://p/" + "z" * 10_000,
    }
    answer = await posted(IntakeSite(intake), {**MESSAGE, "alerts": [long], "truncatedAlerts": 3})
    assert answer.status == 200
    group = intake.taken[-1]
    (alert,) = group.alerts
    assert not group.whole
    assert (len(alert.labels), alert.labels["…"]) == (65, "36 more")
    assert all(len(text) <= 500 for text in alert.labels.values())
    assert len(alert.annotations["description"]) == 4_000
    assert alert.link == "", "half of a link leads nowhere"


@pytest.mark.parametrize(
    ("message", "status", "says"),
    [
        pytest.param(b"{", 400, "Invalid JSON", id="no JSON"),
        pytest.param([], 400, "the body", id="a list"),
        pytest.param({**MESSAGE, "version": "3"}, 400, "version", id="another version"),
        pytest.param({**MESSAGE, "alerts": []}, 400, "alerts", id="without alerts"),
        pytest.param({**MESSAGE, "alerts": [{"status": "odd"}]}, 400, "alerts.0.status", id="an unknown status"),
        pytest.param({**MESSAGE, "alerts": [ALERT] * 10_001}, 400, "at most 10000", id="far too many"),
        pytest.param({**MESSAGE, "groupKey": 5}, 400, "groupKey", id="a key that is no text"),
        pytest.param(b" " * (LARGEST + 1), 413, "8192 KiB", id="far too long"),
    ],
)
async def test_anything_else_is_refused_with_one_message(message: Any, status: int, says: str) -> None:
    intake = Intake()
    answer = await posted(IntakeSite(intake), message)
    assert (answer.status, intake.taken) == (status, [])
    assert says in json.loads(answer.body)["error"]
    assert "\n" not in json.loads(answer.body)["error"]


async def test_where_there_is_no_room_alertmanager_is_asked_to_come_again() -> None:
    answer = await posted(IntakeSite(Intake(answer=Taken(firing=2, refused=3))), MESSAGE)
    assert answer.status == 503
    assert "no room for 3 alerts" in json.loads(answer.body)["error"]


async def test_secrets_that_an_alert_says_back_are_not_kept() -> None:
    intake = Intake()
    leaky = ALERT | {"annotations": {"summary": "token hunter2hunter2 is wrong"}}
    await posted(IntakeSite(intake, secret="hunter2hunter2"), {**MESSAGE, "alerts": [leaky]})
    assert intake.taken[0].alerts[0].annotations["summary"] == "token *** is wrong"


@pytest.mark.parametrize(
    ("own", "agents", "given", "status"),
    [
        pytest.param("comes-in", (), "comes-in", 200, id="its own token"),
        pytest.param("comes-in", ("agent-token",), "agent-token", 200, id="one of the agent's"),
        pytest.param("comes-in", (), "wrong", 401, id="another"),
        pytest.param("comes-in", (), None, 401, id="none"),
        pytest.param("", ("agent-token",), None, 401, id="none, where the agent has one"),
        pytest.param("", (), None, 200, id="there are no tokens at all, and it comes from this machine"),
    ],
)
async def test_who_may_post(own: str, agents: tuple[str, ...], given: str | None, status: int) -> None:
    answer = await posted(IntakeSite(Intake(token=own), tokens=agents), MESSAGE, given)
    assert answer.status == status


async def test_the_intake_s_token_opens_nothing_else() -> None:
    async with serving(IntakeSite(Intake(), tokens=("agent-token",))) as browser:
        answer = await browser.ask("/api/services", headers={"Authorization": "Bearer comes-in"})
    assert answer.status == 401


async def test_a_page_of_another_site_can_t_post_alerts() -> None:
    answer = await posted(IntakeSite(Intake()), MESSAGE, **{"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403


async def test_without_alerts_in_there_is_no_such_page() -> None:
    answer = await posted(IntakeSite(Intake(open=False)), MESSAGE)
    assert answer.status == 404
    assert "the configuration has no alerts_in" in json.loads(answer.body)["error"]
