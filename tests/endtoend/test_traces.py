"""One trace from the probe to the page: what a person at three in the morning follows from one tool to the next."""

import urllib.request
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.collector import collecting, names_by_trace
from tests.endtoend.agent import Agent, wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent


def exemplars(agent: Agent, family: str) -> list[dict[str, str]]:
    """The labels of a histogram's exemplars, as a scraper that takes OpenMetrics reads them."""
    headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    request = urllib.request.Request(f"http://127.0.0.1:{agent.port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        families = {found.name: found for found in parse_openmetrics(answer.read().decode())}
    return [sample.exemplar.labels for sample in families[family].samples if sample.exemplar]


def test_probe_log_page_exemplar_and_spans_of_an_incident_have_one_trace_id(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    restart = {"command": ["/bin/false"], "at_most": "1 per 1h", "verify": "1s"}
    with collecting(tmp_path) as (url, printed):
        agent = make_agent(
            {
                "agent": {"traces": {"endpoint": url, "sample": 0}},
                "services": [{"name": "web", "checks": [{"http": web.url}], "restart": restart, "page": ["hook"]}],
                "channels": {"hook": hook.channel},
            }
        )
        with agent.running():
            wait_for(lambda: agent.health("web") == "up")
            web.status = 503
            wait_for(lambda: agent.events("delivered"), 15)
            trace = hook.taken("opened")[0].body["trace_id"]
            for event in ("opened", "restart_ordered", "restart_finished", "paged", "delivered"):
                assert [line["trace_id"] for line in agent.events(event)] == [trace], event
            assert [context.split("-")[1] for context in web.traceparents].count(trace) == 1
            for family in ("codeblue_detection_seconds", "codeblue_page_delivery_seconds"):
                assert exemplars(agent, family) == [{"trace_id": trace}], family
            assert agent.service("web")["incident"]["trace_id"] == trace
        spans = wait_for(lambda: names_by_trace(printed).get(trace), 10, "the collector has none of its spans")
    assert {"check http", "connect", "decide opened", "restart", "page"} <= set(spans)
