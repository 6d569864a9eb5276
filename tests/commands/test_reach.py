"""A program that the agent's own user can't get at is told before systemd says 203/EXEC."""

from pathlib import Path

import pytest

from agent.commands.install import Step, told
from agent.commands.reach import out_of_reach


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder closed to others, as root's own is, with an environment below it."""
    folder = tmp_path / "home"
    for name in ("codeblue", "python"):
        script = folder / "venv" / "bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.touch(0o755)
    folder.chmod(0o700)
    return folder


def test_what_everybody_can_run_is_within_reach() -> None:
    assert out_of_reach(Path("/bin/sh")) == ""


def test_a_program_in_somebodys_home_is_out_of_reach(home: Path) -> None:
    program = home / "venv/bin/codeblue"
    assert out_of_reach(program) == f"{home} lets nobody in, and {program} is needed"


def test_an_interpreter_in_somebodys_home_is_out_of_reach_whatever_links_to_it(home: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir(0o755)
    (shown / "python").symlink_to(home / "venv/bin/python")
    assert out_of_reach(shown / "codeblue") == f"{home} lets nobody in, and {shown / 'python'} is needed"


def test_a_program_that_is_not_there_yet_is_no_trouble(tmp_path: Path) -> None:
    assert out_of_reach(tmp_path / "image/bin/codeblue") == ""


def test_trouble_comes_first_in_what_is_to_be_done_next() -> None:
    fine, trouble = Step(what="/etc/x", state="created"), Step(what="/root/x", state="trouble", note="nobody")
    assert list(told([fine], {}, dry_run=False))[-1].startswith("next: systemctl enable")
    assert list(told([fine, trouble], {}, dry_run=False))[-1].startswith("next: mend the trouble, then systemctl")
