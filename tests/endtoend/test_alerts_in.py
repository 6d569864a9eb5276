"""An alert of a real Prometheus, by way of a real Alertmanager, is paged by the real agent: once, and closed once."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.alertmanager import alertmanager
from tests.endtoend.agent import Agent, cli, wait_for
from tests.endtoend.around import Slack
from tests.endtoend.conftest import MakeAgent
from tests.prometheus import prometheus

TOKEN = "alertmanager-comes-in"
RULE = {
    "alert": "CheckoutSlow",
    "expr": "checkout_p99_seconds > 1",
    "labels": {"severity": "page", "team": "shop"},
    "annotations": {
        "summary": "p99 of <!channel> is {{ $value }} s",
        "description": "```\n*many* people can't pay & leave",
        "runbook_url": "https://wiki.internal/checkout?a=1&b=2",
        "dashboard_url": "https://grafana.internal/d/checkout",
    },
}


class Shop:
    """A page of metrics: how slow the checkout is."""

    def __init__(self) -> None:
        self.p99 = 0.2
        self.port = 0


@contextmanager
def shop() -> Iterator[Shop]:
    made = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"checkout_p99_seconds {made.p99}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_port
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def routed_to(agent: Agent) -> str:
    """Alertmanager's configuration, as docs/alerts-in.md says it, but quicker."""
    hook = {
        "url": f"http://127.0.0.1:{agent.port}/alerts/alertmanager",
        "send_resolved": True,
        "http_config": {"authorization": {"credentials": TOKEN}},
    }
    route = {"receiver": "codeblue", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "5s"}
    return yaml.safe_dump({"route": route, "receivers": [{"name": "codeblue", "webhook_configs": [hook]}]})


def watched(slack: Slack, **alerts_in: Any) -> dict[str, Any]:
    return {
        "services": [{"name": "host", "checks": [{"file": "/etc/hostname"}]}],
        "channels": {"oncall": slack.channel},
        "alerts_in": {"page": ["oncall"], "token": TOKEN, "severities": {"page": "critical"}, **alerts_in},
    }


def kinds(slack: Slack) -> list[str]:
    return [told["kind"] for told in slack.told()]


async def test_a_rule_that_fires_is_paged_over_a_kill_of_the_agent_and_closed_once(
    make_agent: MakeAgent, slack: Slack, tmp_path: Path
) -> None:
    agent = make_agent(watched(slack))
    agent.start()
    agent.wait_until_ready()
    async with alertmanager(tmp_path, routed_to(agent)) as am:
        with shop() as checkout, prometheus(tmp_path, checkout.port, am.port, [RULE]):
            checkout.p99 = 2.5
            wait_for(slack.told, 40)
            (page,) = slack.posted()
            text = json.dumps(page["blocks"], ensure_ascii=False)
            assert "alert:checkoutslow-127-0-0-1-" in text
            assert "is firing" in text
            assert "p99 of &lt;!channel&gt; is 2.5 s" in text
            assert "<https://wiki.internal/checkout?a=1&amp;b=2|" in text
            assert "<https://grafana.internal/d/checkout|" in text
            assert "/graph?g0.expr=checkout_p99_seconds" in text, "where the rule can be seen in Prometheus"
            (incident,) = agent.get("/api/incidents")["open"]
            assert incident["service"].startswith("alert:checkoutslow-")

            agent.kill()
            agent.start()
            agent.wait_until_ready()
            repeated = (f"{am.url}/metrics", 'alertmanager_notifications_total{integration="webhook"} ')
            sent = counted(*repeated)
            wait_for(lambda: counted(*repeated) > sent, 30, "Alertmanager repeats what still fires")
            assert kinds(slack) == ["opened"]

            checkout.p99 = 0.2
            wait_for(lambda: "resolved" in kinds(slack), 60)
            wait_for(lambda: agent.get("/api/incidents")["open"] == [], 10)
    assert agent.stop() == 0
    assert kinds(slack) == ["opened", "resolved"]


def counted(url: str, series: str) -> float:
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series.strip()))


