"""Silences and maintenance from the command line to the receiver, with the real agent."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.endtoend.agent import Agent, cli, wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent


@pytest.fixture
def agent(make_agent: MakeAgent, web: Service, hook: Receiver) -> Agent:
    return make_agent(
        {
            "channels": {"oncall": {"type": "webhook", "url": hook.url}},
            "services": [
                {"name": "web", "checks": [{"http": web.url}], "page": "oncall", "labels": {"team": "shop"}},
                {"name": "other", "checks": [{"http": web.url}], "page": "oncall"},
            ],
        }
    )


def kinds(hook: Receiver, service: str = "web") -> list[str]:
    return [got.kind for got in hook.got if got.service == service]


def silenced(agent: Agent, *arguments: str) -> str:
    """Makes a silence; its id."""
    said = cli(agent, "silence", "add", *arguments, "--json")
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["id"])


def quiet(agent: Agent, service: str = "web") -> str:
    incident = agent.service(service)["incident"]
    return str(incident["quiet"]) if incident else ""


def test_a_silence_holds_the_page_back_and_its_end_by_hand_sends_it(agent: Agent, web: Service, hook: Receiver) -> None:
    with agent.running():
        name = silenced(agent, "team=shop", "--for", "1h", "--comment", "deploy", "--by", "bob")
        web.status = 500
        wait_for(lambda: "opened" in kinds(hook, "other"), why="the other service pages")
        wait_for(lambda: quiet(agent).startswith("silenced by bob until"), why="the page is held back")
        assert quiet(agent).endswith(": deploy")
        assert kinds(hook) == []
        assert any("nobody is asked: silenced by bob" in one["text"] for one in agent.timeline("web"))
        wait_for(lambda: agent.value('codeblue_quiet_services{kind="silence"}') == 1, 15, "the metric")
        assert agent.value('codeblue_silences{state="active"}') == 1
        said = cli(agent, "silence", "expire", name, "--by", "ann")
        assert (said.returncode, said.stdout) == (0, f"{name}: team=shop is not silenced by it any more\n")
        wait_for(lambda: kinds(hook) == ["opened"], why="the page comes after all")
        web.status = 200
        wait_for(lambda: kinds(hook) == ["opened", "resolved"], why="and is closed")


def test_a_silence_outlives_a_kill_of_the_agent(agent: Agent, web: Service, hook: Receiver) -> None:
    agent.start()
    agent.wait_until_ready()
    name = silenced(agent, "team=shop", "--for", "1h")
    agent.kill()
    web.status = 500
    with agent.running():
        listed = json.loads(cli(agent, "silence", "list", "--json").stdout)
        assert [one["id"] for one in listed] == [name]
        wait_for(lambda: "opened" in kinds(hook, "other"), why="the other service pages")
        wait_for(lambda: quiet(agent), why="the page is held back")
        assert kinds(hook) == []


def test_until_resolved_ends_with_the_incident_and_the_next_one_pages(
    agent: Agent, web: Service, hook: Receiver
) -> None:
    with agent.running():
        web.status = 500
        wait_for(lambda: kinds(hook) == ["opened"], why="the page")
        silenced(agent, "team=shop", "--until-resolved")
        wait_for(lambda: quiet(agent), why="it is silenced")
        web.status = 200
        wait_for(lambda: kinds(hook)[-1] == "resolved", why="who was asked is told the end")
        wait_for(lambda: json.loads(cli(agent, "silence", "list", "--json").stdout) == [], why="the silence is over")
        web.status = 500
        wait_for(lambda: kinds(hook)[-1] == "opened", why="the next incident pages")


def test_a_planned_window_opens_by_a_reload_and_restarts_nothing(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    restarted = tmp_path / "restarted"
    config = {
        "channels": {"oncall": {"type": "webhook", "url": hook.url}},
        "services": [
            {
                "name": "web",
                "checks": [{"http": web.url}],
                "page": "oncall",
                "restart": {"command": ["/usr/bin/touch", str(restarted)], "verify": "2s", "at_most": "1 per 1h"},
            }
        ],
    }
    begin = datetime.now(UTC) - timedelta(minutes=5)
    window = {"name": "disks", "match": "service=web", "from": begin.isoformat(), "for": "1h", "comment": "new disks"}
    agent = make_agent(config)
    with agent.running():
        agent.write({**config, "maintenance": [window]})
        agent.signal(signal.SIGHUP)
        wait_for(lambda: "disks" in cli(agent, "maintenance", "list").stdout, why="the window is in force")
        web.status = 500
        wait_for(lambda: quiet(agent).startswith("maintenance until"), why="nobody is asked")
        assert not restarted.exists()
        assert kinds(hook) == []
        ended = cli(agent, "maintenance", "end", "disks")
        assert ended.returncode == 0, ended.stderr
        wait_for(restarted.exists, why="it is restarted at the end of the window")
        wait_for(lambda: kinds(hook), 20, why="and people are asked when that has not helped")


def test_the_commands_speak_plainly(agent: Agent) -> None:
    with agent.running():
        nothing = cli(agent, "silence", "list")
        assert nothing.stdout == "no silences\n"
        made = cli(agent, "silence", "add", "service=web", "--for", "2h")
        assert made.returncode == 0
        assert made.stdout.endswith(": service=web (1 service)\n")
        assert ": silenced until " in made.stdout
        slip = cli(agent, "silence", "add", "team=shpo", "--for", "2h")
        assert (slip.returncode, "did you mean 'shop'?" in slip.stderr) == (0, True)
        assert "service=web" in cli(agent, "silence", "list").stdout
        previewed = cli(agent, "silence", "preview", "team=shop").stdout
        assert "team=shop means 1 service" in previewed
        assert "0 pages since" in previewed
        window = ["team=shop", "--cron", "0 2 * * sun", "--for", "2h", "--zone", "Europe/Berlin"]
        assert "Europe/Berlin" in cli(agent, "maintenance", "preview", *window).stdout
        added = cli(agent, "maintenance", "add", *window, "--comment", "backup")
        assert added.returncode == 0, added.stderr
        assert "02:00 to 04:00 Europe/Berlin" in added.stdout
        assert "backup" in cli(agent, "maintenance", "list").stdout
        now = cli(agent, "maintenance", "add", "service=web", "--for", "10m", "--zone", "UTC")
        assert "is under maintenance" in now.stdout
        assert cli(agent, "maintenance", "end", now.stdout.split(":")[0]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        pytest.param(["silence", "add", "service=web"], 2, "--for 2h", id="for how long?"),
        pytest.param(["silence", "add", "--for", "2h"], 2, "--all", id="what?"),
        pytest.param(["silence", "add", "serivce=web", "--for", "2h"], 2, "did you mean 'service'?", id="attribute"),
        pytest.param(["silence", "add", "all", "--for", "2h"], 1, "--all", id="everything"),
        pytest.param(["silence", "add", "service=wbe", "--for", "2h"], 2, "did you mean 'web'?", id="service"),
        pytest.param(["silence", "add", "service=web", "--for", "2h", "--from", "x"], 2, "Mon 09:00", id="when?"),
        pytest.param(["silence", "add", "service=web", "--for", "2", "hours"], 2, "write the unit", id="no unit"),
        pytest.param(["silence", "add", "service=web", "--until", "soon"], 2, "--until: expected", id="until when?"),
        pytest.param(["silence", "add", "service=web", "--for", "1h", "--until", "+2h"], 2, "got both", id="two ends"),
        pytest.param(["silence", "add", "service=web", "--for", "1h", "--zone", "Mars"], 2, "--zone", id="no zone"),
        pytest.param(["silence", "expire", "s-1"], 2, "there is no silence 's-1'", id="no such silence"),
        pytest.param(["maintenance", "add", "service=web"], 2, "--for 2h", id="how long?"),
        pytest.param(["maintenance", "add", "service=web", "--for", "2h", "--cron", "x"], 2, "five fields", id="cron"),
        pytest.param(["maintenance", "preview", "m-1"], 2, "there is no window 'm-1'", id="no window to look at"),
        pytest.param(["maintenance", "end", "m-1"], 2, "there is no window 'm-1'", id="no such window"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(shared: Agent, arguments: list[str], code: int, hint: str) -> None:
    said = cli(shared, *arguments)
    assert (said.returncode, hint in said.stderr) == (code, True), said.stderr
    assert "Traceback" not in said.stderr


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("shared")
    config = {
        "services": [
            {"name": "web", "checks": [{"tcp": "127.0.0.1:9"}]},
            {"name": "api", "checks": [{"tcp": "127.0.0.1:9"}]},
        ]
    }
    agent = Agent(folder, config, os.environ)
    with agent.running():
        yield agent
