"""Restarting a container of a real dockerd: what is restarted, what is left alone, and what the page is told."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions.docker import DOCKER
from agent.core.commands import Outcome
from agent.ports import ActionOutcome, Remediator
from tests.actions.orders import ORDER, NoChildren
from tests.dockerd import Docker, dockerd, why_not
from tests.processes import frozen
from tests.servers import answering, serve

real = pytest.mark.skipif(bool(why_not()), reason=why_not() or "dockerd runs here")
SERVES = "trap 'exit 0' TERM; echo serving; while :; do sleep 0.1; done"
DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with dockerd(tmp_path_factory.mktemp("dockerd")) as docker:
        yield docker


def made(docker: Docker, name: str, **options: Any) -> Remediator:
    written = {"container": name, "host": str(docker.socket), "stop_timeout": "1s", **options}
    return DOCKER.build(DOCKER.options.model_validate(written), NoChildren())


def in_it(pid: int, path: str) -> bool:
    """Whether there is such a file in the container of that process."""
    return Path(f"/proc/{pid}/root{path}").exists()


async def restart(docker: Docker, name: str, **options: Any) -> ActionOutcome:
    return await made(docker, name, **options).perform(ORDER)


@real
async def test_a_crashed_container_is_started_again_with_its_end_and_its_last_lines_as_evidence(docker: Docker) -> None:
    talks = "for n in $(busybox seq 30); do echo line $n; done; sleep 0.3; echo no space >&2; sleep 0.2"
    docker.run("crashed", f"{talks}; test -e /on && sleep 99; >/on; exit 3")
    docker.wait("crashed", lambda state: state["Status"] == "exited")
    outcome = await restart(docker, "crashed")
    assert (outcome.outcome, outcome.detail) == (Outcome.DONE, "crashed is running")
    assert outcome.evidence["container"].startswith("crashed is exited: exit code 3 at ")
    lines = outcome.evidence["container log"].splitlines()
    assert len(lines) == 20
    assert {line.partition(" ")[2] for line in lines} <= {*(f"line {n}" for n in range(31)), "no space"}
    assert any("no space" in line for line in lines)


@real
async def test_a_running_container_becomes_a_new_process(docker: Docker) -> None:
    before = docker.state(docker.run("hangs", SERVES))["Pid"]
    assert (await restart(docker, "hangs")).outcome is Outcome.DONE
    assert docker.state("hangs")["Pid"] not in (before, 0)


@real
async def test_a_reload_is_a_sighup_to_the_same_process(docker: Docker) -> None:
    docker.run("reloads", "trap '>/reloaded' HUP; trap 'exit 0' TERM; while :; do sleep 0.1; done")
    docker.wait("reloads", lambda state: state["Running"])
    await asyncio.sleep(0.5)
    before = docker.state("reloads")["Pid"]
    outcome = await restart(docker, "reloads", verb="reload")
    assert (outcome.outcome, docker.state("reloads")["Pid"]) == (Outcome.DONE, before)
    assert in_it(before, "/reloaded")


@real
async def test_start_and_stop_do_just_that_and_nothing_where_it_is_so_already(docker: Docker) -> None:
    docker.run("stops", SERVES)
    docker.wait("stops", lambda state: state["Running"])
    assert (await restart(docker, "stops", verb="start")).outcome is Outcome.DONE
    assert (await restart(docker, "stops", verb="stop")).outcome is Outcome.DONE
    assert not docker.state("stops")["Running"]
    assert (await restart(docker, "stops", verb="start")).outcome is Outcome.REFUSED, "somebody stopped it"
    assert (await restart(docker, "stops", verb="start", when_stopped="start")).outcome is Outcome.DONE
    assert docker.state("stops")["Running"]


@real
async def test_the_containers_processes_are_told_as_they_were_before(docker: Docker) -> None:
    before = docker.state(docker.run("seen", SERVES.replace("serving", "--token=abc")))["Pid"]
    docker("exec", "--detach", "seen", "sleep", "77")
    evidence = (await restart(docker, "seen")).evidence
    rows = evidence["processes"].splitlines()
    assert any(row.split()[0] == str(before) for row in rows[1:])
    assert any(row.endswith("sleep 77") for row in rows)
    assert f"{before} sh: " in evidence["threads"]
    assert "abc" not in evidence["processes"]


STAYS = {
    "Id": "4f2c" * 16,
    "State": {"Status": "running", "StartedAt": "2026-01-02T03:04:05.678901234Z", "ExitCode": 0},
    "HostConfig": {"RestartPolicy": {"Name": "no"}},
}


async def unmoved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A Docker that says yes to every restart, and does nothing."""
    asked = (await reader.readuntil(b"\r\n\r\n")).split()[1]
    body = json.dumps(STAYS).encode() if asked.endswith(b"/json") else b""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()


