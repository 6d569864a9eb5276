"""Channels that are slow, silent or limited hold up nobody but themselves."""

import socket
from itertools import pairwise
from time import monotonic

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import outbox


def test_a_channel_that_never_answers_delays_neither_another_page_nor_a_check(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent, Service().serving() as steady:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        names = [f"s{number}" for number in range(10)]
        agent = make_agent(
            {
                "services": [
                    *({"name": name, "checks": [{"http": web.url}], "page": ["dead", "hook"]} for name in names),
                    {"name": "steady", "checks": [{"http": steady.url}]},
                ],
                "channels": {
                    "dead": {"type": "webhook", "url": url, "timeout": "30s", "per_second": 50},
                    "hook": {**hook.channel, "per_second": 50},
                },
            }
        )
        with agent.running():
            wait_for(lambda: agent.runs("steady") >= 2)
            web.status = 503
            wait_for(lambda: len(hook.taken("opened")) == len(names), 10)
            asked = {event["service"]: event["at"] for event in opened(agent.get("/api/incidents")["recent"])}
            assert asked.keys() == set(names)
            for name in names:
                seconds = next(float(e["data"]["seconds"]) for e in agent.timeline(name) if e["kind"] == "delivered")
                assert seconds < 1, f"the page of {name} took {seconds} s"
            begin = monotonic()
            wait_for(lambda: monotonic() - begin > 2.5, 5)
            gaps = [later - sooner for sooner, later in pairwise(steady.asked)]
            assert max(gaps[1:]) < 1.5, f"the cadence of a check suffered: {gaps}"
            assert agent.value("codeblue_outbox_oldest_seconds") > 1


def opened(events: list[dict[str, str]]) -> list[dict[str, str]]:
    return [event for event in events if event["kind"] == "opened"]


def test_a_page_that_its_channel_does_not_take_in_time_goes_to_the_fallback_and_says_so(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    with Receiver(rule=lambda _: (503, 0.0)).serving() as dead:
        agent = make_agent(
            {
                "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["dead"], "page_deadline": "2s"}],
                "channels": {"dead": {**dead.channel, "fallback": ["hook"]}, "hook": hook.channel},
            }
        )
        with agent.running():
            web.status = 503
            wait_for(lambda: hook.taken("opened"), 10)
            assert "dead has not got this page" in hook.taken("opened")[0].body["note"]
            web.status = 200
            wait_for(lambda: hook.taken("resolved"), 10)


def test_slack_s_retry_after_is_respected_and_the_page_arrives(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["oncall"]}],
            "channels": {"oncall": slack.channel},
        }
    )
    with agent.running():
        slack.fail_next(method="chat.postMessage", status=429, error="ratelimited", retry_after="3")
        web.status = 503
        wait_for(lambda: agent.events("delivery_failed"), 10)
        refused = monotonic()
        assert agent.events("delivery_failed")[0]["reason"] == "rate_limited"
        wait_for(slack.told, 10)
        assert 2.5 < monotonic() - refused < 5
        wait_for(lambda: [row.status for row in outbox(agent.database)] == ["done"], 5)
        assert agent.value('codeblue_notices_total{channel="oncall",kind="opened",outcome="retried"}') == 1
    assert len(slack.told()) == 1
