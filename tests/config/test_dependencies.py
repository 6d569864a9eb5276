"""restart: a ladder with the step `dependencies`."""

from pathlib import Path

import pytest

from agent.assembly import Ladder, make_drains, make_remediators
from agent.config.load import load
from agent.config.model import Config, ConfigError
from agent.tables import TABLES


def read(folder: Path, restart: str, depends: str = "[db]") -> Config:
    path = folder / "config.yaml"
    path.write_text(
        "services:\n  - {name: db, checks: [{tcp: '127.0.0.1:1'}], restart: {systemd: db}}\n"
        f"  - {{name: app, depends_on: {depends}, checks: [{{tcp: '127.0.0.1:2'}}], restart: {restart}}}\n"
    )
    return load(path, TABLES, {})


def test_it_is_a_step_by_its_bare_name(tmp_path: Path) -> None:
    config = read(tmp_path, "{steps: [{systemd: app}, dependencies]}")
    assert [action.type.name for action in config.services["app"].actions] == ["systemd", "dependencies"]
    assert make_drains(config) == {}
    remediators = make_remediators(config, None, None, None)  # type: ignore[arg-type]
    assert isinstance(remediators["app"], Ladder)


@pytest.mark.parametrize(
    ("restart", "depends", "said"),
    [
        pytest.param("dependencies", "[db]", "needs another step that restarts the service itself", id="alone"),
        pytest.param("{steps: [{systemd: app}, dependencies]}", "[]", "has no depends_on", id="nothing to restart"),
    ],
)
def test_what_could_restart_nothing_is_refused(tmp_path: Path, restart: str, depends: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, restart, depends)
    assert said in str(caught.value)
