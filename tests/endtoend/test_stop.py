"""SIGTERM at bad moments, and what systemd hears of the agent's life."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Receiver, Service, Slack, slack
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import outbox
from tests.processes import alive, executable, marked

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def paging(web: Service, channel: dict[str, object]) -> dict[str, object]:
    return {
        "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["people"]}],
        "channels": {"people": channel},
    }


@pytest.fixture
def silence() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_sigterm_ends_the_agent_and_its_children_within_10_s_whatever_hangs(
    make_agent: MakeAgent, web: Service, silence: int, tmp_path: Path
) -> None:
    """A child that is deaf to SIGTERM, a channel, a check and a trace collector that never answer, a restart that takes
    long, and a client that holds its connection."""
    slow_restart = executable(tmp_path / "slow.sh", f"#!/bin/sh\n: {tmp_path}\nexec sleep 300\n")
    hanging = {"type": "webhook", "url": f"http://127.0.0.1:{silence}/", "timeout": "30s"}
    broken = {"checks": [{"http": web.url}], "page": ["people"]}
    config: dict[str, object] = {
        "agent": {"traces": {"endpoint": f"http://127.0.0.1:{silence}", "sample": 1.0}},
        "services": [
            {"name": "paged", **broken},
            {"name": "restarted", **broken, "restart": {"command": {"argv": [str(slow_restart)], "timeout": "5m"}}},
            {
                "name": "hanging",
                "checks": [{"http": f"http://127.0.0.1:{silence}/", "every": "60s", "timeout": "60s"}],
            },
        ],
        "processes": {"deaf": {"command": [sys.executable, "-c", STUBBORN]}},
        "channels": {"people": hanging},
    }
    agent = make_agent(config)
    web.status = 503
    with agent.running():
        wait_for(lambda: agent.events("restart_begins"), 10)
        wait_for(lambda: agent.events("paged"), 10)
        with socket.create_connection(("127.0.0.1", agent.port)) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
            begin = monotonic()
            assert agent.stop() == 0
            assert monotonic() - begin < 10
        wait_for(lambda: not marked(str(tmp_path)), 5, "a child is left")
        assert "Traceback" not in agent.log
        agent.write({**config, "processes": {}, "channels": {"people": {"type": "console"}}})
        agent.start()
        agent.wait_until_ready()
        wait_for(lambda: [e for e in agent.events("restart_finished") if "interrupted" in e["text"]], 5)
    assert len(agent.events("restart_begins")) == 1, "the restart that was cut off was repeated"


def test_a_page_that_is_being_sent_is_sent_to_its_end(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    agent = make_agent(paging(web, hook.channel))
    web.status, hook.rule = 503, lambda _: (200, 1.5)
    with agent.running():
        wait_for(lambda: hook.begun, 10)
        assert not hook.taken()
        assert agent.stop() == 0
        assert [(row.kind, row.status) for row in outbox(agent.database)] == [("opened", "done")]
        agent.start()
        agent.wait_until_ready()
        runs = agent.runs("web")
        wait_for(lambda: agent.runs("web") >= runs + 2, 5)
    assert hook.begun == 1


def test_a_page_that_cannot_be_sent_before_the_end_is_kept_for_the_next_life(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(paging(web, hook.channel))
    web.status, hook.rule = 503, lambda _: (503, 0.0)
    with agent.running():
        wait_for(lambda: hook.begun >= 2, 10)
        assert agent.stop() == 0
        hook.rule = lambda _: (200, 0.0)
        agent.start()
        agent.wait_until_ready()
        wait_for(lambda: hook.taken("opened"), 10)
    assert len({got.key for got in hook.got}) == 1


def test_sigterm_ends_it_though_a_disk_never_answers(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    """A pipe that nobody writes to is read like a file on a server that is gone: for ever."""
    config = paging(web, hook.channel)
    agent = make_agent(config)
    os.mkfifo(agent.folder / "token")
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        beat = {"name": "job", "checks": [{"heartbeat": {"every": "1h"}, "token_file": "token"}]}
        agent.write({**config, "services": [*config["services"], beat]})  # type: ignore[misc]
        wait_for(lambda: agent.events("config_changed"), 5)
        runs = agent.runs("web")
        wait_for(lambda: agent.runs("web") >= runs + 2, 5, "checks wait for it")
        assert agent.stop() == 0
    assert agent.events("stopped")


def test_sigterm_while_it_starts_ends_it_too(make_agent: MakeAgent, web: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(20)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/api/"
        channel = {"type": "slack", "token": "xoxb-1", "channel": "#a", "api_url": url, "timeout": "60s"}
        agent = make_agent(paging(web, channel))
        agent.start()
        with deaf.accept()[0]:  # now it waits for Slack
            agent.signal(signal.SIGHUP)
            assert agent.stop() == 0
    assert "Traceback" not in agent.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_configuration_is_read_ends_it_in_good_order_and_sighup_does_not(
    make_agent: MakeAgent, web: Service, number: signal.Signals
) -> None:
    agent = make_agent(paging(web, {"type": "console"}))
    agent.path.unlink()
    os.mkfifo(agent.path)  # whoever reads it waits for a writer
    agent.start()
    writer = wait_for(lambda: opened_for_writing(agent.path), 20, "it never came to its configuration")
    agent.signal(signal.SIGHUP)
    agent.signal(number)
    os.close(writer)  # Python heeds a signal that comes just before a call that blocks when that call ends
    assert agent.process is not None
    assert agent.process.wait(10) == 0
    assert agent.log == ""


def opened_for_writing(fifo: Path) -> int:
    """Its descriptor; 0 as long as nobody reads it."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


