"""The command line as people and scripts use it: piped, with typos, against a live agent."""

import json
import re

import pytest

from tests.endtoend.agent import Agent, cli, codeblue, wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent

COMMANDS = [
    (),
    ("run",),
    ("validate",),
    ("schema",),
    ("check",),
    ("status",),
    ("incidents",),
    ("explain",),
    ("dead-letters",),
    ("dead-letters", "list"),
    ("dead-letters", "replay"),
    ("logs",),
    ("logs", "search"),
    ("logs", "tail"),
    ("demo",),
]


def no_colours(text: str) -> str:
    assert "\x1b" not in text
    return text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "codeblue")
def test_every_command_has_help(command: tuple[str, ...], make_agent: MakeAgent) -> None:
    said = codeblue(*command, "--help", cwd=make_agent({}).folder)
    assert said.returncode == 0
    assert "Usage: codeblue" in no_colours(said.stdout)
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        pytest.param(["statsu"], "status", id="a command"),
        pytest.param(["run", "--confg", "x"], "--config", id="an option"),
        pytest.param(["explain"], "service", id="an argument that is missing"),
        pytest.param(["check", "wbe"], "web", id="a service"),
        pytest.param(["check", "web/htp"], "web/http", id="a check"),
        pytest.param(["check"], "--all", id="no name at all"),
        pytest.param(["dead-letters", "replay"], "--all", id="no key at all"),
        pytest.param(["incidents", "--since", "7"], "7m", id="a duration without its unit"),
        pytest.param(["explain", "web", "--since", "yesterday"], "1h30m", id="a duration that is none"),
        pytest.param(["logs", "search", "x", "--since", "soon"], "1h30m", id="a duration of a search"),
        pytest.param(["logs", "search", "(", "--regex"], "(", id="a regular expression"),
        pytest.param(["logs", "tail", "--level", "loud"], "loud", id="a level"),
    ],
)
def test_a_slip_of_the_hand_is_misuse_with_a_hint(arguments: list[str], hint: str, make_agent: MakeAgent) -> None:
    agent = make_agent({"services": [{"name": "web", "checks": [{"http": "http://127.0.0.1:9/"}]}]})
    said = codeblue(*arguments, cwd=agent.folder)
    assert said.returncode == 2, said.stderr
    assert hint in no_colours(said.stderr)
    assert "Traceback" not in said.stderr


def test_without_an_agent_it_says_what_to_do(make_agent: MakeAgent, web: Service) -> None:
    agent = make_agent({"services": [{"name": "web", "checks": [{"http": web.url}]}]})
    for arguments in (["status"], ["incidents"], ["explain", "web"], ["dead-letters", "list"]):
        said = cli(agent, *arguments)
        assert said.returncode == 1
        assert "codeblue run" in said.stderr
        assert "Traceback" not in said.stderr
    good = cli(agent, "validate")
    assert (good.returncode, good.stderr) == (0, "")
    assert "1 service, 1 check, 0 channels" in no_colours(good.stdout)
    assert json.loads(codeblue("schema", cwd=agent.folder).stdout)["$schema"]


def test_checks_are_run_once_from_here(make_agent: MakeAgent, web: Service) -> None:
    with Service(status=503).serving() as ill:
        services = [{"name": name, "checks": [{"http": one.url}]} for name, one in (("web", web), ("ill", ill))]
        agent = make_agent({"services": services})
        fine = cli(agent, "check", "web")
        assert (fine.returncode, fine.stderr) == (0, "")
        assert "web/http" in no_colours(fine.stdout)
        both = cli(agent, "check", "--all", "--json")
        assert both.returncode == 1
        assert [(row["service"], row["verdict"]) for row in json.loads(both.stdout)] == [
            ("web", "pass"),
            ("ill", "fail"),
        ]


def test_an_outage_as_the_command_line_tells_it(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    agent = make_agent(
        {
            "services": [
                {"name": "web", "checks": [{"http": web.url}], "page": ["hook"]},
                {"name": "calm", "checks": [{"http": web.url, "misses": 1000}]},
            ],
            "channels": {"hook": hook.channel},
        }
    )
    with agent.running():
        wait_for(lambda: agent.health("web") == agent.health("calm") == "up")
        quiet = cli(agent, "incidents")
        assert (quiet.returncode, quiet.stdout.strip()) == (0, "no open incident")
        assert cli(agent, "status").returncode == 0
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 10)
        down = cli(agent, "status", "--json")
        assert down.returncode == 1
        worst = json.loads(down.stdout)[0]
        assert (worst["name"], worst["health"]) == ("web", "down")
        assert "web" in no_colours(cli(agent, "status").stdout)
        found = json.loads(cli(agent, "incidents", "--json").stdout)
        assert [one["service"] for one in found["open"]] == ["web"]
        assert "503" in no_colours(cli(agent, "incidents").stdout)
        ours = no_colours(cli(agent, "deployed", "web").stdout)
        assert re.fullmatch(r"web: nothing is restarted until .*\d\d:\d\d \S+ \((2 min|1 min \d+ s) left\)\n", ours)
        why = no_colours(cli(agent, "explain", "web").stdout)
        assert "http: missed beat 1 of 2" in why
        assert "asked hook to page" in why
        assert json.loads(cli(agent, "explain", "web", "--json").stdout)["timeline"]
        for command in ("explain", "ack", "drill"):
            nobody = cli(agent, command, "wbe")
            assert nobody.returncode == 2
            assert nobody.stderr == "codeblue: there is no service 'wbe': did you mean 'web'?\n"