async def test_a_restart_that_leaves_the_same_process_is_a_failed_one() -> None:
    async with serve(unmoved) as port:
        options = DOCKER.options.model_validate({"container": "photos", "host": f"http://127.0.0.1:{port}"})
        outcome = await DOCKER.build(options, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail == "its process was not replaced; photos is running"


@real
async def test_one_that_does_not_end_on_sigterm_is_killed_after_its_stop_timeout(docker: Docker) -> None:
    docker.run("deaf", DEAF)
    began = monotonic()
    assert (await restart(docker, "deaf", stop_timeout="1s")).outcome is Outcome.DONE
    assert 0.9 < monotonic() - began < 8


@real
async def test_one_that_was_killed_from_outside_docker_is_restarted(docker: Docker) -> None:
    os.kill(docker.state(docker.run("murdered", SERVES))["Pid"], signal.SIGKILL)
    docker.wait("murdered", lambda state: state["Status"] == "exited")
    outcome = await restart(docker, "murdered")
    assert outcome.outcome is Outcome.DONE
    assert "killed by SIGKILL (137)" in outcome.evidence["container"]


@real
@pytest.mark.parametrize(
    ("how", "options"),
    [
        pytest.param("stop", (), id="docker stop"),
        pytest.param("kill", (), id="docker kill"),
        pytest.param("stop", ("--restart=always",), id="docker stop in spite of a restart policy"),
    ],
)
async def test_a_container_that_an_operator_stopped_is_left_alone(
    docker: Docker, how: str, options: tuple[str, ...]
) -> None:
    name = docker.run(f"{how}{len(options)}", SERVES, *options)
    docker(how, name)
    outcome = await restart(docker, name)
    assert outcome.outcome is Outcome.REFUSED
    assert "Docker was asked to stop it, so it is left alone (when_stopped: start changes that)" in outcome.detail
    assert docker.state(name)["Status"] == "exited"
    assert (await restart(docker, name, when_stopped="start")).outcome is Outcome.DONE


@real
async def test_a_name_that_begins_like_the_one_that_was_stopped_is_another_container(docker: Docker) -> None:
    docker("stop", "--time=1", docker.run("web-db", SERVES))
    docker.run("web", "exit 3")
    docker.wait("web", lambda state: state["Status"] == "exited")
    docker("stop", "--time=1", "web-db")
    assert "left alone" not in (await restart(docker, "web")).detail


@real
async def test_a_stop_under_way_is_not_crossed(docker: Docker) -> None:
    docker.run("leaving", DEAF)
    docker("kill", "--signal=TERM", "leaving")
    outcome = await restart(docker, "leaving")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.LATER,
        "leaving is running: Docker was just asked to stop it",
    )


@real
async def test_a_paused_container_is_left_alone(docker: Docker) -> None:
    docker("pause", docker.run("paused", SERVES))
    outcome = await restart(docker, "paused", when_stopped="start")
    docker("unpause", "paused")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.REFUSED,
        "paused is paused: an operator paused it",
    )


@real
async def test_a_container_that_was_never_started_is_left_alone(docker: Docker) -> None:
    docker("create", "--name=waiting", "--network=host", "box", "/bin/sleep", "99")
    assert "it was created and never started" in (await restart(docker, "waiting")).detail
    assert docker.state("waiting")["Status"] == "created"


@real
async def test_a_container_whose_health_check_is_starting_is_left_alone(docker: Docker) -> None:
    docker.run("young", SERVES, "--health-cmd=test -e /ok", "--health-interval=1s", "--health-start-period=90s")
    outcome = await restart(docker, "young")
    assert outcome.outcome is Outcome.LATER
    assert "its health check is still starting" in outcome.detail


@real
async def test_a_container_that_somebody_has_just_started_is_waited_for(docker: Docker) -> None:
    docker.run("fresh", SERVES)
    options = DOCKER.options.model_validate({"container": "fresh", "host": str(docker.socket)})
    outcome = await DOCKER.build(options, NoChildren()).perform(replace(ORDER, grace=timedelta(minutes=1)))
    assert outcome.outcome is Outcome.LATER
    assert outcome.detail.endswith("ago: it is given 1m")


