"""Slack refuses the real agent for good: page and alarm come by the fallback, and the alarm ends when Slack works."""

import pytest

from tests.endtoend.agent import Agent, wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent
from tests.smtp_server import smtp_server


def paged(make_agent: MakeAgent, web: Service, slack: Slack, hook: Receiver) -> Agent:
    return make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["oncall"]}],
            "channels": {"oncall": {**slack.channel, "fallback": ["hook"]}, "hook": hook.channel},
        }
    )


@pytest.mark.parametrize(
    ("error", "failing", "reason"),
    [
        pytest.param("token_revoked", "", "auth", id="the token is revoked"),
        pytest.param("is_archived", "chat.postMessage", "archived", id="the channel is archived"),
    ],
)
def test_a_refusal_for_good_goes_to_the_fallback_at_once_and_is_an_incident_until_it_is_over(
    make_agent: MakeAgent, web: Service, slack: Slack, hook: Receiver, error: str, failing: str, reason: str
) -> None:
    agent = paged(make_agent, web, slack, hook)
    with agent.running():
        slack.fail_next(method=failing, error=error, times=100_000)
        web.status = 503
        wait_for(lambda: len(hook.taken("opened")) == 2, 15)
        assert {got.service for got in hook.taken("opened")} == {"web", "channel:oncall"}
        (page,), (alarm,) = hook.taken("opened", "web"), hook.taken("opened", "channel:oncall")
        assert f"oncall has not got this page: {reason}" in page.body["note"]
        assert error in alarm.body["summary"]
        assert any("channel oncall" in text for text in agent.readyz()[1]["degraded"])
        assert agent.value('codeblue_channel_trouble{channel="oncall"}') == 1
        wait_for(lambda: len(agent.events("channel_broken")) == 1, 5)
        slack.mend()
        web.status = 200
        wait_for(lambda: hook.taken("resolved", "channel:oncall"), 30)
        wait_for(lambda: hook.taken("resolved", "web"), 10)
        wait_for(lambda: agent.value("codeblue_channel_trouble") == 0, 20)
        assert len(hook.taken("opened", "channel:oncall")) == len(hook.taken("resolved", "channel:oncall")) == 1
    assert len(agent.events("channel_broken")) == 1


def test_a_webhook_that_answers_401_is_told_of_by_slack(make_agent: MakeAgent, web: Service, slack: Slack) -> None:
    with Receiver(rule=lambda _: (401, 0.0)).serving() as refusing:
        agent = make_agent(
            {
                "agent": {"page": ["oncall"]},
                "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}],
                "channels": {"oncall": slack.channel, "hook": refusing.channel},
            }
        )
        with agent.running():
            web.status = 503
            wait_for(slack.told, 15)
            (alarm,) = slack.told()
            assert (alarm["service"], alarm["kind"]) == ("channel:hook", "opened")
            refusing.rule = lambda _: (200, 0.0)
            web.status = 200
            wait_for(lambda: [told["kind"] for told in slack.told()] == ["opened", "resolved"], 20)


def test_an_address_that_the_mail_server_does_not_know_is_told_of_and_the_other_way_is_taken(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    with smtp_server(auth=False) as box:
        box.refuse["gone@example.com"] = ["550 5.1.1 no such user"] * 20
        mail = {"type": "mail", "host": "127.0.0.1", "port": box.port, "security": "none", "from": "bot@example.com"}
        agent = make_agent(
            {
                "agent": {"page": ["hook"]},
                "services": [{"name": "web", "checks": [{"http": web.url}], "escalate": "default"}],
                "channels": {"mail": {**mail, "fallback": ["hook"]}, "hook": hook.channel},
                "people": {"alice": {"contacts": {"mail": "gone@example.com"}}},
                "escalation": {"default": {"steps": [{"notify": ["person:alice"], "wait": "5m"}]}},
            }
        )
        with agent.running():
            web.status = 503
            wait_for(lambda: len(hook.taken("opened")) == 2, 15)
            assert {got.service for got in hook.taken("opened")} == {"web", "channel:mail:alice"}
            (alarm,) = hook.taken("opened", "channel:mail:alice")
            assert "no such user" in alarm.body["summary"]
            assert agent.value("codeblue_channel_trouble") == 0, "the channel itself works"
            box.refuse.clear()
            web.status = 200
            wait_for(lambda: hook.taken("resolved", "channel:mail:alice"), 20)
