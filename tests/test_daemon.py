"""`codeblue run` without the command line's libraries."""

from pathlib import Path

import pytest
import typer

from agent.cli import app
from agent.daemon import Run, plain_run

PLAIN = [
    pytest.param([], Run(), id="nothing but run"),
    pytest.param(["--config", "a.yaml"], Run(config=Path("a.yaml")), id="a file"),
    pytest.param(["-c", "a.yaml"], Run(config=Path("a.yaml")), id="a file, in short"),
    pytest.param(["--config=a=b.yaml"], Run(config=Path("a=b.yaml")), id="a file after an equals sign"),
    pytest.param(["--log-json"], Run(log_json=True), id="JSON"),
    pytest.param(["--log-json", "--log-console"], Run(log_json=False), id="the last of two flags"),
    pytest.param(["--allow-unverified"], Run(allow_unverified=True), id="unverified channels"),
    pytest.param(["--allow-unverified", "--no-allow-unverified"], Run(), id="taken back"),
    pytest.param(["--no-last-good"], Run(last_good=False), id="no copy of what was good"),
    pytest.param(["--log-level", "debug"], Run(log_level="debug"), id="a level"),
    pytest.param(["--log-level=loud"], Run(log_level="loud"), id="a level that is none: refused where it is used"),
]
OTHERS = [
    pytest.param([], id="nothing at all"),
    pytest.param(["--version"], id="the version"),
    pytest.param(["validate"], id="another command"),
    pytest.param(["run", "--help"], id="a question for help"),
    pytest.param(["run", "--confg", "a.yaml"], id="a typo"),
    pytest.param(["run", "--conf", "a.yaml"], id="an option cut short"),
    pytest.param(["run", "a.yaml"], id="an argument"),
    pytest.param(["run", "--config"], id="a value that is missing"),
    pytest.param(["run", "--config", "--log-json"], id="an option in place of a value"),
    pytest.param(["run", "--config="], id="an empty value"),
    pytest.param(["run", "-c=a.yaml"], id="a short option with an equals sign"),
    pytest.param(["run", "-ca.yaml"], id="a short option and its value in one"),
    pytest.param(["run", "--log-json=yes"], id="a flag with a value"),
    pytest.param(["run", "--", "a.yaml"], id="the end of the options"),
]


def as_typed(arguments: list[str]) -> Run:
    """What the command line itself makes of them."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    command = group.commands["run"]
    found = command.make_context("run", list(arguments)).params
    return Run(**{**found, "config": Path(found["config"])})


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEBLUE_CONFIG", raising=False)


@pytest.mark.parametrize(("arguments", "meant"), PLAIN)
def test_a_plain_run_means_what_it_means_on_the_command_line(arguments: list[str], meant: Run) -> None:
    assert plain_run(["run", *arguments]) == as_typed(arguments) == meant


@pytest.mark.parametrize("value", [pytest.param("other.yaml", id="set"), pytest.param("", id="empty")])
def test_the_variable_names_the_file_where_no_option_does(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEBLUE_CONFIG", value)
    assert plain_run(["run"]) == as_typed([]) == Run(config=Path(value or "config.yaml"))
    assert plain_run(["run", "-c", "mine.yaml"]) == Run(config=Path("mine.yaml"))


@pytest.mark.parametrize("arguments", OTHERS)
def test_everything_else_is_for_the_command_line(arguments: list[str]) -> None:
    assert plain_run(arguments) is None


def test_every_option_of_run_is_understood() -> None:
    """One that is added to the command line alone would cost every agent that is started with it 6 MiB."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for parameter in group.commands["run"].params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option in ("--help", "-h"):
                continue
            flag = isinstance(parameter, typer.core.TyperOption) and parameter.is_flag
            assert plain_run(["run", option] if flag else ["run", option, "x"]) is not None, option
