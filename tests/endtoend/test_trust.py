"""Restarts that people decide on, with the real agent and its commands: approved once, for what was shown, in time."""

import json
import re
import subprocess
import time
from pathlib import Path

from tests.endtoend.agent import CODEBLUE, Agent, cli, wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent
from tests.processes import executable


def question(agent: Agent) -> str:
    """The key of what people are asked about web."""
    (incident,) = json.loads(cli(agent, "incidents", "--json").stdout)["open"]
    key = incident["approval"]["key"]
    assert re.fullmatch(r"web-[0-9TZ.]+/approval/[0-9]+-[0-9a-f]{8}", key)
    return str(key)


def config(web: Service, hook: Receiver, script: Path, **restart: object) -> dict[str, object]:
    command = {"command": [str(script)], "verify": "30s", "backoff": "0s", **restart}
    services = [{"name": "web", "checks": [{"http": web.url}], "restart": command, "page": ["hook"]}]
    return {"services": services, "channels": {"hook": hook.channel}}


def restarts(folder: Path) -> Path:
    return executable(folder / "restart", f"#!/bin/sh\necho x >>{folder}/restarted\n")


def answered(agent: Agent, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with somebody at the keyboard."""
    argv = [CODEBLUE, *arguments, "--config", str(agent.path)]
    return subprocess.run(
        argv, cwd=agent.folder, env=agent.env, input=answer, capture_output=True, text=True, timeout=20, check=False
    )


def test_a_restart_is_asked_for_shown_approved_at_the_keyboard_and_done_once(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    agent = make_agent(config(web, hook, restarts(tmp_path), mode="ask"))
    done = tmp_path / "restarted"
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        web.status = 503
        page = wait_for(lambda: hook.taken("opened"), 15)[0].body
        assert page["note"] == "restart by command? Approve within 15 min: codeblue approve web"
        key = question(agent)
        no = answered(agent, "n\n", "approve", "web", "--by", "ana")
        assert no.returncode == 1
        assert "503" in no.stdout, "what fails is shown before the question"
        assert not done.exists()
        yes = answered(agent, "y\n", "approve", "web", "--by", "ana")
        assert (yes.returncode, yes.stdout.splitlines()[-1].endswith("web: approved")) == (0, True), yes
        wait_for(done.exists, 10, "it is restarted")
        again = cli(agent, "approve", "--yes", key)
        assert again.returncode != 0
        assert "nothing waits for an approval" in again.stderr
        web.status = 200
        wait_for(lambda: hook.taken("resolved"), 15)
        assert done.read_text() == "x\n"
        assert "ana approved the restart" in cli(agent, "explain", "web").stdout


def test_the_question_outlives_a_kill_of_the_agent_and_an_old_answer_counts_for_nothing(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    agent = make_agent(config(web, hook, restarts(tmp_path), mode="ask"))
    agent.start()
    agent.wait_until_ready()
    web.status = 503
    wait_for(lambda: hook.taken("opened"), 15)
    key = question(agent)
    agent.kill()
    with agent.running():
        assert cli(agent, "approve", "--yes", key[:-8] + "00000000").returncode != 0
        wait_for(lambda: agent.runs("web") >= 1, 10, "it has looked itself")
        wait_for(lambda: cli(agent, "approve", "--yes", key, "--by", "ana").returncode == 0)
        wait_for((tmp_path / "restarted").exists, 15)
        web.status = 200
        wait_for(lambda: hook.taken("resolved"), 15)
    assert (tmp_path / "restarted").read_text() == "x\n"


def test_nobody_answers_in_time_and_nothing_is_restarted(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    agent = make_agent(config(web, hook, restarts(tmp_path), mode="ask", approve_within="1s"))
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 15)
        key = question(agent)
        wait_for(lambda: "nobody approved the restart in time" in cli(agent, "explain", "web").stdout, 15)
        late = cli(agent, "approve", "--yes", key)
        assert late.returncode != 0
        assert "expired" in late.stderr
        assert not (tmp_path / "restarted").exists()


def test_shadow_says_what_it_would_have_done_and_does_nothing(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    agent = make_agent(config(web, hook, restarts(tmp_path), mode="shadow"))
    with agent.running():
        web.status = 503
        page = wait_for(lambda: hook.taken("opened"), 15)[0].body
        assert "would have restarted by command (mode: shadow)" in page["note"]
        assert "503" in page["summary"]
        assert not (tmp_path / "restarted").exists()


def test_what_is_being_deployed_is_restarted_only_after_the_deployment(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    script = executable(tmp_path / "restart", f"#!/bin/sh\ndate +%s.%N >>{tmp_path}/restarted\n")
    agent = make_agent(config(web, hook, script, at_most="1 per 1h"))
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        until = time.time() + 8
        said = cli(agent, "deployed", "web", "--for", "8s", "--by", "ci")
        assert said.returncode == 0, said.stderr
        assert "web: nothing is restarted until" in said.stdout
        web.status = 503
        wait_for(lambda: "incident opened" in cli(agent, "explain", "web").stdout, 15)
        stamp = tmp_path / "restarted"
        wait_for(lambda: stamp.exists() and stamp.read_text().endswith("\n"), 30)
        assert float(stamp.read_text()) >= until
        assert "being deployed by ci: nothing is restarted until" in cli(agent, "explain", "web").stdout
        web.status = 200
        wait_for(lambda: agent.health("web") == "up", 15)
    assert hook.taken("opened") == [], "nobody was woken for a deployment"
