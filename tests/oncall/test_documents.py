"""What is written for people about who is woken is true: the page's examples are read, the example file is proved."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agent.cli import app
from agent.commands.oncall_coverage import prove
from agent.commands.oncall_sources import known
from agent.config.load import load
from agent.config.model import Config
from agent.tables import TABLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "oncall.md").read_text()
EXAMPLE = ROOT / "examples" / "oncall.yaml"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)  # the clocks of Berlin change nine days later


def documented(folder: Path) -> Config:
    """All of the page's examples as one file, with channels and a service around them."""
    whole: dict[str, object] = {
        "channels": {"slack": {"type": "console"}, "sms": {"type": "console"}},
        "services": [{"name": "web", "checks": ["host"]}],
    }
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        for section, value in yaml.load(block, yaml.BaseLoader).items():
            before = whole.get(section)
            whole[section] = {**before, **value} if isinstance(before, dict) else value
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(whole))
    return load(path, TABLES, {})


def test_the_examples_of_the_page_are_read_as_one_configuration(tmp_path: Path) -> None:
    config = documented(tmp_path)
    assert set(config.schedules) == {"primary", "secondary"}
    assert set(config.escalations) == {"default", "daytime", "databases"}
    escalation = config.services["web"].policy.escalation
    assert escalation
    assert escalation.name == "default"


@pytest.mark.parametrize("line", re.findall(r"^codeblue (oncall .*)$", PAGE, re.MULTILINE))
def test_every_command_of_the_page_is_one(line: str) -> None:
    """With an option that there is not, so that nothing is done: only that one may be refused."""
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
    said = CliRunner().invoke(app, [*words, "--no-such-option"])
    assert said.exit_code == 2
    assert "--no-such-option" in said.output


def test_the_example_is_covered_over_the_changes_of_the_clocks_in_both_of_its_cities() -> None:
    config = load(EXAMPLE, TABLES, {})
    start = NOW - timedelta(days=20)
    proof = prove(config, known(config, NOW, agent=False), start, start + timedelta(days=60), verify=True)
    assert proof.holes == []
    assert {name for route in proof.routes for name in route.services} == set(config.services)
