"""What the rules for Prometheus promise: read by promtool, each shown firing and keeping quiet, each with a remedy."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.promql_parts import complaints

ROOT = Path(__file__).parents[2]
RULES = ROOT / "alerts/rules/codeblue.yaml"
CASES = Path(__file__).with_name("codeblue.test.yaml")
_LABEL = re.compile(r"\$labels\.(\w+)")
_PAIR = re.compile(r'(\w+)="([^"]*)"')


def rules(kind: str) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        yield from (rule for rule in group["rules"] if kind in rule)


ALERTS = {rule["alert"]: rule for rule in rules("alert")}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.fail("promtool is missing: install Debian's package prometheus (tests/install-debian-packages)")
    return found


def run(*argv: str) -> tuple[int, str]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_to_complain_about(promtool: str) -> None:
    code, said = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert code == 0, said


def test_every_alert_fires_when_it_should_and_only_then(promtool: str) -> None:
    code, said = run(promtool, "test", "rules", str(CASES))
    assert code == 0, said


def test_with_rules_that_never_fire_every_alert_is_missed(promtool: str, tmp_path: Path) -> None:
    """So that no alert is without a case, and the cases do not pass whatever the rules say."""
    mute = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in mute["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = "vector(1) > 2"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(mute))
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8")) | {"rule_files": ["rules.yaml"]}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    code, said = run(promtool, "test", "rules", str(tmp_path / "cases.yaml"))
    assert code == 1
    expected = " ".join(line for line in said.splitlines() if line.strip().startswith(("exp:", "{", "Labels:")))
    assert {name for name in ALERTS if f'alertname="{name}"' not in expected} == set()


def test_texts_of_all_alerts_are_filled_in_without_gaps(promtool: str, tmp_path: Path) -> None:
    """promtool prints an alert that it was not told to expect, with its texts."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8")) | {"rule_files": [str(RULES)]}
    for case in cases["tests"]:
        case["alert_rule_test"] = [
            {"alertname": name, "eval_time": question["eval_time"], "exp_alerts": []}
            for question in case.pop("promql_expr_test", [])
            for name in sorted({name for name in ALERTS if f'alertname="{name}"' in str(question["exp_samples"])})
        ]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    _, said = run(promtool, "test", "rules", str(tmp_path / "cases.yaml"))
    assert {name for name in ALERTS if f"alertname: {name}" not in said} == set()
    for gap in ("<no value>", "<error", "error executing", "{{", " at :", "NaN"):
        assert gap not in said


@pytest.mark.parametrize("name", ALERTS)
def test_whoever_is_woken_reads_what_it_means_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert len(rule["annotations"]["summary"]) < 120
    assert len(rule["annotations"]["description"].split()) > 20


@pytest.mark.parametrize("name", ALERTS)
def test_texts_name_only_labels_that_the_alert_has(name: str) -> None:
    named = set(_LABEL.findall("".join(ALERTS[name]["annotations"].values())))
    assert named <= firing_labels(name)


def firing_labels(alert: str) -> set[str]:
    """The labels with which the cases show this alert firing."""
    found: set[str] = set()
    for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for question in case.get("promql_expr_test", []):
            for sample in question["exp_samples"]:
                pairs = dict(_PAIR.findall(sample["labels"]))
                if pairs.get("alertname") == alert:
                    found |= set(pairs)
        for question in case.get("alert_rule_test", []):
            if question["alertname"] == alert:
                found |= {label for each in question["exp_alerts"] for label in each["exp_labels"]}
    return found


@pytest.mark.parametrize(
    "rule", [*rules("alert"), *rules("record")], ids=lambda rule: rule.get("alert", rule.get("record"))
)
def test_expressions_ask_only_for_metrics_and_labels_of_the_catalogue(rule: dict[str, Any]) -> None:
    assert complaints(rule["expr"]) == []


def test_recording_rules_are_all_used_and_none_is_used_that_is_not_there() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    used = {name for rule in rules("alert") for name in re.findall(r"codeblue:[\w:]+", rule["expr"])}
    assert used == recorded
