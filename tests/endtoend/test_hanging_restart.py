"""Restarts that never end and services that never stay, for real: programs that ignore SIGTERM, and a crash loop."""

import sys
from pathlib import Path

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent
from tests.processes import executable, marked
from tests.servers import free_port

HANGS = """#!/bin/sh
trap '' TERM
echo "asked systemd"
echo $$ >>"$1"
sleep 600 &
sleep 600
"""

CRASHES = """
import sys
with open(sys.argv[1], "a") as starts:
    starts.write("x")
sys.exit("out of luck")
"""


def test_a_restart_that_hangs_is_killed_with_all_it_started_and_paged_while_checks_go_on(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    begun, mark = tmp_path / "begun", f"{tmp_path}/hangs"
    argv = [str(executable(tmp_path / "restart", HANGS)), str(begun)]
    command = {"argv": argv, "timeout": "4s", "env": {"MARK": mark}}
    with Service().serving() as well:
        agent = make_agent(
            {
                "services": [
                    {
                        "name": "stuck",
                        "checks": [{"http": web.url}],
                        "restart": {"command": command, "at_most": "1 per 1h"},
                        "page": ["hook"],
                    },
                    {"name": "well", "checks": [{"http": well.url}]},
                ],
                "channels": {"hook": hook.channel},
            }
        )
        with agent.running():
            web.status = 503
            wait_for(lambda: len(marked(mark)) == 3, 20, "a shell and two that it started")
            before = agent.runs("well")
            wait_for(lambda: hook.taken("opened", "stuck"), 30)
            assert agent.runs("well") >= before + 2, "the others are looked at meanwhile"
            page = hook.taken("opened", "stuck")[0].body
            assert "restart did not end within 4s" in str(page)
            assert "asked systemd" in str(page["evidence"]), page
            wait_for(lambda: not marked(mark), 5, "the whole group is gone")
            assert len(begun.read_text().split()) == 1, "it is not tried again"
            assert agent.value('codeblue_restarts_total{action="command",outcome="timeout",service="stuck"}') == 1


def test_a_process_in_a_crash_loop_is_started_as_often_as_its_budget_says_and_paged_once(
    make_agent: MakeAgent, hook: Receiver, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    program = tmp_path / "crashes.py"
    program.write_text(CRASHES)
    agent = make_agent(
        {
            "processes": {"fragile": {"command": [sys.executable, "-I", str(program), str(starts)]}},
            "services": [
                {
                    "name": "fragile",
                    "checks": [{"tcp": f"127.0.0.1:{free_port()}"}],
                    "restart": {"process": "fragile", "at_most": "3 per 1h", "backoff": "0s", "verify": "3s"},
                    "page": ["hook"],
                }
            ],
            "channels": {"hook": hook.channel},
        }
    )
    with agent.running():
        wait_for(lambda: hook.taken("opened", "fragile"), 60)
        assert starts.read_text() == "xxxx", "the agent's own start, and the three of its budget"
        page = hook.taken("opened", "fragile")[0].body
        assert "out of luck" in str(page["evidence"]), "its last words"
        assert "3" in page["note"]
