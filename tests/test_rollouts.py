"""What a deployment's state means: when a rollout is done, under way, stuck, and when nothing may be restarted."""

from typing import Any

import pytest

from agent.rollouts import parse_deployment, parse_pods
from tests.kubernetes_standin import deployment, pod


@pytest.mark.parametrize(
    ("state", "why"),
    [
        pytest.param({}, "", id="all is well, and yet its checks fail"),
        pytest.param({"available": 0}, "", id="its pods died after their rollout"),
        pytest.param({"available": 1, "progress": "MinimumReplicasUnavailable"}, "", id="a reason of no rollout"),
        pytest.param({"generation": 2}, "a rollout is in progress", id="a change that its controller has not seen"),
        pytest.param({"updated": 2}, "a rollout is in progress", id="one replica is still to come"),
        pytest.param({"replicas": 4}, "a rollout is in progress", id="an old replica is still to go"),
        pytest.param(
            {"available": 2, "progress": "ReplicaSetUpdated"}, "a rollout is in progress", id="new ones are not ready"
        ),
        pytest.param(
            {"available": 2, "progress": "ProgressDeadlineExceeded"},
            "its last rollout is stuck (it is ProgressDeadlineExceeded): undo it or repair it",
            id="stuck",
        ),
        pytest.param({"paused": True}, "its rollout is paused by an operator", id="paused"),
        pytest.param({"wanted": 0, "replicas": 0, "updated": 0, "available": 0}, "it is scaled to 0 by an operator",
                     id="scaled to 0"),
    ],
)  # fmt: skip
def test_why_a_deployment_is_not_restarted(state: dict[str, Any], why: str) -> None:
    assert parse_deployment(deployment(**state)).refusal() == why


def test_one_that_is_being_deleted_is_left_alone() -> None:
    going = deployment()
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert parse_deployment(going).refusal() == "it is being deleted"


@pytest.mark.parametrize(
    ("state", "done"),
    [
        pytest.param({}, True, id="done"),
        pytest.param({"generation": 2}, False, id="not yet seen"),
        pytest.param({"updated": 2}, False, id="not yet updated"),
        pytest.param({"replicas": 4}, False, id="an old one is left"),
        pytest.param({"available": 2}, False, id="a new one is not available"),
    ],
)
def test_when_a_rollout_is_done(state: dict[str, Any], done: bool) -> None:
    assert parse_deployment(deployment(**state)).rolled_out is done


def test_a_deployment_without_a_status_yet_is_in_progress() -> None:
    young = deployment()
    young["status"] = {}
    found = parse_deployment(young)
    assert (found.rolled_out, found.refusal()) == (False, "a rollout is in progress")


def test_a_selector_is_written_as_a_query_has_it() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["web", "api"]},
        {"key": "env", "operator": "NotIn", "values": ["test"]},
        {"key": "live", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    found = parse_deployment(deployment(selector={"matchLabels": {"app": "photos"}, "matchExpressions": expressions}))
    assert found.selector == "app=photos,tier in (web,api),env notin (test),live,!old"


def test_the_worst_pod_comes_first() -> None:
    items = [
        pod("fine"),
        pod("tired", restarts=2, exit_code=1),
        pod("dead", ready=False, restarts=5, waiting="CrashLoopBackOff", exit_code=137, reason="OOMKilled"),
        {"metadata": {"name": "unplaced"}, "status": {"phase": "Pending"}},
    ]
    assert [one.describe() for one in parse_pods({"items": items})] == [
        "dead: Running, not ready (CrashLoopBackOff), 5 restarts, last end: exit code 137 (OOMKilled)",
        "unplaced: Pending, not ready",
        "tired: Running, 2 restarts, last end: exit code 1 (Error)",
        "fine: Running",
    ]


@pytest.mark.parametrize("said", [None, [], {}, {"kind": "Status"}, "Deployment"])
def test_something_else_is_no_deployment(said: Any) -> None:
    with pytest.raises(ValueError, match="no Deployment"):
        parse_deployment(said)
