"""Who is on call in the real daemon: overrides over a kill and a reload, by the command line."""

import json
from typing import Any

from tests.endtoend.agent import Agent, cli, wait_for
from tests.endtoend.conftest import MakeAgent


def team(number: str = "2") -> dict[str, Any]:
    layers = [{"people": ["alice"], "every": "weekly", "start": "2024-01-01"}]
    return {
        "channels": {"sms": {"type": "console"}},
        "people": {"alice": {"contacts": {"sms": "1"}}, "bob": {"contacts": {"sms": number}}},
        "oncall": {"primary": {"zone": "UTC", "layers": layers}},
        "escalation": {"default": {"steps": [{"notify": ["primary"], "wait": "5m"}]}},
        "services": [{"name": "here", "checks": [{"file": "/etc/hostname"}]}],
    }


def on_call(agent: Agent) -> list[str]:
    said = cli(agent, "oncall", "now", "--json")
    assert said.returncode == 0, said.stderr
    names: list[str] = json.loads(said.stdout)[0]["people"]
    return names


def test_an_override_counts_at_once_after_a_kill_and_after_a_reload_until_it_is_removed(make_agent: MakeAgent) -> None:
    agent = make_agent(team())
    with agent.running():
        assert on_call(agent) == ["alice"]
        made = cli(agent, "oncall", "override", "primary", "bob", "--until", "+8h", "--by", "alice", "--zone", "UTC")
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith("o1: primary: bob from ")
        assert on_call(agent) == ["bob"]
        agent.kill()
        agent.start()
        agent.wait_until_ready()
        assert on_call(agent) == ["bob"]
        agent.write(team(number="3"))
        wait_for(lambda: agent.events("config_reloaded"))
        assert on_call(agent) == ["bob"]
        assert "o1" in cli(agent, "oncall", "overrides").stdout
        assert cli(agent, "oncall", "remove", "o1").returncode == 0
        assert on_call(agent) == ["alice"]
        assert cli(agent, "oncall", "remove", "o1").returncode == 2
