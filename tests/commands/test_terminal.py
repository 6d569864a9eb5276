"""What reaches a terminal, and what reaches a script."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.assembly import log_path
from agent.cli import app
from agent.commands.terminal import cleaned, login_name
from agent.config.load import load
from agent.logs.store import LogStore
from agent.ports import LogLine
from agent.tables import TABLES

HOSTILE = "bad \x1b]0;title\x07\x1b[2Jnews\x9b"
CONFIG = """
agent: {store: "sqlite:///here.db"}
services: [{name: web, checks: [{http: "http://127.0.0.1:9/"}]}]
"""


def test_what_people_are_shown_cannot_act_on_their_terminal() -> None:
    found = {"open": [{"summary": HOSTILE, "tries": 3, "at": None}]}
    assert cleaned(found) == {"open": [{"summary": "bad news", "tries": 3, "at": None}]}


def test_who_asks_is_whoever_sits_there_also_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert login_name() == "root"
    monkeypatch.setenv("SUDO_USER", "alice")
    assert login_name() == "alice"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """With one line in the log store, of a service that is no longer there."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    store = LogStore(log_path(load(path, TABLES)))
    store.start()
    at = datetime.now(UTC)
    store.put([LogLine(at=at, source="file:/x", service="gone", level="error", text=f"{HOSTILE}\n01-01 a lie")])
    store.close()
    return path


def logs(config: Path, *arguments: str) -> tuple[int, str, str]:
    said = CliRunner().invoke(app, ["logs", *arguments, "--config", str(config)])
    return said.exit_code, said.stdout, said.stderr


@pytest.mark.parametrize("command", [("tail",), ("search", "bad")], ids=["tail", "search"])
def test_a_line_of_a_log_is_shown_as_text_and_its_second_line_is_set_off(
    command: tuple[str, ...], config: Path
) -> None:
    code, shown, _ = logs(config, *command)
    assert code == 0
    first, second = shown.splitlines()
    assert first.endswith("gone error    bad news")
    assert second == " " * 15 + "01-01 a lie"
    (line,) = map(json.loads, logs(config, *command, "--json")[1].splitlines())
    assert line["text"] == f"{HOSTILE}\n01-01 a lie"


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        pytest.param(["tail", "wbe"], 2, "no service 'wbe': did you mean 'web'?", id="tail, a typo"),
        pytest.param(["search", "x", "--service", "wbe"], 2, "did you mean 'web'?", id="search, a typo"),
        pytest.param(["tail", "web"], 1, "there are no such lines\n", id="no lines yet"),
        pytest.param(["tail", "gone"], 0, "", id="a service that was taken out"),
        pytest.param(["tail", "-n", "-5"], 2, "equal to 0", id="fewer lines than none"),
        pytest.param(["search", "x", "--limit", "0"], 2, "equal to 1", id="no line at all"),
        pytest.param(["search", "x", "--since", "soon"], 2, "--since: 'soon'", id="no duration"),
    ],
)
def test_a_question_that_finds_nothing_says_why(command: list[str], code: int, says: str, config: Path) -> None:
    found, _, said = logs(config, *command)
    assert (found, says in said) == (code, True), said