@real
async def test_an_unhealthy_container_is_restarted_with_what_its_health_check_said(docker: Docker) -> None:
    docker.run("sick", SERVES, "--health-cmd=echo no database; exit 1", "--health-interval=100ms", "--health-retries=1")
    docker.wait("sick", lambda state: state["Health"]["Status"] == "unhealthy")
    outcome = await restart(docker, "sick")
    assert outcome.outcome is Outcome.DONE
    assert outcome.evidence["health check"].endswith("failed in a row: no database")
    assert outcome.evidence["container"] == "sick is running (unhealthy)"


@real
async def test_one_that_ends_at_once_again_was_not_restarted(docker: Docker) -> None:
    docker.run("broken", "exit 7")
    docker.wait("broken", lambda state: state["Status"] == "exited")
    outcome = await restart(docker, "broken")
    assert outcome.outcome is Outcome.FAILED
    assert "broken is exited: exit code 7" in outcome.detail


@real
async def test_one_that_can_not_be_started_says_why_and_may_be_tried_again(docker: Docker, tmp_path: Path) -> None:
    """Its own failed start leaves the same marks as an operator's stop: Docker stopped it, and it is down."""
    (tmp_path / "data").mkdir()
    docker.run("mounted", SERVES, f"--mount=type=bind,source={tmp_path}/data,target=/data")
    action = made(docker, "mounted")
    (tmp_path / "data").rmdir()
    first = await action.perform(ORDER)
    assert first.outcome is Outcome.FAILED
    assert "Cannot restart container mounted" in first.detail
    assert docker.state("mounted")["Status"] == "exited"
    (tmp_path / "data").mkdir()
    for again in (made(docker, "mounted"), action):
        assert (await again.perform(ORDER)).outcome is Outcome.DONE


@real
async def test_a_container_that_is_not_there_can_not_be_restarted(docker: Docker) -> None:
    outcome = await restart(docker, "nowhere")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.FAILED,
        "not restarted: Docker: No such container: nowhere",
    )


@real
async def test_a_restart_that_takes_too_long_is_a_timeout_and_docker_goes_on_with_it(docker: Docker) -> None:
    before = docker.state(docker.run("slow", DEAF, "--stop-timeout=3"))["Pid"]
    began = monotonic()
    outcome = await restart(docker, "slow", stop_timeout=None, timeout="1s")
    assert outcome.outcome is Outcome.TIMEOUT
    assert outcome.detail == "Docker did not restart it within 1s and may go on; slow is running"
    assert monotonic() - began < 7
    docker.wait("slow", lambda state: state["Pid"] not in (0, before))


@real
async def test_what_docker_no_longer_remembers_is_judged_by_the_exit_code(docker: Docker) -> None:
    docker("stop", "--time=1", docker.run("forgotten", SERVES))
    docker.stop()
    docker.start()
    outcome = await restart(docker, "forgotten")
    assert "Docker's events no longer tell who ended it" in outcome.detail


@real
async def test_a_docker_that_hangs_is_a_timeout(docker: Docker) -> None:
    docker.run("held", SERVES)
    with frozen(docker.pid):
        began = monotonic()
        outcome = await restart(docker, "held")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.TIMEOUT,
        f"not restarted: Docker: unix://{docker.socket} did not answer within 2 s",
    )
    assert monotonic() - began < 10


async def test_without_docker_there_is_no_restart_and_no_exception(tmp_path: Path) -> None:
    options = DOCKER.options.model_validate({"container": "photos", "host": str(tmp_path / "s")})
    outcome = await DOCKER.build(options, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert "can't be asked: No such file or directory" in outcome.detail


async def test_something_else_that_answers_is_no_docker() -> None:
    async with serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as port:
        options = DOCKER.options.model_validate({"container": "photos", "host": f"tcp://127.0.0.1:{port}"})
        outcome = await DOCKER.build(options, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert "gave no state of photos: b'hi'" in outcome.detail


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param({"container": "../secrets"}, "is no name of a container", id="a path as name"),
        pytest.param({"container": "photos", "timeout": "5s", "stop_timeout": "5s"}, "leaves no time", id="no time"),
        pytest.param({"container": "photos", "stop_timeout": "500ms"}, "whole seconds", id="half a second"),
        pytest.param({"container": "photos", "host": "docker.sock"}, "path of a socket", id="a relative socket"),
        pytest.param({}, "Field required", id="no container"),
    ],
)
def test_options_that_can_not_work_are_refused(written: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        DOCKER.options.model_validate(written)
