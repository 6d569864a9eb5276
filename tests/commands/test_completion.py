"""What the shell is told when somebody presses TAB."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app

CONFIG = "services: [{name: web, checks: [agent]}, {name: worker, checks: [agent]}, {name: db, checks: [agent]}]\n"


def offered(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that bash would offer at the end of that line, in that folder."""
    monkeypatch.chdir(folder)
    words = line.split(" ")
    asked = {"_CODEBLUE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(app, [], env=asked, prog_name="codeblue").stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("codeblue stat", ["status"], id="a command"),
        pytest.param("codeblue dead-letters re", ["replay"], id="a command of a group"),
        pytest.param("codeblue status --j", ["--json"], id="an option"),
        pytest.param("codeblue explain w", ["web", "worker"], id="services of the configuration here"),
        pytest.param("codeblue check d", ["db"], id="of a list of names"),
        pytest.param("codeblue logs search --service wo", ["worker"], id="of an option"),
        pytest.param("codeblue explain --config other.yaml ", ["elsewhere"], id="of a configuration that is named"),
        pytest.param("codeblue explain --config none.yaml w", [], id="of one that is not there"),
        pytest.param("codeblue explain --config broken.yaml w", [], id="of one that is broken"),
        pytest.param("codeblue ack x", [], id="none begins so"),
    ],
)
def test_the_shell_completes(line: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "other.yaml").write_text("services: [{name: elsewhere, checks: [http: '${NOT_SET_HERE}']}]")
    (tmp_path / "broken.yaml").write_text("services: [{name: web")
    assert offered(line, tmp_path, monkeypatch) == words
