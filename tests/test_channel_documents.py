"""docs/channels.md: every channel is there, and what people copy out of it works."""

import re
from pathlib import Path

import pytest
import yaml

from agent.config.load import load
from agent.tables import TABLES
from alerts.channels import CHANNELS

PAGE = (Path(__file__).parents[1] / "docs" / "channels.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ENV = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "JIRA_TOKEN": "jira-1",
    "MAIL_PASSWORD": "mail-1",
    "TWILIO": "sid:token",
    "TEAMS_URL": "msteams://a/b/c/d",
    "HOOK_URL": "https://hooks.internal/x",
    "HOOK_SECRET": "hook-1",
}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_read(number: int, tmp_path: Path) -> None:
    written = yaml.safe_load(EXAMPLES[number])
    service = {"name": "web", "checks": [{"file": "/etc/hostname"}], "page": [next(iter(written["channels"]))]}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"services": [service], **written}))
    config = load(path, TABLES, ENV)
    assert config.channels.keys() == written["channels"].keys()


@pytest.mark.parametrize("kind", sorted(CHANNELS))
def test_every_channel_has_a_section_with_an_example_of_itself(kind: str) -> None:
    section = PAGE.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
    assert f"type: {kind}" in section
    assert kind == "console" or "Never twice" in section


def test_every_variable_of_the_examples_is_one_that_this_test_sets() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", PAGE)) == ENV.keys()
