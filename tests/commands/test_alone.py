"""One agent on one database of a host."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.alone import alone_on
from agent.ownership import StoreInUse


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.commands.alone.PATIENCE", 0.3)


def test_a_second_one_is_told_whose_it_is(tmp_path: Path) -> None:
    database = tmp_path / "codeblue.db"
    with alone_on(database, "east"):
        with (
            pytest.raises(StoreInUse, match=rf"the agent east \(process {os.getpid()}\) runs"),
            alone_on(database, "west"),
        ):
            pass
        with alone_on(tmp_path / "another.db", "west"):
            pass
    with alone_on(database, "west"):
        pass


def test_it_is_not_handed_down_to_what_the_agent_starts(tmp_path: Path) -> None:
    """A child that outlives an agent that was killed must not keep the next one from starting."""
    with alone_on(tmp_path / "codeblue.db", "east"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    try:
        with alone_on(tmp_path / "codeblue.db", "east"):
            pass
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    "database",
    [
        pytest.param(None, id="a database without a file"),
        pytest.param(Path("/nowhere/codeblue.db"), id="no such folder"),
        pytest.param(Path("/proc/codeblue.db"), id="a folder in which no file can be"),
    ],
)
def test_where_no_lock_can_be_had_the_agent_starts_all_the_same(database: Path | None) -> None:
    with alone_on(database, "east"), alone_on(database, "west"):
        pass
