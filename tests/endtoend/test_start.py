"""What an agent refuses to start with, and what it starts in spite of."""

import socket

import yaml

from tests.endtoend.agent import Agent, cli, codeblue, wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent
from tests.servers import free_port


def with_token(token: str, web: Service, slack: Slack) -> dict[str, object]:
    channel = {**slack.channel, "token": token}
    return {
        "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["oncall"]}],
        "channels": {"oncall": channel},
    }


def test_a_pager_whose_credentials_are_refused_does_not_start_unless_told_to(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    agent = make_agent(with_token("xoxb-2222-nobodys", web, slack))
    refused = cli(agent, "run")
    assert refused.returncode == 2
    assert "channels.oncall" in refused.stderr
    assert "invalid_auth" in refused.stderr
    assert "--allow-unverified" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "nobodys" not in refused.stderr
    assert not web.asked
    with agent.running("--allow-unverified"):
        wait_for(lambda: agent.health("web") == "up")
        assert any("oncall" in text for text in agent.readyz()[1]["degraded"])


def test_a_pager_that_cannot_be_asked_now_is_used_and_asked_again(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    """After a power cut everything starts at the same time: an agent that gave up would watch nothing."""
    agent = make_agent(with_token(slack.token, web, slack))
    slack.fail_next(method="auth.test", status=503)
    with agent.running():
        assert any("oncall" in text for text in agent.readyz()[1]["degraded"])
        web.status = 503
        wait_for(slack.told, 10, "the page is not there")
        wait_for(lambda: agent.readyz()[1]["degraded"] == [], 12, "it was not asked again")


def test_an_address_in_use_is_an_error_that_says_so(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}],
            "channels": {"hook": hook.channel},
        }
    )
    with socket.create_server(("127.0.0.1", agent.port)):
        refused = cli(agent, "run")
    assert refused.returncode == 1
    assert f"127.0.0.1:{agent.port} is in use" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not web.asked


def test_a_second_agent_on_the_same_configuration_does_not_disturb_the_first(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}],
            "channels": {"hook": hook.channel},
        }
    )
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 10)
        assert cli(agent, "run").returncode == 1
        web.status = 200
        wait_for(lambda: hook.taken("resolved"), 10)
        assert agent.readyz()[0] == 200
    assert len(hook.taken("opened")) == len(hook.taken("resolved")) == 1


def test_a_second_agent_of_the_same_name_on_the_same_database_is_refused_and_does_nothing(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    """Two files in one folder: both agents have the host's name and the same database by default."""
    one = {"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}
    config = {"services": [one], "channels": {"hook": hook.channel}}
    agent = make_agent(config)
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 10)
        other = agent.folder / "other.yaml"
        own = {"name": "test", "listen": f"127.0.0.1:{free_port()}"}
        other.write_text(yaml.safe_dump({**config, "agent": own, "services": [{**one, "name": "more"}]}))
        refused = codeblue("run", "--config", str(other), cwd=agent.folder)
        assert refused.returncode == 1
        assert f"the agent test (process {agent.pid}) runs on this database" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert hook.taken("resolved") == [], "the incident of the first was closed by the second"
        agent.kill()
        agent.start()  # a lock that outlived its holder would keep it from that
        agent.wait_until_ready()
        web.status = 200
        wait_for(lambda: hook.taken("resolved"), 10)


def test_a_missing_configuration_is_misuse(make_agent: MakeAgent) -> None:
    agent = make_agent({"services": []})
    agent.path.unlink()
    refused = cli(agent, "run")
    assert refused.returncode == 2
    assert "config.yaml" in refused.stderr
    assert "Traceback" not in refused.stderr
    without = codeblue("run", cwd=agent.folder)
    assert without.returncode == 2
    assert "config.yaml" in without.stderr


def test_every_problem_of_a_configuration_is_said_at_once(make_agent: MakeAgent) -> None:
    agent: Agent = make_agent({})
    agent.write_text("services:\n  - {name: a, checks: [{htp: x}]}\n  - {name: a, chekcs: []}\n")
    refused = cli(agent, "run")
    assert refused.returncode == 2
    assert "http" in refused.stderr
    assert "checks" in refused.stderr
    assert ":2:" in refused.stderr
    assert ":3:" in refused.stderr
