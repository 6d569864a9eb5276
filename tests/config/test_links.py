"""The dashboard that pages lead to."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError
from agent.tables import TABLES

FILE = """
agent: {{name: a}}
defaults: {{dashboard: "{defaults}"}}
services:
  - name: api
    checks: [{{tcp: "127.0.0.1:1"}}]
  - name: web
    checks: [{{tcp: "127.0.0.1:1"}}]
    dashboard: "{own}"
"""


def read(folder: Path, defaults: str, own: str) -> dict[str, dict[str, str]]:
    path = folder / "config.yaml"
    path.write_text(FILE.format(defaults=defaults, own=own))
    return {name: dict(spec.policy.links) for name, spec in load(path, TABLES, {}).services.items()}


def test_the_dashboard_of_the_file_has_the_service_s_name_in_it_and_a_service_may_have_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, "https://grafana.example/d/1?var-service={service}", "https://grafana.example/d/web")
    assert found["api"] == {"Dashboard": "https://grafana.example/d/1?var-service=api"}
    assert found["web"] == {"Dashboard": "https://grafana.example/d/web"}


def test_without_one_there_is_no_link(tmp_path: Path) -> None:
    assert read(tmp_path, "", "") == {"api": {}, "web": {}}


def test_what_is_no_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a URL"):
        read(tmp_path, "grafana/{service}", "")