def test_an_agent_is_asked_without_its_secrets_and_while_its_files_are_being_edited(
    make_agent: MakeAgent, web: Service
) -> None:
    services = [{"name": "web", "checks": [{"http": web.url}], "labels": {"team": "${TEAM}"}}]
    agent = make_agent({"services": services}, env={"TEAM": "shop"})
    mine = {name: value for name, value in agent.env.items() if name != "TEAM"}
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        for _ in range(2):
            said = codeblue("status", "--json", cwd=agent.folder, env=mine)
            assert (said.returncode, said.stderr) == (0, "")
            assert [one["name"] for one in json.loads(said.stdout)] == ["web"]
            agent.write({"services": [*services, {"nam": "half of a serv"}]})
        refused = codeblue("validate", cwd=agent.folder, env=mine)
        assert refused.returncode == 2
        assert "TEAM is not set" in refused.stderr
        agent.write({"agent": {"listen": "here"}, "services": services})
        assert codeblue("status", cwd=agent.folder, env=mine).returncode == 2


def test_a_dead_letter_is_listed_and_replayed_under_its_own_key(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}],
            "channels": {"hook": hook.channel},
        }
    )
    hook.rule = lambda _: (400, 0.0)
    with agent.running():
        assert cli(agent, "dead-letters", "list").stdout.strip() == "no dead letters"
        web.status = 503
        wait_for(lambda: agent.value("codeblue_dead_letters") == 1, 10)
        listed = no_colours(cli(agent, "dead-letters", "list").stdout)
        assert "answered 400" in listed
        letter = json.loads(cli(agent, "dead-letters", "list", "--json").stdout)[0]
        key = letter["command"]["key"]
        assert key == hook.got[0].key
        assert any("dead letters" in text for text in agent.readyz()[1]["degraded"])
        again = cli(agent, "dead-letters", "replay", key)
        assert again.stdout.strip() == "1 sent again"
        wait_for(lambda: agent.value("codeblue_dead_letters") == 1 and len(hook.got) == 2, 5, "it died again")
        hook.rule = lambda _: (200, 0.0)
        unknown = cli(agent, "dead-letters", "replay", "no-such-key")
        assert unknown.returncode == 1
        assert "no-such-key" in unknown.stderr
        assert cli(agent, "dead-letters", "replay", "--all").stdout.strip() == "1 sent again"
        wait_for(lambda: [got.key for got in hook.taken("opened")] == [key], 5)
        wait_for(lambda: agent.value("codeblue_dead_letters") == 0, 5)
        web.status = 200
        wait_for(lambda: hook.taken("resolved"), 10)
        assert len(hook.taken("resolved")) == 1
        hook.rule = lambda _: (400, 0.0)
        web.status = 503
        wait_for(lambda: agent.value("codeblue_dead_letters") == 1, 10)
        hook.rule = lambda _: (200, 0.0)
        web.status = 200
        wait_for(lambda: len(hook.taken("resolved")) == 2, 10)
        late = cli(agent, "dead-letters", "replay", "--all")
        assert late.stdout.strip() == "0 sent again; 1 page dropped: the incident is over"
        assert cli(agent, "dead-letters", "list").stdout.strip() == "no dead letters"
    assert len(hook.taken("opened")) == 1, "nobody is woken by what is over"


def test_log_lines_are_found_while_the_agent_runs_and_when_it_does_not(make_agent: MakeAgent, web: Service) -> None:
    agent = make_agent({})
    source = agent.folder / "web.log"
    source.write_text("")
    agent.write(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}]}],
            "logs": [{"files": [str(source)], "service": "web"}],
        }
    )
    with agent.running():
        with source.open("a") as log:
            log.write('{"level": "error", "message": "disk on fire"}\n{"level": "info", "message": "all is well"}\n')
        wait_for(lambda: "fire" in cli(agent, "logs", "search", "fire").stdout, 10)
        finds_the_error(agent)
    finds_the_error(agent)
    assert len(no_colours(cli(agent, "logs", "tail", "web").stdout).splitlines()) == 2
    assert len(cli(agent, "logs", "tail", "--level", "error").stdout.splitlines()) == 1
    nothing = cli(agent, "logs", "search", "water")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    for slip in (["search", "fire", "--service", "wbe"], ["tail", "wbe", "--follow"]):
        said = cli(agent, "logs", *slip)
        assert (said.returncode, said.stdout) == (2, "")
        assert "there is no service 'wbe': did you mean 'web'?" in said.stderr


def finds_the_error(agent: Agent) -> None:
    found = cli(agent, "logs", "search", "fire", "--json")
    assert found.returncode == 0
    assert [json.loads(line)["level"] for line in found.stdout.splitlines()] == ["error"]
