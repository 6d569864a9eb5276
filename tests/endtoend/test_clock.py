"""The wall clock steps, or the whole agent is frozen: checks never stop, and nothing is missed for it."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.endtoend.agent import Agent, wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import beats

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="Debian's faketime is not installed")

HOUR, DAY = 3600, 86_400
STEPS = (HOUR, 400 * DAY, -400 * DAY, -2 * HOUR, -30 * DAY)  # from an hour after the start to a month before it


class WallClock:
    """The wall clock of an agent that runs under libfaketime; its monotonic clock is the real one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._offset = 0
        self.step(0)
        self.env = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, seconds: int) -> None:
        self._offset += seconds
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self._offset:+d}s\n")
        fresh.replace(self._file)


@pytest.fixture
def ill() -> Iterator[Service]:
    with Service(status=503).serving() as service:
        yield service


def two_services(web: Service, ill: Service, hook: Receiver) -> dict[str, object]:
    return {
        "services": [
            {"name": "web", "checks": [{"http": web.url}], "page": ["hook"]},
            {"name": "ill", "checks": [{"http": ill.url}], "page": ["hook"], "remind": "1h"},
            {"name": "job", "checks": [{"heartbeat": {"every": "1h", "grace": "1m"}, "name": "worker"}]},
        ],
        "channels": {"hook": hook.channel},
    }


@needs_faketime
def test_steps_of_the_wall_clock_stop_no_check_and_make_no_miss(
    make_agent: MakeAgent, web: Service, ill: Service, hook: Receiver, tmp_path: Path
) -> None:
    """With an incident open: it goes on, its reminder is not sent early, and it is closed when it is over."""
    clock = WallClock(tmp_path)
    agent = make_agent(two_services(web, ill, hook), clock.env)
    with agent.running():
        wait_for(lambda: hook.taken("opened", "ill"), 10)
        wait_for(lambda: agent.health("web") == "up")
        for number, step in enumerate(STEPS, 1):
            before, shown = agent.runs("web"), last_run(agent)
            clock.step(step)
            wait_for(lambda: agent.runs("web") >= before + 2, 3, f"checks have stopped after {step} s")  # noqa: B023
            assert abs(last_run(agent) - shown - step) < 10, "the agent does not live in the new time"
            assert len(agent.events("clock_stepped")) == number
            the_agent_s_own_chores_go_on(agent)
        passed = agent.value('codeblue_check_runs_total{service="web",check="http",type="http",verdict="pass"')
        assert passed == agent.runs("web")
        wait_for(lambda: agent.readyz()[0] == 200, 5)
        assert [got.kind for got in hook.got] == ["opened"], "a reminder or a false page was sent"
        ill.status = 200
        wait_for(lambda: hook.taken("resolved", "ill"), 5)
        ill.status = 503
        wait_for(lambda: len(hook.taken("opened", "ill")) == 2, 5, "a new failure is not seen any more")
    assert [got.service for got in hook.got if got.service != "ill"] == []


def last_run(agent: Agent) -> float:
    return agent.value('codeblue_check_last_run_timestamp_seconds{service="web"')


def the_agent_s_own_chores_go_on(agent: Agent) -> None:
    """Heartbeats are stored once a second."""
    before = beats(agent.database)
    assert agent.ask("/beat/job/worker", b"")[0] == 200
    wait_for(lambda: beats(agent.database) != before, 3, "nobody stores heartbeats any more")


@needs_faketime
@pytest.mark.parametrize("step", [pytest.param(400 * DAY, id="ahead"), pytest.param(-30 * DAY, id="back")])
def test_a_step_in_a_verify_window_leaves_the_window_as_long_as_it_was(
    step: int, make_agent: MakeAgent, ill: Service, hook: Receiver, tmp_path: Path
) -> None:
    """And the budget of restarts is as spent as it was before."""
    clock = WallClock(tmp_path)
    restart = {"command": ["/bin/true"], "at_most": "1 per 1h", "verify": "4s"}
    service = {"name": "ill", "checks": [{"http": ill.url}], "restart": restart, "page": ["hook"]}
    agent = make_agent({"services": [service], "channels": {"hook": hook.channel}}, clock.env)
    with agent.running():
        wait_for(lambda: agent.events("restart_finished"), 10)
        begin = monotonic()
        sleep(0.5)
        clock.step(step)
        wait_for(lambda: hook.taken("opened"), 8, "the window never ended")
        assert 3.5 < monotonic() - begin < 5.5
        assert "restart budget used up: 1 of 1" in hook.taken("opened")[0].body["note"]
    assert len(agent.events("restart_begins")) == 1


@needs_faketime
def test_heartbeats_are_neither_overdue_nor_excused_by_a_step(
    make_agent: MakeAgent, hook: Receiver, tmp_path: Path
) -> None:
    clock = WallClock(tmp_path)
    beat = {"heartbeat": {"every": "3s", "grace": "1s"}, "name": "worker"}
    service = {"name": "job", "checks": [beat], "page": ["hook"]}
    agent = make_agent({"services": [service], "channels": {"hook": hook.channel}}, clock.env)
    with agent.running():
        assert agent.ask("/beat/job/worker", b"")[0] == 200
        wait_for(lambda: agent.health("job") == "up")
        clock.step(HOUR)
        runs = agent.runs("job")
        wait_for(lambda: agent.runs("job") >= runs + 2, 4)
        assert agent.health("job") == "up"
        assert agent.ask("/beat/job/worker", b"")[0] == 200
        clock.step(-2 * HOUR)
        runs = agent.runs("job")
        wait_for(lambda: agent.runs("job") >= runs + 2, 4)
        assert agent.health("job") == "up"
        assert not hook.got
        wait_for(lambda: hook.taken("opened"), 12, "a beat that is missing is not seen any more")


def test_a_freeze_of_8_s_is_no_miss_for_healthy_targets_slow_ones_included(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    """Their answers come while the agent is frozen, and so do the ends of their timeouts."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, Service(delay=0.6).serving() as slow:
        port = listener.getsockname()[1]
        checks = [
            *({"http": slow.url, "timeout": "1s", "name": f"slow{number}"} for number in range(6)),
            *({"http": web.url, "name": f"quick{number}"} for number in range(6)),
            {"tcp": f"127.0.0.1:{port}"},
            {"command": ["/bin/sleep", "0.5"], "timeout": "1s"},  # it is given nine tenths of that
        ]
        service = {"name": "web", "checks": checks, "page": ["hook"]}
        agent = make_agent({"defaults": FAST_BUT_PATIENT, "services": [service], "channels": {"hook": hook.channel}})
        with agent.running():
            wait_for(lambda: agent.health("web") == "up", 15)
            os.kill(agent.pid, signal.SIGSTOP)
            sleep(8)
            os.kill(agent.pid, signal.SIGCONT)
            runs = agent.runs("web")
            wait_for(lambda: agent.runs("web") >= runs + 3 * len(checks), 12, "checks have stopped")
            status, body = agent.ask("/metrics")
            assert status == 200
            misses = [line for line in body.decode().splitlines() if line.startswith("codeblue_check_misses{")]
            assert [line for line in misses if not line.endswith(" 0")] == []
            assert agent.events("missed") == []
            wait_for(lambda: agent.health("web") == "up", 5)
            wait_for(lambda: agent.readyz()[0] == 200, 3, "it does not see that it is over")
    assert not hook.got


FAST_BUT_PATIENT = {"every": "1s", "timeout": "900ms", "misses": 2, "retry": "200ms", "recover": 1}