def posted(agent: Agent, token: str, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{agent.port}/alerts/alertmanager",
        json.dumps(message).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def a_message(*, firing: bool = True, **labels: str) -> dict[str, Any]:
    status = "firing" if firing else "resolved"
    alert = {"status": status, "labels": {"alertname": "Disk", **labels}, "annotations": {}, "fingerprint": "f1"}
    return {"version": "4", "groupKey": "{}:{}", "status": status, "alerts": [alert]}


def test_one_that_nobody_repeats_says_that_nobody_can_tell_and_is_no_recovery(
    make_agent: MakeAgent, slack: Slack
) -> None:
    agent = make_agent(watched(slack, unheard_after="1s"))
    with agent.running():
        assert posted(agent, TOKEN, a_message())[0] == 200
        wait_for(lambda: kinds(slack) == ["opened", "update"], 30)
        (incident,) = agent.get("/api/incidents")["open"]
        assert agent.service(incident["service"])["checks"][0]["verdict"] == "unknown"
        assert posted(agent, TOKEN, a_message(firing=False))[0] == 200
        wait_for(lambda: kinds(slack) == ["opened", "update", "resolved"], 10)


def test_severity_and_labels_choose_who_is_asked_and_a_silence_holds_it_back(
    make_agent: MakeAgent, slack: Slack, hook: Any
) -> None:
    config = watched(slack, page=[])
    config["channels"]["hook"] = hook.channel
    config["escalation"] = {
        "db": {"steps": [{"notify": ["channel:hook"]}]},
        "default": {"steps": [{"notify": ["channel:oncall"]}]},
    }
    config["routes"] = [{"match": {"team": "db"}, "escalate": "db"}]
    agent = make_agent(config)
    with agent.running():
        posted(agent, TOKEN, a_message(team="db"))
        wait_for(lambda: hook.taken("opened"), 10)
        assert slack.told() == []
        posted(agent, TOKEN, a_message(team="db", firing=False))
        wait_for(lambda: hook.taken("resolved"), 10)
        assert agent.ask("/api/silences", b'{"match": "team=db", "for": "1h", "by": "alice"}')[0] == 201
        posted(agent, TOKEN, a_message(team="db"))
        (incident,) = agent.get("/api/incidents")["open"]
        assert (incident["stage"], len(hook.taken("opened"))) == ("quiet", 1)


def test_hundreds_in_one_message_are_one_storm_and_every_page_is_closed(make_agent: MakeAgent, hook: Any) -> None:
    def message(*, firing: bool) -> dict[str, Any]:
        single = a_message(firing=firing)
        (alert,) = single["alerts"]
        many = [{**alert, "fingerprint": f"{n:016x}", "labels": {"alertname": f"A{n}"}} for n in range(300)]
        return {**single, "alerts": many}

    agent = make_agent(
        {
            "services": [{"name": "host", "checks": [{"file": "/etc/hostname"}]}],
            "channels": {"hook": {**hook.channel, "per_second": 50}},
            "alerts_in": {"page": ["hook"], "token": TOKEN},
        }
    )
    with agent.running():
        assert posted(agent, TOKEN, message(firing=True))[1]["taken"]["firing"] == 300
        wait_for(lambda: hook.taken("opened", "storm:services"), 20)
        assert len(hook.taken("opened")) < 30, "those that came before it was seen that it is a storm"
        assert posted(agent, TOKEN, message(firing=False))[1]["taken"]["over"] == 300
        wait_for(lambda: agent.get("/api/incidents")["open"] == [], 30)
        wait_for(lambda: len(hook.taken("resolved")) == len(hook.taken("opened")), 20)
        assert agent.value('codeblue_alerts_received_total{outcome="firing"}') == 300


def test_a_person_takes_one_on_and_its_end_says_who_had_it(make_agent: MakeAgent, hook: Any) -> None:
    agent = make_agent(
        {
            "services": [{"name": "host", "checks": [{"file": "/etc/hostname"}]}],
            "channels": {"hook": hook.channel},
            "alerts_in": {"page": ["hook"], "token": TOKEN},
        }
    )
    with agent.running():
        posted(agent, TOKEN, a_message(instance="<b>web-1</b>"))
        (incident,) = agent.get("/api/incidents")["open"]
        done = cli(agent, "ack", incident["service"], "--by", "alice")
        assert done.returncode == 0, done.stderr
        assert agent.get("/api/incidents")["open"][0]["ack"]["by"] == "alice"
        status, page = agent.ask(f"/services/{incident['service']}")
        assert (status, b"<b>web-1" in page) == (200, False)
        posted(agent, TOKEN, a_message(firing=False, instance="<b>web-1</b>"))
        wait_for(lambda: hook.taken("resolved"), 10)
        assert "alice" in hook.taken("resolved")[0].body["facts"]["Acknowledged"]


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_is_taken(make_agent: MakeAgent, slack: Slack, token: str) -> None:
    agent = make_agent(watched(slack))
    with agent.running():
        status, said = posted(agent, token, a_message())
        assert status == 401
        assert "alerts_in.token" in said["error"]
        assert agent.get("/api/incidents")["open"] == []
