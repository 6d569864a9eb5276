"""What people are answered, and what the core is told, when they do something about an incident."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from agent.core.events import Acknowledged, Approved, Input, RestartAsked
from agent.core.policy import Policy, RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Acknowledgement, Approval, Asked, CheckState, Health, Incident, ServiceState, Stage
from agent.operations import Refused
from agent.operator import Operator
from agent.ports import ServiceRow
from tests.core.story import START, at

OPEN = Incident(
    id="api-1",
    service="api",
    opened_at=at(12),
    first_miss_at=at(10),
    check="http",
    reason="refused",
    summary="connection refused",
    stage=Stage.PAGED,
    failing=("http",),
    asked=(Asked(channel="oncall", key="api-1/oncall/opened/1", at=at(12)),),
)


@dataclass
class Desk:
    """Three services, one of them down, and all that was told or asked."""

    incident: Incident | None = OPEN
    told: list[tuple[str, Input]] = field(default_factory=list)
    silenced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check = CheckState(verdict=Verdict.FAIL, summary="connection refused", down=True)
        health = Health.DOWN if self.incident else Health.UP
        state = ServiceState(service="api", incident=self.incident, health=health, since=at(10), checks={"http": check})
        well = ServiceState(service="db", health=Health.UP, since=START)
        self.rows = {
            "api": ServiceRow(name="api", state=state),
            "db": ServiceRow(name="db", state=well),
            "web": ServiceRow(name="web", state=replace(well, service="web")),
        }
        policies = {name: Policy(service=name) for name in self.rows}
        policies["api"] = Policy(service="api", restart=RestartPolicy(action="systemd"))
        self.operator = Operator(
            table=self.rows,
            policy=policies.get,
            tell=lambda service, event: self.told.append((service, event)),
            now=lambda: at(70),
            silences=self,
            on_call=lambda: "primary: alice",
            seen=self._seen,
        )

    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        self.silenced.append(matchers)
        return f"silenced {matchers}"

    async def _seen(self, drill: str, by: str) -> str:
        return f"{by} saw {drill}"


async def test_an_acknowledgement_names_the_incident_that_is_open() -> None:
    desk = Desk()
    said = await desk.operator.acknowledge("api", "alice", span=timedelta(hours=1))
    assert said == "api: alice has taken it on until 04:01 UTC."
    assert desk.told == [("api", Acknowledged(at=at(70), by="alice", until=at(3670), incident="api-1"))]


async def test_without_a_span_the_policy_says_how_long_it_holds() -> None:
    desk = Desk()
    assert await desk.operator.acknowledge("api", "alice") == "api: alice has taken it on."
    assert desk.told == [("api", Acknowledged(at=at(70), by="alice", until=None, incident="api-1"))]


async def test_a_restart_that_is_asked_for_is_handed_to_the_core() -> None:
    desk = Desk()
    await desk.operator.restart("api", "alice", incident="api-1")
    assert desk.told == [("api", RestartAsked(at=at(70), by="alice", incident="api-1"))]


async def test_an_approval_finds_its_question_by_the_key() -> None:
    desk = Desk(replace(OPEN, approval=Approval(key="api-1/approval/1-ff", expires_at=at(900))))
    await desk.operator.approve("api-1/approval/1-ff", "alice")
    assert desk.told == [("api", Approved(at=at(70), key="api-1/approval/1-ff", by="alice"))]


@pytest.mark.parametrize(
    ("incident", "ask", "why"),
    [
        pytest.param(OPEN, ("acknowledge", "apy"), "did you mean 'api'?", id="a-typo"),
        pytest.param(None, ("acknowledge", "api"), "api is up: no incident is open", id="nothing-is-open"),
        pytest.param(OPEN, ("acknowledge", "api", "api-0"), "that incident is over", id="an-old-button"),
        pytest.param(None, ("restart", "api"), "no incident is open", id="a-restart-of-what-is-well"),
        pytest.param(
            replace(OPEN, stage=Stage.VERIFYING), ("restart", "api"), "a restart is under way", id="a-second-restart"
        ),
        pytest.param(OPEN, ("approve", "api-1/approval/1-00"), "nothing waits for this approval", id="an-old-question"),
    ],
)
async def test_what_cannot_be_done_is_refused(incident: Incident | None, ask: tuple[str, ...], why: str) -> None:
    desk = Desk(incident)
    what, name, *old = ask
    more = {"incident": old[0]} if old else {}
    with pytest.raises(Refused, match=why.replace("?", r"\?")):
        await getattr(desk.operator, what)(name, "alice", **more)
    assert desk.told == []


@pytest.mark.parametrize("span", [timedelta(0), timedelta(days=31), timedelta(seconds=-5)], ids=str)
async def test_nobody_silences_or_acknowledges_for_no_time_or_for_ever(span: timedelta) -> None:
    desk = Desk()
    with pytest.raises(Refused):
        await desk.operator.acknowledge("api", "alice", span=span)
    with pytest.raises(Refused):
        await desk.operator.silence("service=api", "alice", span=span)
    assert (desk.told, desk.silenced) == ([], [])


class TestStatus:
    async def test_names_what_is_down_first_and_who_was_asked(self) -> None:
        assert await Desk().operator.status() == (
            "api is down since 03:00:10 UTC (1 min): http: connection refused "
            "(asked oncall; nobody has acknowledged it)\n2 of 3 services are well."
        )

    async def test_says_who_has_taken_it_on(self) -> None:
        desk = Desk(replace(OPEN, ack=Acknowledgement(by="alice", at=at(30))))
        assert "alice has taken it on" in await desk.operator.status("api")

    async def test_is_one_line_when_all_is_well(self) -> None:
        assert await Desk(None).operator.status() == "All 3 services are well."

    async def test_of_a_service_that_does_not_exist_names_the_nearest(self) -> None:
        with pytest.raises(Refused, match="did you mean 'web'"):
            await Desk().operator.status("wep")
