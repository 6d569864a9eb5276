"""`codeblue drill` on a running agent: what it prints, how it ends, and what a kill in the middle leaves."""

import json

from tests.endtoend.agent import Agent, cli, wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent


def made(make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack, **drill: str) -> Agent:
    return make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["oncall"]}],
            "channels": {"oncall": {**slack.channel, "fallback": ["hook"]}, "hook": hook.channel},
            "drill": {"within": "10s", **drill},
        }
    )


def test_a_drill_that_passes_ends_with_0_and_shows_each_leg(
    make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack
) -> None:
    agent = made(make_agent, web, hook, slack)
    with agent.running():
        assert cli(agent, "drill", "list").stdout.strip() == "no drill was ever held: codeblue drill"
        done = cli(agent, "drill", "web")
        assert (done.returncode, done.stderr) == (0, "")
        for leg in ("decision", "delivery/oncall", "read back/oncall", "closing"):
            assert any(line.startswith("✓") and leg in line for line in done.stdout.splitlines()), done.stdout
        assert "Fire drill for web: passed after" in done.stdout
        report = json.loads(cli(agent, "drill", "--json").stdout)
        assert (report["of"], report["outcome"]) == ("@channels", "passed")
        assert [one["of"] for one in json.loads(cli(agent, "drill", "list", "--json").stdout)] == ["@channels", "web"]
        assert "Last drill: for the channels, passed in" in cli(agent, "status").stdout
        assert agent.value("codeblue_drill_success") == 2
        assert [told["kind"] for told in slack.told()] == ["opened", "resolved"] * 2
        assert hook.got == []


def test_one_that_fails_ends_with_1_and_says_which_leg_and_what_to_do(
    make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack
) -> None:
    agent = made(make_agent, web, hook, slack)
    with agent.running():
        slack.fail_next(method="chat.postMessage", lost=True)
        done = cli(agent, "drill", "web")
        assert done.returncode == 1
        assert any(line.startswith("✗") and "read back/oncall" in line for line in done.stdout.splitlines())
        assert "who or what removes messages there?" in done.stdout
        wait_for(lambda: hook.taken("opened", "paging:web"))
        assert cli(agent, "drill", "list").returncode == 1
        assert cli(agent, "status").returncode == 1
        refused = cli(agent, "drill", "wbe")
        assert (refused.returncode, "did you mean 'web'?" in refused.stderr) == (2, True)


def test_somebody_has_to_see_it(make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack) -> None:
    agent = made(make_agent, web, hook, slack, seen="30s")
    with agent.running():
        begun = cli(agent, "drill", "web", "--no-wait")
        assert begun.stdout.startswith("begun: drill:web-")
        wait_for(slack.told)
        seen = cli(agent, "drill", "seen", "--by", "bob")
        assert (seen.returncode, "bob has seen the drill for web after" in seen.stdout) == (0, True)
        wait_for(lambda: agent.get("/api/drills")[0]["outcome"] == "passed")
        assert cli(agent, "drill", "seen").returncode == 1


def test_a_kill_in_the_middle_leaves_one_closing_message_that_says_so(
    make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack
) -> None:
    agent = made(make_agent, web, hook, slack, seen="10m")
    agent.start()
    agent.wait_until_ready()
    cli(agent, "drill", "web", "--no-wait")
    wait_for(lambda: agent.get("/api/drills")[0]["legs"][-1:] and slack.told())
    agent.kill()
    with agent.running():
        wait_for(lambda: [told["kind"] for told in slack.told()] == ["opened", "resolved"])
        (one,) = agent.get("/api/drills")
        assert (one["outcome"], one["why"]) == ("unfinished", "not finished: the agent was stopped during the drill")
        assert "Not finished" in slack.posted()[0]["shown"]
        assert agent.get("/api/incidents") == {"open": [], "recent": []}
        assert agent.value('codeblue_drills_total{outcome="unfinished"}') == 1
    assert hook.got == []
