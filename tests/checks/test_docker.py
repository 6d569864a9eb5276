"""Containers as the check sees them: every state that Docker knows, on a real dockerd where it can be brought about."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.containers import Container
from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, Tools
from checks.docker import DOCKER, DockerOptions, judge
from tests.dockerd import Docker, dockerd, why_not
from tests.processes import frozen

PASS, WARN, FAIL, UNKNOWN = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN
real = pytest.mark.skipif(bool(why_not()), reason=why_not() or "dockerd runs here")
SERVES = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with dockerd(tmp_path_factory.mktemp("dockerd")) as docker:
        yield docker


def context(timeout: float = 5) -> CheckContext:
    return CheckContext("photos", "container", timeout, cast(Tools, SimpleNamespace()))


async def run(docker: Docker, name: str, timeout: float = 5, **options: Any) -> CheckResult:
    return await DOCKER.run(DockerOptions(container=name, host=str(docker.socket), **options), context(timeout))


END = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MEANINGS = [
    ("healthy", {"status": "running", "health": "healthy"}, PASS, "ok", "photos is running (healthy), up 0s"),
    ("no health check", {"status": "running"}, PASS, "ok", "photos is running, up 0s"),
    ("starting", {"status": "running", "health": "starting"}, WARN, "starting", "photos is running (starting)"),
    ("unhealthy", {"status": "running", "health": "unhealthy", "health_output": "a\nno database"}, FAIL, "unhealthy",
     "photos is running (unhealthy): no database"),
    ("restarting", {"status": "restarting", "exit_code": 1, "restarts": 4}, WARN, "restarting",
     "photos is restarting: exit code 1, 4 restarts by Docker"),
    ("crash loop", {"status": "restarting", "exit_code": 139, "restarts": 5}, FAIL, "crash_loop",
     "photos is restarting: killed by SIGSEGV (139), 5 restarts by Docker"),
    ("exited", {"status": "exited", "exit_code": 3, "finished_at": END}, FAIL, "exited",
     "photos is exited: exit code 3 at 03:04:05 UTC"),
    ("out of memory", {"status": "exited", "exit_code": 137, "oom_killed": True}, FAIL, "oom",
     "photos is exited: killed for lack of memory, killed by SIGKILL (137)"),
    ("created", {"status": "created", "error": "port is taken"}, FAIL, "created", "photos is created: port is taken"),
    ("paused", {"status": "paused"}, FAIL, "paused", "photos is paused"),
    ("dead", {"status": "dead"}, FAIL, "dead", "photos is dead: exit code 0"),
    ("removing", {"status": "removing"}, FAIL, "removing", "photos is removing"),
    ("a new word", {"status": "hibernating"}, UNKNOWN, "state",
     "photos is hibernating: a state that this check does not know"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "verdict", "reason", "summary"), [row[1:] for row in MEANINGS],
                         ids=[row[0] for row in MEANINGS])  # fmt: skip
def test_a_containers_state_has_a_meaning(state: dict[str, Any], verdict: Verdict, reason: str, summary: str) -> None:
    result = judge(Container(name="photos", **state), 5, context())
    assert (result.verdict, result.reason, result.summary) == (verdict, reason, summary)


def test_a_crash_loop_can_be_left_to_docker() -> None:
    assert judge(Container(name="photos", status="restarting", restarts=99), 0, context()).verdict is WARN


@real
async def test_a_running_container_passes_with_its_uptime(docker: Docker) -> None:
    docker.run("runs", SERVES)
    result = await run(docker, "runs")
    assert (result.verdict, result.reason) == (PASS, "ok")
    assert result.summary.startswith("runs is running, up ")
    assert result.values["restarts"] == 0
    assert 0 <= result.values["uptime"] < 30


@real
async def test_a_health_check_is_followed_from_starting_to_healthy_to_unhealthy(docker: Docker) -> None:
    docker.run("ill", SERVES, "--health-cmd=test ! -e /bad || { echo no database; exit 1; }", "--health-interval=1s",
               "--health-retries=1")  # fmt: skip
    assert (await run(docker, "ill")).reason == "starting"
    docker.wait("ill", lambda state: state["Health"]["Status"] == "healthy")
    assert (await run(docker, "ill")).summary.startswith("ill is running (healthy), up ")
    docker("exec", "ill", "/bin/sh", "-c", ">/bad")
    docker.wait("ill", lambda state: state["Health"]["Status"] == "unhealthy")
    result = await run(docker, "ill")
    assert (result.verdict, result.reason) == (FAIL, "unhealthy")
    assert result.summary == "ill is running (unhealthy): no database"
    assert result.evidence == {"health check": "no database"}


@real
async def test_a_crashed_container_fails_with_its_exit_code(docker: Docker) -> None:
    docker.run("crashed", "exit 3")
    docker.wait("crashed", lambda state: state["Status"] == "exited")
    result = await run(docker, "crashed")
    assert (result.verdict, result.reason, result.values["exit_status"]) == (FAIL, "exited", 3)
    assert "exit code 3 at " in result.summary


@real
async def test_a_container_without_enough_memory_fails_for_that_reason(docker: Docker) -> None:
    if docker("info", "--format", "{{.MemoryLimit}}").strip() != "true":  # it would eat the memory of the host
        pytest.skip("no memory limits here: the kernel gives dockerd no cgroup for them")
    docker.run("hungry", "exec busybox tail /dev/zero", "--memory=8m", "--memory-swap=8m")
    docker.wait("hungry", lambda state: state["Status"] == "exited")
    result = await run(docker, "hungry")
    assert result.verdict is FAIL
    # dockerd now and then loses the kernel's word on it; the check can only say what dockerd knows
    if docker.state("hungry")["OOMKilled"]:
        assert result.reason == "oom"
        assert "killed for lack of memory" in result.summary
    else:
        assert (result.reason, result.values["exit_status"]) == ("exited", 137)


@real
async def test_a_container_that_docker_restarts_over_and_over_is_a_crash_loop(docker: Docker) -> None:
    docker.run("loops", "exit 1", "--restart=always")
    docker.wait("loops", lambda state: docker.inspect("loops")["RestartCount"] >= 3 and state["Restarting"])
    result = await run(docker, "loops", crash_loop=3)
    assert (result.verdict, result.reason) == (FAIL, "crash_loop")
    assert result.values["restarts"] >= 3


@real
async def test_paused_and_created_containers_fail_in_dockers_words(docker: Docker) -> None:
    docker("pause", docker.run("frozen", SERVES))
    docker("create", "--name=unborn", "--network=host", "box", "/bin/sleep", "9")
    results = [await run(docker, name) for name in ("frozen", "unborn")]
    docker("unpause", "frozen")
    assert [(result.verdict, result.reason) for result in results] == [(FAIL, "paused"), (FAIL, "created")]


@real
async def test_a_container_that_is_not_there_fails(docker: Docker) -> None:
    result = await run(docker, "nowhere")
    assert (result.verdict, result.reason, result.summary) == (FAIL, "not_found", "there is no container nowhere")


@real
async def test_a_docker_that_hangs_says_nothing_about_the_container(docker: Docker) -> None:
    with frozen(docker.pid):
        result = await run(docker, "runs", timeout=1)
    assert (result.verdict, result.reason) == (UNKNOWN, "timeout")
    assert result.took.total_seconds() < 1


async def test_without_docker_nothing_is_said_about_the_container(tmp_path: Path) -> None:
    result = await DOCKER.run(DockerOptions(container="photos", host=str(tmp_path / "s")), context())
    assert (result.verdict, result.reason) == (UNKNOWN, "missing")
