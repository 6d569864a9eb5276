"""Every query of the dashboards and every rule, asked of a real Prometheus that scraped a real agent on a bad night."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from dashboards.build import DASHBOARDS, FOLDER
from tests.dashboards.night import ROOT, Night, night
from tests.dashboards.promql_parts import selectors

pytestmark = pytest.mark.slow

CHOSEN = {  # what Grafana would put in place of its variables
    "$__rate_interval": "10s",
    "$__interval": "5s",
    "$__range": "5m",
    "$job": "codeblue",
    "$instance": "127.0.0.1:.+",
    "$service": ".*",
}

QUIET = {  # alerts whose expression finds nothing even on this night, and why
    "CodeblueAbsent": "an agent is being scraped",
    "CodeblueAgentVanished": "it has been a target all the time",
    "CodeblueAgentNotReady": "it is ready",
    "CodeblueAgentRestarting": "it was started once",
    "CodeblueStoreTrouble": "its database is well",
    "CodeblueBlind": "it can see",
    "CodeblueMemoryHigh": "it uses little memory",
    "CodeblueDescriptorsLow": "it uses few descriptors",
    "CodeblueClockAhead": "both run on one machine",
    "CodeblueChecksLate": "the machine may have time for everything",
    "CodeblueChecksOverdue": "its checks run",
    "CodeblueNoChecksRun": "its checks run",
    "CodeblueNoChecksConfigured": "it has checks",
    "CodeblueLoopLag": "the machine may have time for everything",
    "CodebluePageNotDelivered": "a minute is too long for a test",
    "CodeblueMessagesRetried": "retries back off: six take half a minute",
    "CodeblueRestartBudget": "one restart was allowed",
    "CodeblueHostRestartBudget": "one restart was allowed",
    "CodeblueManyServicesDown": "one service is down",
    "CodeblueHeartbeatsStopped": "they go on",
    "CodeblueDrillOld": "a drill was held on this night",
    "CodeblueCheckNotRunning": "half an hour is too long for a test",
}


@pytest.fixture(scope="module")
def tonight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with night(tmp_path_factory.mktemp("night")) as here:
        yield here


def boards() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in DASHBOARDS:
        yield name.removesuffix(".json"), json.loads((FOLDER / name).read_text(encoding="utf-8"))


def targets() -> Iterator[Any]:
    for name, board in boards():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                where = f"{name}: {panel['title']} {target['refId']}"
                yield pytest.param(chosen(target["expr"]), bool(target.get("instant")), id=where)


def chosen(expression: str) -> str:
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((ROOT / "alerts/rules/codeblue.yaml").read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def name_of(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


def soon(question: Callable[[], list[dict[str, Any]]], within: float = 12.0) -> list[dict[str, Any]]:
    """The answer as soon as there is one: rates need a second sample."""
    end = time.monotonic() + within
    while not (found := question()) and time.monotonic() < end:
        time.sleep(0.3)
    return found


@pytest.mark.parametrize(("expression", "instant"), [*targets()])
def test_the_query_of_every_panel_returns_data(expression: str, instant: bool, tonight: Night) -> None:
    ask = tonight.now if instant else tonight.lately
    assert soon(lambda: ask(expression)), expression


@pytest.mark.parametrize("rule", [rule for rule in rules() if name_of(rule) not in QUIET], ids=name_of)
def test_the_expression_of_every_rule_returns_data(rule: dict[str, Any], tonight: Night) -> None:
    assert soon(lambda: tonight.now(rule["expr"])), rule["expr"]


@pytest.mark.parametrize("rule", [rule for rule in rules() if name_of(rule) in QUIET], ids=name_of)
def test_a_rule_that_is_quiet_even_then_is_at_least_understood(rule: dict[str, Any], tonight: Night) -> None:
    assert isinstance(tonight.now(rule["expr"]), list)


def test_the_list_of_quiet_rules_names_only_rules() -> None:
    assert QUIET.keys() <= {name_of(rule) for rule in rules()}


def asked_for() -> list[str]:
    """Every series selector of every panel and rule, with what the variables stand for."""
    expressions = [param.values[0] for param in targets()] + [rule["expr"] for rule in rules()]
    return sorted({selector.text for each in expressions for selector in selectors(each)})


@pytest.mark.parametrize("selector", asked_for())
def test_every_selector_finds_series_that_were_scraped(selector: str, tonight: Night) -> None:
    """Also those behind a comparison that is false, or behind `or vector(0)`."""
    question = {"match[]": selector, "start": time.time() - 300}
    assert soon(lambda: tonight.ask("series", **question))


def variables() -> Iterator[Any]:
    for name, board in boards():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield pytest.param(variable["query"]["query"], id=f"{name}: {variable['name']}")


@pytest.mark.parametrize("query", [*variables()])
def test_every_variable_has_values_to_choose_from(query: str, tonight: Night) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", chosen(query))
    assert found
    assert tonight.ask(f"label/{found[2]}/values", **{"match[]": found[1]})


def test_prometheus_loads_the_rules_and_evaluates_each_without_a_complaint(tonight: Night) -> None:
    loaded = [rule for group in tonight.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == {name_of(rule) for rule in rules()}
    assert {rule["name"]: rule.get("lastError", "") for rule in loaded if rule.get("lastError")} == {}


def test_what_went_wrong_is_alerted_at_once_in_words_without_gaps(tonight: Night) -> None:
    alerts = {alert["labels"]["alertname"]: alert for alert in tonight.ask("alerts")["alerts"]}
    at_once = {"CodeblueDeadLetters", "CodeblueConfigReloadFailed", "CodeblueRestartFails"}
    assert at_once <= {name for name, alert in alerts.items() if alert["state"] == "firing"}
    waiting = {"CodeblueAgentDown", "CodeblueChannelTrouble", "CodeblueServiceDownLong", "CodeblueCannotTell"}
    assert waiting <= alerts.keys()
    for alert in alerts.values():
        text = " ".join(alert["annotations"].values())
        assert not re.search(r"<no value>|<error|\{\{|  ", text), text


def test_the_table_of_services_that_are_not_up_says_since_when(tonight: Night) -> None:
    overview = dict(boards())["overview"]
    table = next(panel for panel in overview["panels"] if panel["title"] == "Services that are not up")
    rows = {
        target["refId"]: {
            each["metric"]["service"]: float(each["value"][1]) for each in tonight.now(chosen(target["expr"]))
        }
        for target in table["targets"]
    }
    assert "photos" in rows["A"]
    assert "worker" not in rows["A"]
    assert time.time() - 60 < rows["B"]["photos"] / 1000 < time.time()
    assert rows["C"]["photos"] == 2  # the two http checks; the port is open
    assert rows["D"]["photos"] == 1


def test_services_that_nobody_is_paged_about_are_counted_by_what_keeps_them_quiet(tonight: Night) -> None:
    overview = dict(boards())["overview"]
    panel = next(panel for panel in overview["panels"] if panel["title"] == "Quiet services")
    shown = {target["legendFormat"]: tonight.now(chosen(target["expr"])) for target in panel["targets"]}
    assert {name: [float(each["value"][1]) for each in found] for name, found in shown.items()} == {
        "silenced": [2],
        "under maintenance": [1],
        "outside their hours": [0],
        "silences in force": [1],
    }


def test_a_name_that_nobody_exports_would_be_noticed(tonight: Night) -> None:
    assert soon(lambda: tonight.now("codeblue_check_mises"), within=0.5) == []
    assert soon(lambda: tonight.lately('codeblue_check_misses{chekc="http"}'), within=0.5) == []
    assert tonight.ask("series", **{"match[]": 'codeblue_check_misses{service="nobody"}'}) == []


def test_the_agent_is_scraped_and_the_target_that_is_not_there_is_down(tonight: Night) -> None:
    up = {each["metric"]["instance"]: each["value"][1] for each in tonight.now("up")}
    assert up == {f"127.0.0.1:{tonight.ports['agent']}": "1", f"127.0.0.1:{tonight.ports['closed']}": "0"}
