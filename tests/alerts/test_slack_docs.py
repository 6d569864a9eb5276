"""docs/slack.md: what people copy out of it works."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config.load import load
from agent.tables import TABLES
from alerts.slack_command import help_text, understand_command
from alerts.slack_options import May, SlackOptions
from tests.slack_standin import NEEDS

PAGE = (Path(__file__).parents[2] / "docs" / "slack.md").read_text()
MANIFEST, CONFIG, OVER_HTTP = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_manifest_has_every_scope_that_the_api_calls_need() -> None:
    scopes = set(MANIFEST["oauth_config"]["scopes"]["bot"])
    assert scopes >= {*NEEDS.values(), "commands", "groups:history", "groups:read", "im:history"}
    assert all(f"`{scope}`" in PAGE for scope in scopes)


@pytest.mark.parametrize("manifest", [MANIFEST, OVER_HTTP], ids=["socket", "http"])
def test_a_manifest_switches_on_what_it_is_for(manifest: dict[str, Any]) -> None:
    settings, (command,) = manifest["settings"], manifest["features"]["slash_commands"]
    assert settings["interactivity"]["is_enabled"]
    assert command["command"] == "/codeblue"
    assert len(command["description"]) <= 2_000
    assert settings["socket_mode_enabled"] is ("url" not in command)


def test_the_paths_of_the_http_manifest_are_those_that_the_agent_serves() -> None:
    (command,) = OVER_HTTP["features"]["slash_commands"]
    assert command["url"].endswith("/slack/command")
    assert OVER_HTTP["settings"]["interactivity"]["request_url"].endswith("/slack/interactive")


def test_the_configuration_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    service = {"name": "web", "checks": [{"file": "/etc/hostname"}], "page": ["oncall"]}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"services": [service], **CONFIG}))
    options = load(path, TABLES).channels["oncall"].options
    assert isinstance(options, SlackOptions)
    assert options.may.restart == ["alice", "@sre"]


def test_every_option_of_who_may_do_what_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in May.model_fields)
    assert all(f"`{name}`" in PAGE for name in ("app_token", "signing_secret", "token"))


COMMANDS = re.findall(r"`/codeblue ?([^`\n]*)`", PAGE.partition("## The command")[2] + help_text())


@pytest.mark.parametrize("text", sorted(set(COMMANDS)))
def test_every_command_that_is_shown_is_understood(text: str) -> None:
    assert understand_command(text).what in ("status", "ack", "silence", "oncall", "help")
