"""Programs as the check sees them, on a real supervisord."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, Tools
from agent.supervisor_api import Program, SupervisordTarget
from checks.supervisord import SUPERVISORD, judge
from tests.processes import frozen
from tests.supervisor import Supervisor, supervisord, why_not

PASS, WARN, FAIL, UNKNOWN = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN
real = pytest.mark.skipif(bool(why_not()), reason=why_not() or "supervisord runs here")
PROGRAMS = {
    "runs": "exec sleep 99\n---\nstartsecs=0\n",
    "stopped": "exec sleep 99\n---\nstartsecs=0\n",
    "young": "exec sleep 99\n---\nstartsecs=90\n",
    "deaf": "trap '' TERM\nwhile :; do sleep 0.1; done\n---\nstartsecs=0\nstopwaitsecs=5\n",
    "exited": "exit 3\n---\nstartsecs=0\nautorestart=false\n",
    "fatal": "exit 7\n---\nstartsecs=1\nstartretries=0\n",
    "backoff": "exit 7\n---\nstartsecs=1\nstartretries=99\n",
}


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with supervisord(tmp_path_factory.mktemp("supervisord"), PROGRAMS) as supervisor:
        yield supervisor


def context(timeout: float = 5) -> CheckContext:
    return CheckContext("photos", "program", timeout, cast(Tools, SimpleNamespace()))


async def run(supervisor: Supervisor, name: str, timeout: float = 5) -> CheckResult:
    return await SUPERVISORD.run(SupervisordTarget(program=name, server=str(supervisor.socket)), context(timeout))


@real
@pytest.mark.parametrize(
    ("name", "verdict", "reason", "summary"),
    [
        ("runs", PASS, "ok", "runs is RUNNING: pid "),
        ("young", WARN, "starting", "young is STARTING: pid "),
        ("deaf", WARN, "stopping", "deaf is STOPPING: pid "),
        ("stopped", FAIL, "stopped", "stopped is STOPPED: since "),
        ("exited", FAIL, "exited", "exited is EXITED: exit code 3 at "),
        ("fatal", FAIL, "fatal", "fatal is FATAL: Exited too quickly"),
        ("backoff", FAIL, "backoff", "backoff is BACKOFF: Exited too quickly"),
        ("nowhere", FAIL, "not_found", "supervisord has no program nowhere"),
    ],
)
async def test_a_programs_state_has_a_meaning(
    supervisor: Supervisor, name: str, verdict: Verdict, reason: str, summary: str
) -> None:
    if name == "stopped":
        supervisor("stop", name)
    elif name == "deaf":
        supervisor("signal", "CONT", name)
        await stop_without_waiting(supervisor, name)
    elif verdict is FAIL and name != "nowhere":
        supervisor.wait(name, reason.upper())
    result = await run(supervisor, name)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.summary.startswith(summary)


async def stop_without_waiting(supervisor: Supervisor, name: str) -> None:
    from agent.supervisor_api import call

    await call(SupervisordTarget(program=name, server=str(supervisor.socket)), "stopProcess", name, False, timeout=5)


def test_figures_and_a_state_that_is_not_known() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    running = Program(name="photos", state="RUNNING", now=now, started=now.replace(hour=2), pid=7)
    assert judge(running, context()).values == {"uptime": 3600}
    assert judge(running, context()).summary == "photos is RUNNING: pid 7, up 1h"
    ended = Program(name="photos", state="EXITED", now=now, exit_status=3)
    assert judge(ended, context()).values == {"exit_status": 3}
    unknown = judge(Program(name="photos", state="UNKNOWN", now=now), context())
    assert (unknown.verdict, unknown.reason) == (UNKNOWN, "state")


def test_a_clock_that_was_set_back_gives_no_negative_uptime() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert Program(name="photos", state="RUNNING", now=now, started=now.replace(hour=4)).uptime.total_seconds() == 0


@real
async def test_a_supervisord_that_hangs_says_nothing_about_the_program(supervisor: Supervisor) -> None:
    assert supervisor.process is not None
    with frozen(supervisor.process.pid):
        result = await run(supervisor, "runs", timeout=1)
    assert (result.verdict, result.reason) == (UNKNOWN, "timeout")
    assert result.took.total_seconds() < 1


async def test_without_supervisord_nothing_is_said_about_the_program(tmp_path: Path) -> None:
    result = await SUPERVISORD.run(SupervisordTarget(program="photos", server=str(tmp_path / "s")), context())
    assert (result.verdict, result.reason) == (UNKNOWN, "missing")
