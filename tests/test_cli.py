"""What the command line says, where no agent is needed."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from agent.assembly import log_path
from agent.cli import app
from agent.commands.counted import counted
from agent.commands.show import explanation
from agent.config.load import load
from agent.logs.store import LogStore
from agent.tables import TABLES

CONFIG = """
agent: {store: "sqlite:///here.db"}
services: [{name: web, checks: [{http: "http://127.0.0.1:9/"}]}]
"""


def test_the_list_of_commands_shows_a_whole_sentence_for_each() -> None:
    said = CliRunner().invoke(app, ["--help"], terminal_width=80).stdout
    commands = said[said.index("Commands:") :].splitlines()[1:]
    assert len(commands) > 10
    assert [line for line in commands if "..." in line] == []


@pytest.mark.parametrize(
    ("count", "said"), [pytest.param(0, "0 checks", id="none"), pytest.param(1, "1 check", id="one"), (2, "2 checks")]
)
def test_one_is_not_many(count: int, said: str) -> None:
    assert counted(count, "check") == said


def test_a_search_that_finds_nothing_says_so_and_ends_with_1(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    store = LogStore(log_path(load(config, TABLES)))
    store.start()
    store.close()
    found = CliRunner().invoke(app, ["logs", "search", "timeout", "--config", str(config)])
    assert (found.exit_code, found.stdout) == (1, "")
    assert re.search(r"codeblue: no line matches since \d{4}-\d\d-\d\d \d\d:\d\d UTC", found.stderr)


def test_what_is_logged_on_the_way_does_not_get_into_what_a_script_reads() -> None:
    noisy = "import structlog, sys; from agent import cli; cli.app = lambda: structlog.get_logger().warning('noise')"
    ran = subprocess.run(
        [sys.executable, "-c", f"{noisy}; cli.main()"], capture_output=True, text=True, timeout=30, check=True
    )
    assert (ran.stdout, "noise" in ran.stderr) == ("", True)


def test_explain_names_the_check_of_each_result_and_says_times_as_people_do() -> None:
    at = datetime(2026, 11, 21, 3, 7, 12, tzinfo=UTC).isoformat()
    found = {
        "service": {"name": "web", "health": "down", "since": at, "checks": [], "depends_on": []},
        "policy": {"restart": {"action": "process", "at_most": 3}, "page": ["oncall"], "checks": {}},
        "restarts": {"left": 0, "next_free_at": "2026-11-21T03:17:12.408969Z", "shared": {"host": 7, "group web": 0}},
        "timeline": [
            {"kind": "missed", "at": at, "check": "port", "text": "missed beat 1 of 2: connection refused"},
            {"kind": "check_recovered", "at": at, "check": "port", "text": "port passes again"},
        ],
    }
    console = Console(width=120)
    with console.capture() as printed:
        console.print(explanation(found))
    said = printed.get()
    assert re.search(r"^web is down for \d+ ", said)
    assert "0 of 3 left; the next is free at 03:17:12 UTC\n" in said
    assert "Left to it and others together: 7 of the host, 0 of the group web\n" in said
    assert "port: missed beat 1 of 2: connection refused" in said
    assert "· port passes again" in said
