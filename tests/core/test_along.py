"""A restart that a dependant asks for obeys every rule of the service's own. Times are seconds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.along import GRACE, own_step
from agent.core.commands import Outcome
from agent.core.events import Deployed, EventKind, Group, Quiet, RestartAlong, RestartFinished
from agent.core.policy import Mode, RestartPolicy, Step
from tests.core.story import FAIL, PASS, Story, at, policy

RESTART = RestartPolicy(action="systemd", at_most=2, backoff=timedelta(0), jitter=0)


def story(restart: RestartPolicy = RESTART, **more: object) -> Story:
    night = Story(policy(restart=restart, **more))
    night.sees(PASS, 1)
    return night


def asks(night: Story, seconds: float) -> None:
    number = len(night.decisions)
    night.tell(RestartAlong(at=at(seconds), key=f"app/{number}/db", by="app", part_of=f"app/{number}", incident="app"))


def ends(night: Story, outcome: Outcome, seconds: float) -> None:
    order = night.restarts[-1]
    night.tell(RestartFinished(at=at(seconds), key=order.key, outcome=outcome, order=order))


def test_it_is_ordered_and_costs_its_own_budget() -> None:
    night = story()
    asks(night, 10)
    order = night.restarts[0]
    assert (order.service, order.part_of, order.incident) == ("api", "app/1", "app")
    assert night.state.restarts == (at(10),)
    assert night.state.incident is None


def test_while_it_is_restarted_for_another_it_is_not_restarted_for_failing_too() -> None:
    night = story()
    asks(night, 10)
    night.sees(FAIL, 20, 22)
    assert len(night.restarts) == 1
    assert night.stage == "waiting"
    ends(night, Outcome.DONE, 30)
    assert night.state.wake_at == at(60)  # as long as after any restart
    night.sees(PASS, 40, 42)
    assert night.state.incident is None


def test_when_it_is_not_well_after_that_it_is_dealt_with_by_itself() -> None:
    night = story()
    asks(night, 10)
    night.sees(FAIL, 20, 22)
    ends(night, Outcome.DONE, 30)
    night.time_is(60)
    assert [order.part_of for order in night.restarts] == ["app/1", ""]


def test_one_that_could_not_be_restarted_is_dealt_with_at_once() -> None:
    night = story()
    asks(night, 10)
    night.sees(FAIL, 20, 22)
    ends(night, Outcome.FAILED, 30)
    night.time_is(30)
    assert len(night.restarts) == 2


def test_one_that_an_operator_stopped_gets_its_budget_back() -> None:
    night = story()
    asks(night, 10)
    ends(night, Outcome.REFUSED, 11)
    assert night.state.restarts == ()
    assert night.state.deployed_until is None


def test_a_deployment_that_was_announced_meanwhile_is_not_cut_short() -> None:
    night = story()
    asks(night, 10)
    night.tell(Deployed(at=at(11), until=at(900)))
    ends(night, Outcome.DONE, 12)
    assert night.state.deployed_until == at(900)


def test_its_end_is_counted() -> None:
    night = story()
    asks(night, 10)
    ends(night, Outcome.TIMEOUT, 40)
    event = night.decisions[-1].events[-1]
    assert event.kind is EventKind.RESTART_FINISHED
    assert (event.data["action"], event.data["outcome"]) == ("systemd", "timeout")


def spent(night: Story) -> None:
    night.state = replace(night.state, restarts=(at(2), at(3)))


def deployed(night: Story) -> None:
    night.tell(Deployed(at=at(5), until=at(100)))


def restarting(night: Story) -> None:
    night.sees(FAIL, 5, 7)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        pytest.param(spent, "restart budget used up: 2 of 2", id="its own budget"),
        pytest.param(lambda n: setattr(n, "restarts_left", 0), "budget of this host", id="the host's budget"),
        pytest.param(lambda n: setattr(n, "fleet_left", 0), "budget of the fleet", id="the fleet's budget"),
        pytest.param(deployed, "being deployed", id="a deployment"),
        pytest.param(restarting, "it is being restarted already", id="a restart of its own"),
        pytest.param(lambda n: setattr(n, "host_trouble", "out of disk"), "this host is out of disk", id="a full host"),
        pytest.param(lambda n: setattr(n, "blind", "no network"), "no network", id="an agent that can't see"),
        pytest.param(
            lambda n: setattr(n, "group", Group(name="db", size=2, failing=0, busy="db-2")),
            "db-2",
            id="a replica's turn",
        ),
    ],
)
def test_what_stops_a_restart_of_its_own_stops_this_one(before: object, said: str) -> None:
    night = story()
    before(night)  # type: ignore[operator]
    orders = len(night.restarts)
    asks(night, 10)
    assert len(night.restarts) == orders
    refused = night.decisions[-1].events[-1]
    assert refused.kind is EventKind.RESTART_REFUSED
    assert said in refused.text


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW, Mode.ASK])
def test_only_one_that_is_restarted_automatically_is_restarted_along(mode: Mode) -> None:
    night = story(replace(RESTART, mode=mode))
    asks(night, 10)
    assert night.restarts == []
    assert f"mode: {mode.value}" in night.decisions[-1].events[-1].text


def test_its_backoff_is_kept() -> None:
    night = story(replace(RESTART, backoff=timedelta(seconds=60)))
    asks(night, 10)
    ends(night, Outcome.REFUSED, 11)
    night.state = replace(night.state, restarts=(at(11),), deployed_until=None)
    asks(night, 20)
    assert "its backoff goes on for 51 s" in night.decisions[-1].events[-1].text


def test_the_grace_ends_by_itself_when_nothing_is_ever_heard() -> None:
    night = story()
    asks(night, 10)
    assert night.state.deployed_until == at(10) + GRACE


@pytest.mark.parametrize(
    ("actions", "step"),
    [
        pytest.param(("systemd",), 0, id="the only one"),
        pytest.param(("systemd reload", "systemd", "command"), 1, id="the first plain restart"),
        pytest.param(("dependencies", "systemd"), 1, id="never the one that asks"),
        pytest.param(("dependencies", "systemd reload"), 1, id="whatever there is"),
    ],
)
def test_the_step_that_restarts_a_service_itself(actions: tuple[str, ...], step: int) -> None:
    steps = tuple(Step(action=action, verify=timedelta(seconds=9)) for action in actions)
    assert own_step(replace(RESTART, action=actions[0], steps=steps)) == step


def test_a_maintenance_window_that_forbids_restarts_forbids_this_one() -> None:
    night = story()
    night.quiet = Quiet(why="maintenance until 04:00", restarts=True)
    asks(night, 10)
    assert night.restarts == []
    assert "maintenance until 04:00" in night.decisions[-1].events[-1].text