def test_sigint_is_like_sigterm(make_agent: MakeAgent, web: Service) -> None:
    agent = make_agent({"services": [{"name": "web", "checks": [{"http": web.url}]}]})
    agent.start()
    agent.wait_until_ready()
    agent.signal(signal.SIGINT)
    assert agent.process is not None
    assert agent.process.wait(10) == 0
    assert not alive(agent.pid)


def test_systemd_hears_that_it_is_ready_lives_reloads_and_stops(
    make_agent: MakeAgent, web: Service, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        agent = make_agent(
            {"services": [{"name": "web", "checks": [{"http": web.url}]}]},
            env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"},
        )
        with agent.running():
            assert heard_until("READY=1", systemd)[0].startswith("READY=1")
            begin = monotonic()
            for _ in range(5):
                heard_until("WATCHDOG=1", systemd)
            assert monotonic() - begin < 2, "the watchdog would bite"
            agent.signal(signal.SIGHUP)
            heard_until("RELOADING=1", systemd)
            heard_until("READY=1", systemd)
            os.kill(agent.pid, signal.SIGSTOP)
            drain(systemd)
            systemd.settimeout(1.0)
            with pytest.raises(TimeoutError):  # a loop that hangs starves the watchdog
                systemd.recv(4096)
            systemd.settimeout(10)
            os.kill(agent.pid, signal.SIGCONT)
            heard_until("WATCHDOG=1", systemd)
            agent.signal(signal.SIGTERM)
            assert "WATCHDOG=1" not in heard_until("STOPPING=1", systemd)[-1]
            assert agent.process is not None
            assert agent.process.wait(10) == 0


def heard_until(wanted: str, systemd: socket.socket) -> list[str]:
    """What is said, up to the message that holds this."""
    heard: list[str] = []
    while not heard or wanted not in heard[-1].splitlines():
        heard.append(systemd.recv(4096).decode())
    return heard


def drain(systemd: socket.socket) -> None:
    systemd.settimeout(0.3)
    try:
        while True:
            systemd.recv(4096)
    except TimeoutError:
        pass


def test_slack_pages_once_over_a_stop_in_the_middle(make_agent: MakeAgent, web: Service) -> None:
    with slack() as standin:
        stopped_in_the_middle(make_agent, web, standin)


def stopped_in_the_middle(make_agent: MakeAgent, web: Service, standin: Slack) -> None:
    agent = make_agent(paging(web, standin.channel))
    with agent.running():
        standin.fail_next(method="chat.postMessage", delay=1.0, done=True)
        web.status = 503
        wait_for(standin.told, 10)
        assert agent.stop() == 0
        agent.start()
        agent.wait_until_ready()
        web.status = 200
        wait_for(lambda: [one for one in standin.told() if one["kind"] == "resolved"], 10)
    assert [one["kind"] for one in standin.told()] == ["opened", "resolved"]
