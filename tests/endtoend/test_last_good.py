"""A start on files that are bad: the agent goes on with the last good ones, loudly, and never with a bad pager."""

import os

from tests.endtoend.agent import cli, wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.test_reload import BAD, SUCCESS, hup, service

SECRET = "token-of-the-environment"


def test_after_a_reboot_with_a_bad_file_the_last_good_one_is_in_force_until_it_is_mended(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    """The file was spoilt while the agent was away. Services are watched and people paged as the day before."""
    both = [service("web", web), service("db", web)]
    channels = {"hook": {**hook.channel, "secret": "${HOOK_SECRET}"}}
    agent = make_agent({"services": both[:1], "channels": channels}, env={**os.environ, "HOOK_SECRET": SECRET})
    with agent.running():
        agent.write({"services": both, "channels": channels})
        hup(agent)
        assert agent.value(SUCCESS) == 1
    good = agent.path.read_text()
    kept = agent.database.with_name("codeblue.db.last-good")
    assert SECRET not in kept.read_text()
    for what, text in BAD.items():
        agent.write_text(text)
        with agent.running():
            assert {row["name"] for row in agent.get("/api/services")} == {"web", "db"}, what
            assert agent.value(SUCCESS) == 0, what
            status, said = agent.readyz()
            assert (status, said["reasons"]) == (200, []), what
            assert "last good configuration is in force" in str(said["degraded"]), what
    assert "config.yaml cannot be used: the last good configuration is in force" in agent.log
    assert agent.events("config_refused")[-1]["problems"]
    assert SECRET not in agent.log
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened", "db"), 10, "people are paged as before")
        web.status = 200
        wait_for(lambda: hook.taken("resolved", "db"), 10)
        agent.write_text(good)
        wait_for(lambda: agent.value(SUCCESS) == 1, 5, "the mended file is taken over")
        assert agent.readyz()[1]["degraded"] == []


def test_without_a_copy_or_without_the_wish_a_bad_file_does_not_start(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent({"services": [service("web", web)], "channels": {"hook": hook.channel}})
    good = agent.path.read_text()
    agent.write_text(BAD["an unknown key"])
    assert cli(agent, "run").returncode == 2, "it was never good"
    agent.write_text(good)
    with agent.running():
        pass
    agent.write_text(BAD["an unknown key"])
    refused = cli(agent, "run", "--no-last-good")
    assert refused.returncode == 2
    assert "did you mean 'services'?" in refused.stderr


def test_the_last_good_configuration_does_not_start_with_a_pager_that_is_refused(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    oncall = {**slack.channel, "token": "${SLACK_TOKEN}"}
    agent = make_agent(
        {"services": [{**service("web", web), "page": ["oncall"]}], "channels": {"oncall": oncall}},
        env={**os.environ, "SLACK_TOKEN": slack.token},
    )
    with agent.running():
        pass
    agent.write_text(BAD["no YAML"])
    agent.env["SLACK_TOKEN"] = "xoxb-2222-nobodys"
    refused = cli(agent, "run")
    assert refused.returncode == 2
    assert "invalid_auth" in refused.stderr
    assert "nobodys" not in refused.stderr


def test_a_configuration_whose_pager_is_refused_is_not_kept_as_good(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    bad = {**slack.channel, "token": "xoxb-2222-nobodys"}
    agent = make_agent({"services": [{**service("web", web), "page": ["oncall"]}], "channels": {"oncall": bad}})
    assert cli(agent, "run").returncode == 2
    assert not list(agent.folder.glob("*.last-good*"))
