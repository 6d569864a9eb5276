"""Alerts that come in, as they are written, and who is asked about one."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.config.alerts_in import AlertsInSpec
from agent.config.diff import changes
from agent.core.policy import Policy
from tests.config.reading import complaints, read
from tests.config.refusals import refusals

AROUND = """
services: [{name: web, checks: [host]}]
channels:
  oncall: {type: console, fallback: hook}
  hook: {type: console}
escalation:
  db: {steps: [{notify: [channel:hook]}]}
routes:
  - {match: {team: db}, escalate: db}
"""


def spec(folder: Path, written: str) -> AlertsInSpec:
    found = read(folder, f"{AROUND}\nalerts_in: {written}\n").alerts_in
    assert found is not None
    return found


def policy(folder: Path, written: str, **labels: str) -> Policy:
    return spec(folder, written).policy_of("alert:x-1", labels, "", {})


def test_without_the_section_nothing_is_taken_in(tmp_path: Path) -> None:
    assert read(tmp_path, AROUND).alerts_in is None


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    found = spec(
        tmp_path,
        "{page: [oncall], token: s3cr3t-token, per: [alertname, cluster], unheard_after: 1h, close_after: 0s, "
        "at_most: 50, remind: 30m, gather: {by: [team], wait: 10s}}",
    )
    assert found.token is not None
    assert found.token.get_secret_value() == "s3cr3t-token"
    assert found.per == ("alertname", "cluster")
    assert (found.unheard_after, found.close_after) == (timedelta(hours=1), timedelta(0))
    assert (found.at_most, found.remind) == (50, timedelta(minutes=30))
    assert found.gather is not None


@pytest.mark.parametrize(
    ("labels", "severity"),
    [
        pytest.param({"severity": "warning"}, "warning", id="one of ours"),
        pytest.param({"severity": "ticket"}, "info", id="another word for one"),
        pytest.param({"severity": "P7"}, "error", id="an unknown word"),
        pytest.param({}, "error", id="none at all"),
    ],
)
def test_the_severity(tmp_path: Path, labels: dict[str, str], severity: str) -> None:
    written = "{page: [oncall], severity: error, severities: {ticket: info}}"
    assert policy(tmp_path, written, **labels).severity == severity


def test_labels_choose_the_route_and_the_fallbacks_come_along(tmp_path: Path) -> None:
    found = policy(tmp_path, "{page: [oncall]}", team="db")
    assert found.escalation is not None
    assert found.escalation.name == "db"
    assert found.fallback == {"oncall": ("hook",)}
    assert policy(tmp_path, "{page: [oncall]}", team="web").escalation is None
    named = policy(tmp_path, "{page: [oncall], escalate: db}", team="web").escalation
    assert named is not None
    assert named.name == "db"


def test_labels_that_every_service_has_go_on_under_another_name(tmp_path: Path) -> None:
    found = policy(tmp_path, "{page: [oncall]}", service="checkout", group="eu", severity="P7", team="db")
    assert found.labels == {
        "exported_service": "checkout",
        "exported_group": "eu",
        "exported_severity": "P7",
        "team": "db",
    }


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        pytest.param(
            "{page: [oncal]}", "alerts_in.page: there is no channel 'oncal': did you mean 'oncall'?", id="channel"
        ),
        pytest.param(
            "{escalate: dbs}",
            "alerts_in.escalate: there is no escalation policy 'dbs': did you mean 'db'?",
            id="escalation policy",
        ),
        pytest.param(
            "{escalate: none}",
            "alerts_in: expected page or escalate: nobody would be asked about any alert",
            id="nobody",
        ),
        pytest.param(
            "{page: [oncall], per: host}",
            "alerts_in.per: expected alert, group, or a list of labels such as [alertname, cluster]; got 'host'",
            id="neither alert nor group",
        ),
        pytest.param("{page: [oncall], tokn: x}", "alerts_in.tokn: unknown key: did you mean 'token'?", id="key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, written: str, problem: str) -> None:
    assert problem in complaints(tmp_path, f"{AROUND}\nalerts_in: {written}\n")


@pytest.mark.parametrize(("per", "valid"), [("alert", True), ("[a, b]", True), ("host", False), ("[]", False)])
def test_the_schema_says_the_same(per: Any, valid: bool) -> None:
    assert (refusals(f"{AROUND}\nalerts_in: {{page: [oncall], per: {per}}}\n") == []) is valid


def test_a_change_of_it_is_a_change(tmp_path: Path) -> None:
    config = read(tmp_path, f"{AROUND}\nalerts_in: {{page: [oncall]}}\n")
    assert config.alerts_in is not None
    assert not changes(config, config)
    assert changes(config, replace(config, alerts_in=replace(config.alerts_in, at_most=5))).alerts_in
