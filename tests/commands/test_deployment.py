"""The files of an installation: what the agent may do, and that deploy/ shows what is written."""

from pathlib import Path
from typing import Any

import pytest

from agent.commands import deployment
from agent.config.load import load
from agent.tables import TABLES
from tests.systemd.machine import as_text

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLE = {"nginx.service": ("restart",), "photos-api.service": ("reload", "restart")}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("codeblue.service", deployment.unit_file()),
        ("codeblue.sysusers", deployment.user_file()),
        ("50-codeblue.rules", deployment.polkit_rule(EXAMPLE)),
        ("config.yaml", deployment.starter_config()),
    ],
)
def test_deploy_shows_what_is_written(name: str, text: str) -> None:
    assert (DEPLOY / name).read_text() == text, f"write deployment's text to deploy/{name}"


def service(name: str, restart: Any) -> dict[str, Any]:
    return {"name": name, "checks": [{"tcp": "127.0.0.1:1"}], "restart": restart}


def test_the_agent_may_do_what_its_configuration_names_and_nothing_else(tmp_path: Path) -> None:
    services = [
        service("a", {"systemd": "nginx"}),
        service("b", {"systemd": {"unit": "nginx.service", "verb": "reload"}}),
        service("c", {"systemd": "worker@1"}),
        service("d", {"systemd": {"unit": "mine", "scope": "user"}}),
        service("e", {"command": ["/bin/true"]}),
        {"name": "f", "checks": [{"systemd": "only-looked-at"}]},
    ]
    path = tmp_path / "config.yaml"
    path.write_text(as_text({"services": services}))
    found = deployment.grants_of(load(path, TABLES, {}))
    assert found == {"nginx.service": ("reload", "restart"), "worker@1.service": ("restart",)}


def test_a_rule_without_units_allows_nothing() -> None:
    assert "var allowed = {};" in deployment.polkit_rule({})


def test_a_units_name_stays_text_in_the_rule() -> None:
    rule = deployment.polkit_rule({r"a\x2d\"b.service": ("restart",)})
    assert r'"a\\x2d\\\"b.service": ["restart"]' in rule
