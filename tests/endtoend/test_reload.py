"""A configuration that changes under the live agent: a bad one changes nothing, a good one loses nothing."""

import json
import signal
from typing import Any

from tests.endtoend.agent import Agent, wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent

SUCCESS = "codeblue_config_reload_success "


def service(name: str, web: Service, **more: Any) -> dict[str, Any]:
    return {"name": name, "checks": [{"http": web.url}], "page": ["hook"], **more}


def hup(agent: Agent) -> None:
    """Reload by signal, and wait until it is done."""
    done = [event for name in ("config_reloaded", "config_refused") for event in agent.events(name)]
    agent.signal(signal.SIGHUP)
    wait_for(lambda: sum(len(agent.events(name)) for name in ("config_reloaded", "config_refused")) > len(done), 5)


BAD = {
    "no YAML": "services: [",
    "an unknown key": "services: []\nserivces: []\n",
    "an empty file": "",
    "an unknown check type": "services: [{name: web, checks: [{htp: x}]}]",
}


def test_a_bad_file_leaves_the_old_configuration_in_force_and_says_so(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent({"services": [service("web", web)], "channels": {"hook": hook.channel}})
    good = agent.path.read_text()
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        runs = agent.runs("web")
        agent.write_text(BAD["no YAML"])
        wait_for(lambda: agent.value(SUCCESS) == 0, 5, "the change of the file was not seen")
        for what, text in BAD.items():
            agent.write_text(text)
            hup(agent)
            assert agent.value(SUCCESS) == 0, what
            assert agent.events("config_refused")[-1]["problems"], what
            status, said = agent.readyz()
            assert (status, said["reasons"]) == (200, []), what
            assert any(reason.startswith("configuration: ") for reason in said["degraded"]), what
        before = agent.runs("web")
        wait_for(lambda: agent.runs("web") >= before + 2, 4, "the old checks do not go on")
        agent.write_text(good)
        wait_for(lambda: agent.value(SUCCESS) == 1, 5)
        assert agent.readyz()[1]["degraded"] == []
        assert agent.runs("web") > before >= runs


def test_a_file_that_is_away_for_a_moment_changes_nothing(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    agent = make_agent({"services": [service("web", web)], "channels": {"hook": hook.channel}})
    good = agent.path.read_text()
    with agent.running():
        agent.path.unlink()
        wait_for(lambda: agent.value(SUCCESS) == 0, 5)
        agent.path.mkdir()
        hup(agent)
        agent.path.rmdir()
        agent.write_text(good)
        wait_for(lambda: agent.value(SUCCESS) == 1, 5)
        wait_for(lambda: agent.health("web") == "up")


def test_misses_go_on_counting_over_a_reload(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    """Two misses of three, a reload that changes another service, one more miss: the page."""
    patient = {"http": web.url, "misses": 3, "retry": "0s", "every": "2s"}
    ours = {"name": "web", "checks": [patient], "page": ["hook"]}
    other = {"name": "other", "checks": [{"http": web.url, "every": "20s"}]}
    config = {"services": [ours, other], "channels": {"hook": hook.channel}}
    agent = make_agent(config)
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        runs = agent.runs("web")
        web.status = 503
        wait_for(lambda: agent.value('codeblue_check_misses{service="web"') == 2, 8)
        agent.write({**config, "services": [ours, {**other, "depends_on": ["web"]}]})
        hup(agent)
        assert agent.value(SUCCESS) == 1
        assert agent.value('codeblue_check_misses{service="web"') == 2
        assert not hook.got
        wait_for(lambda: hook.taken("opened"), 5, "the misses before the reload were forgotten")
        assert agent.value('codeblue_check_misses{service="web"') == 3
        assert agent.runs("web") >= runs + 3


def test_an_open_incident_goes_on_over_a_reload_and_is_closed_once(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    config = {"services": [service("web", web)], "channels": {"hook": hook.channel}}
    agent = make_agent(config)
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 10)
        incident = agent.service("web")["incident"]["id"]
        agent.write({**config, "services": [service("web", web, runbook="https://wiki.internal/web")]})
        hup(agent)
        agent.write({**config, "services": [service("web", web), service("more", web)]})
        hup(agent)
        wait_for(lambda: agent.runs("more") > 0, 5, "an added service is not checked")
        assert agent.service("web")["incident"]["id"] == incident
        web.status = 200
        wait_for(lambda: hook.taken("resolved", "web"), 10)
        wait_for(lambda: agent.health("web") == "up")
    assert len({got.key for got in hook.taken("opened", "web")}) == 1
    assert [got.incident for got in hook.taken("resolved", "web")] == [incident]


def test_a_removed_service_is_closed_with_one_message_that_says_so(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    """Even where its channel is removed by the same reload."""
    agent = make_agent(
        {"services": [service("web", web), service("stays", web, page=[])], "channels": {"hook": hook.channel}}
    )
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 10)
        agent.write({"services": [service("stays", web, page=[])]})
        hup(agent)
        wait_for(lambda: hook.taken("resolved"), 5)
        assert "config does not name it any more" in hook.taken("resolved")[0].body["title"]
        assert agent.ask("/api/services/web")[0] == 404
        assert agent.values('codeblue_check_up{service="web"') == []
        asked = agent.runs("stays")
        wait_for(lambda: agent.runs("stays") >= asked + 2, 4)
        assert len(agent.values('codeblue_check_up{service="stays"')) == 1
    with agent.running():
        pass
    assert len(hook.taken("resolved")) == 1


def test_a_service_that_was_removed_while_the_agent_was_away_is_closed_too(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent({"services": [service("web", web)], "channels": {"hook": hook.channel}})
    web.status = 503
    agent.start()
    wait_for(lambda: hook.taken("opened"), 15)
    agent.kill()
    agent.write({"services": [service("other", web, page=[])], "channels": {"hook": hook.channel}})
    for _ in range(2):
        with agent.running():
            wait_for(lambda: hook.taken("resolved"), 5)
    assert len(hook.taken("resolved")) == 1
    assert "config does not name it any more" in hook.taken("resolved")[0].body["title"]


def test_a_changed_channel_is_used_from_then_on(make_agent: MakeAgent, web: Service, hook: Receiver) -> None:
    with Receiver().serving() as new:
        config = {"services": [service("web", web)], "channels": {"hook": hook.channel}}
        agent = make_agent(config)
        with agent.running():
            agent.write({**config, "channels": {"hook": new.channel}})
            wait_for(lambda: agent.events("config_reloaded"), 5)
            web.status = 503
            wait_for(lambda: new.taken("opened"), 10)
            assert not hook.got


def test_a_reload_that_names_a_pager_with_bad_credentials_is_refused(
    make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack
) -> None:
    config = {"services": [service("web", web)], "channels": {"hook": hook.channel, "oncall": slack.channel}}
    agent = make_agent(config)
    with agent.running():
        bad = {**slack.channel, "token": "xoxb-2222-nobodys"}
        agent.write(
            {"services": [service("new", web, page=["oncall"])], "channels": {**config["channels"], "oncall": bad}}
        )
        hup(agent)
        assert agent.value(SUCCESS) == 0
        problem = agent.events("config_refused")[0]["problems"][0]
        assert "channels.oncall" in problem
        assert "invalid_auth" in problem
        assert "nobodys" not in agent.log
        assert agent.ask("/api/services/new")[0] == 404
        web.status = 503
        wait_for(lambda: hook.taken("opened", "web"), 10, "the old configuration is not in force")
        agent.write(config)
        hup(agent)
        assert agent.value(SUCCESS) == 1


def test_a_reload_keeps_the_trouble_of_channels_that_it_does_not_touch(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    channels = {"oncall": {**slack.channel, "token": "xoxb-2222-nobodys"}}
    config = {"services": [service("web", web, page=["oncall"])], "channels": channels}
    agent = make_agent(config)
    with agent.running("--allow-unverified"):
        assert any("oncall" in text for text in agent.readyz()[1]["degraded"])
        agent.write({**config, "services": [service("web", web, page=["oncall"]), service("b", web, page=[])]})
        hup(agent)
        assert any("oncall" in text for text in agent.readyz()[1]["degraded"])
        agent.write({**config, "channels": {"oncall": slack.channel}})
        hup(agent)
        assert agent.readyz()[1]["degraded"] == []
        assert json.loads(agent.ask("/readyz")[1])["ready"]
