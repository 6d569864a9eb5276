"""The real agent before a real HAProxy: a replica is drained for its restart, and never left so for ever."""

from pathlib import Path

import pytest

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Service
from tests.endtoend.conftest import MakeAgent
from tests.haproxy import Haproxy, haproxy, why_not
from tests.processes import executable

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "HAProxy runs here")


def config(web: Service, ha: Haproxy, script: Path) -> dict[str, object]:
    restart = {
        "command": [str(script)],
        "at_most": "1 per 1h",
        "verify": "30s",
        "drain": {"haproxy": {"server": "web/web-1", "socket": str(ha.socket), "wait": "1s"}},
    }
    return {"services": [{"name": "web-1", "checks": [{"http": web.url}], "restart": restart}]}


def test_a_server_is_out_during_its_restart_and_back_once_its_checks_pass(
    make_agent: MakeAgent, web: Service, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with haproxy(tmp_path_factory.mktemp("ha"), web_1=web.port, web_2=1) as ha:
        script = executable(tmp_path / "restart", f"#!/bin/sh\n> {tmp_path}/restarted\n")
        with make_agent(config(web, ha, script)).running():
            web.status = 503
            wait_for(lambda: (tmp_path / "restarted").exists(), 20)
            assert (ha.state("web-1"), ha.state("web-2")) == (8, 0)
            web.status = 200
            wait_for(lambda: ha.state("web-1") == 0, 20, "the server is put back")


def test_an_agent_that_is_killed_between_drain_and_undrain_leaves_it_to_the_next_one(
    make_agent: MakeAgent, web: Service, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with haproxy(tmp_path_factory.mktemp("ha"), web_1=web.port) as ha:
        script = executable(tmp_path / "restart", f"#!/bin/sh\necho >> {tmp_path}/restarted\n")
        agent = make_agent(config(web, ha, script))
        agent.start()
        agent.wait_until_ready()
        web.status = 503
        wait_for(lambda: ha.state("web-1") == 8 and (tmp_path / "restarted").exists(), 20, "it is drained")
        agent.kill()
        assert ha.state("web-1") == 8
        web.status = 200
        with agent.running():
            wait_for(lambda: ha.state("web-1") == 0, 20, "the next agent puts it back")
        assert (tmp_path / "restarted").read_text() == "\n"
