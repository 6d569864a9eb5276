"""What is written for people about silences and maintenance is true: the page's examples are read."""

import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agent.cli import app
from agent.config.load import load
from agent.core.matchers import parse_all
from agent.tables import TABLES
from agent.web.maintenance import MaintenanceApi
from agent.web.notify import NotifyApi
from agent.web.silences import SilenceApi
from tests.web.site import Site

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "silences.md").read_text()
COMMANDS = re.findall(r"^codeblue (.*)$", PAGE, re.MULTILINE)


def test_the_windows_of_the_page_are_read(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    labels = {"team": "shop"}
    around = {"services": [{"name": "db", "group": "web", "labels": labels, "checks": ["host"]}]}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**around, **yaml.load(block, yaml.BaseLoader)}))
    backup, monthly, once = load(path, TABLES, {}).maintenance
    assert (backup.id, backup.comment) == ("backup", "weekly backup")
    assert monthly.length == timedelta(minutes=90)
    assert str(once.matchers) == "team=~shop|photos"
    assert once.length == timedelta(hours=60)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_one(line: str) -> None:
    """With an option that there is not, so that nothing is done: only that one may be refused."""
    said = CliRunner().invoke(app, [*shlex.split(line), "--no-such-option"])
    assert said.exit_code == 2
    assert "--no-such-option" in said.output


@pytest.mark.parametrize("line", [line for line in COMMANDS if "=" in line.partition(" --")[0]])
def test_the_matchers_of_the_page_are_understood(line: str) -> None:
    words = shlex.split(line.partition(" --")[0])[2:]
    assert parse_all(words, ["service", "severity", "group", "team"]).all_of


@pytest.mark.parametrize("path", re.findall(r"`(?:GET|POST|DELETE) (/api/\S+?)[?`]", PAGE))
def test_the_requests_of_the_page_have_routes(path: str) -> None:
    deps = Site().deps()
    known = {route.path for part in (MaintenanceApi, NotifyApi, SilenceApi) for route in part(deps).routes()}
    assert re.sub(r"/[A-Z]+$", "/{id}", path).replace("/api/notify/{id}", "/api/notify/{channel}") in known
