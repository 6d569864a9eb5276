"""codeblue install below a folder: what it writes, what it leaves, what it refuses. On a real host: tests/systemd."""

import os
from pathlib import Path

import pytest

from agent.commands import deployment
from agent.commands.install import CannotInstall, Piece, carry_out, install, source, told
from agent.config.model import ConfigError
from agent.tables import TABLES

CONFIG = deployment.CONFIG.lstrip("/")
GOOD = """\
agent: {store: "sqlite:////var/lib/codeblue/codeblue.db"}
services: [{name: web, checks: [{tcp: "127.0.0.1:80"}], restart: {systemd: nginx}}]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


def states(root: Path, given: Path | None = None, *, dry_run: bool = False) -> dict[str, str]:
    steps, _ = install(given, root, "/opt/codeblue/bin/codeblue", TABLES, dry_run=dry_run)
    return {step.what: step.state for step in steps if step.what.startswith("/etc/")}


def test_everything_is_created_once_and_then_unchanged(tmp_path: Path, mine: Path) -> None:
    root = tmp_path / "root"
    assert set(states(root, mine).values()) == {"created"}
    assert set(states(root, mine).values()) == {"unchanged"}
    assert (root / CONFIG).read_text() == GOOD
    assert '"nginx.service": ["restart"]' in (root / deployment.RULE_FILE).read_text()
    assert (root / CONFIG).stat().st_mode & 0o777 == 0o640


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path, mine: Path) -> None:
    root = tmp_path / "root"
    assert set(states(root, mine, dry_run=True).values()) == {"created"}
    assert not root.exists()


def test_a_configuration_that_is_there_stays_and_the_rule_follows_it(tmp_path: Path, mine: Path) -> None:
    root = tmp_path / "root"
    states(root, mine)
    (root / CONFIG).write_text(GOOD.replace("nginx", "photos"))
    found = states(root, mine)
    assert found[f"/{CONFIG}"] == "kept"
    assert found[f"/{deployment.RULE_FILE}"] == "updated"
    assert "photos" in (root / CONFIG).read_text()
    assert "photos.service" in (root / deployment.RULE_FILE).read_text()


def test_without_a_configuration_a_first_one_is_written_that_loads(tmp_path: Path) -> None:
    root = tmp_path / "root"
    states(root)
    config, text = source(None, root, TABLES)
    assert set(config.services) == {"host", "codeblue"}
    assert text == deployment.starter_config()
    assert set(states(root).values()) == {"unchanged"}


def test_a_store_beside_the_configuration_is_refused_as_nothing_can_be_written_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('services: [{name: web, checks: [{tcp: "127.0.0.1:80"}]}]')
    with pytest.raises(ConfigError, match=r"sqlite:////var/lib/codeblue/codeblue\.db"):
        states(tmp_path / "root", path)
    assert not (tmp_path / "root").exists()


def test_secrets_come_from_the_units_environment_file(tmp_path: Path, mine: Path) -> None:
    root = tmp_path / "root"
    states(root, mine)
    more = 'channels: {hook: {type: webhook, url: "http://127.0.0.1:1", secret: "${HOOK_SECRET}"}}\n'
    (root / CONFIG).write_text(GOOD + more)
    with pytest.raises(ConfigError, match="HOOK_SECRET"):
        states(root)
    (root / deployment.ENVIRONMENT.lstrip("/")).write_text('# secrets\n\nHOOK_SECRET="abc=d"\n')
    config, _ = source(None, root, TABLES)
    assert config.channels["hook"].options.model_dump()["secret"].get_secret_value() == "abc=d"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file where a folder should be")
    with pytest.raises(CannotInstall, match="etc/x"):
        carry_out([Piece(path="etc/x", text="")], tmp_path, dry_run=False)


def test_the_configuration_is_never_readable_by_others_not_even_while_it_is_written(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        carry_out([Piece(path="config.yaml", text="secret", mode=0o640)], tmp_path, dry_run=False)
    finally:
        os.umask(umask)
    assert (tmp_path / "config.yaml").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["config.yaml"]


def test_what_is_told_names_every_step_and_what_the_agent_may_do(tmp_path: Path, mine: Path) -> None:
    steps, grants = install(mine, tmp_path / "root", "/x/codeblue", TABLES, dry_run=True)
    lines = list(told(steps, grants, dry_run=True))
    assert lines[0] == "would do (nothing is written):"
    assert "user codeblue may restart nginx.service" in lines
    assert any("/etc/systemd/system/codeblue.service" in line for line in lines)
