"""What docs/drills.md shows is what the agent reads and tells."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from agent.config.load import load
from agent.ping import Facts, body
from agent.ports import DrillOutcome, DrillReport, Vitals
from agent.tables import TABLES
from agent.telemetry.catalogue import METRICS

PAGE = (Path(__file__).parents[2] / "docs/drills.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (tmp_path / "ping.url").write_text("https://hc.example.com/5f2a")
    text = block("yaml").replace("/etc/codeblue/ping.url", str(tmp_path / "ping.url"))
    services = [{"name": name, "checks": ["host"], "page": ["ops"]} for name in ("web", "db")]
    rest = yaml.safe_dump({"services": services, "channels": {"ops": {"type": "console"}}})
    path = tmp_path / "config.yaml"
    path.write_text(f"{text}\n{rest}")
    found = load(path, TABLES, {})
    assert found.drill.services == ("web", "db")
    assert found.drill.cron is not None
    assert found.agent.ping is not None
    assert found.agent.ping.drill_within == timedelta(days=8)


def test_the_body_of_a_ping_has_the_fields_that_are_shown() -> None:
    shown = json.loads(block("json"))
    drill = DrillReport(id="1", of="web", by="a", at=NOW, outcome=DrillOutcome.PASSED)
    vitals = Vitals(started=NOW, drills={"web": drill})
    told = body(vitals, Facts(agent="web-1", services=1, incidents=0, waiting=0), (), NOW)
    assert list(shown) == list(told)
    assert shown["drills"][0].keys() == told["drills"][0].keys()


def test_every_metric_that_is_named_is_one() -> None:
    known = {metric.name for metric in METRICS}
    named = set(re.findall(r"codeblue_[a-z_]+", PAGE))
    assert named
    assert named <= known
