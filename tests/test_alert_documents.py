"""docs/alerts-in.md: what people copy out of it works."""

import re
import subprocess
from pathlib import Path

import yaml

from agent.config.load import load
from agent.tables import TABLES
from agent.web.alerts_in import PREFIX

PAGE = (Path(__file__).parents[1] / "docs" / "alerts-in.md").read_text()
OURS, THEIRS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_our_side_is_read(tmp_path: Path) -> None:
    around = {
        "services": [{"name": "web", "checks": [{"file": "/etc/hostname"}]}],
        "channels": {"oncall": {"type": "console"}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(around) + OURS)
    found = load(path, TABLES, {"ALERTS_TOKEN": "a-token-for-alerts"}).alerts_in
    assert found is not None
    assert found.token is not None
    assert found.token.get_secret_value() == "a-token-for-alerts"


def test_alertmanager_s_side_is_one_that_alertmanager_takes(tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(THEIRS)
    done = subprocess.run(
        ["amtool", "check-config", str(path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    (hook,) = yaml.safe_load(THEIRS)["receivers"][0]["webhook_configs"]
    assert hook["url"].endswith(f"{PREFIX}alertmanager")


def test_the_defaults_that_it_names_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "services: [{name: web, checks: [{file: /etc/hostname}]}]\nchannels: {oncall: {type: console}}\n"
        "alerts_in: {page: [oncall]}\n"
    )
    found = load(path, TABLES, {}).alerts_in
    assert found is not None
    assert (found.unheard_after.total_seconds(), found.close_after.days, found.at_most) == (12 * 3600, 7, 1000)
