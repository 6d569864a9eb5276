"""agent.allow: an included file can't name a way to restart that the main file doesn't allow."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError
from agent.tables import TABLES

MAIN = """
agent: {{allow: {allow}}}
include: [parts/*.yaml]
services: [{{name: web, checks: [{{tcp: "127.0.0.1:1"}}]}}]
"""
PROCEDURE = "{procedure: {steps: [{command: [/bin/a]}, {command: [/bin/b], if: {command_fails: [/bin/c]}}]}}"
DRAINED = "{systemd: db, drain: {command: {drain: [/bin/out], undrain: [/bin/in]}}}"


def complaints(folder: Path, allow: str, restart: str) -> list[str]:
    (folder / "parts").mkdir()
    part = f'services: [{{name: db, depends_on: [web], checks: [{{tcp: "127.0.0.1:2"}}], restart: {restart}}}]\n'
    (folder / "parts/team.yaml").write_text(part)
    (folder / "config.yaml").write_text(MAIN.format(allow=allow))
    try:
        load(folder / "config.yaml", TABLES, {})
    except ConfigError as error:
        return [f"{Path(problem.file).name} {problem.path}: {problem.message}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("allow", "restart"),
    [
        pytest.param("[systemd]", "{systemd: db}", id="its type"),
        pytest.param("[/usr/local/sbin/again]", "{command: [/usr/local/sbin/again, db]}", id="its program"),
        pytest.param("[command]", "{command: [/anything]}", id="every program"),
        pytest.param("[/bin/a, /bin/b, /bin/c]", PROCEDURE, id="all programs of a procedure, and of its conditions"),
        pytest.param("[systemd, /bin/out, /bin/in]", DRAINED, id="a drain's programs"),
        pytest.param("[docker]", "{steps: [dependencies, {docker: db}]}", id="the restart of what others allow"),
    ],
)
def test_what_is_in_the_list_may_be_used(tmp_path: Path, allow: str, restart: str) -> None:
    assert complaints(tmp_path, allow, restart) == []


@pytest.mark.parametrize(
    ("allow", "restart", "said"),
    [
        pytest.param("[]", "{systemd: db}", "restart.systemd: systemd is not in agent.allow", id="an empty list"),
        pytest.param("[docker]", "{systemd: db}", "systemd is not in agent.allow", id="another type"),
        pytest.param("[/bin/true]", "{command: [/bin/rm, -rf, /]}", "/bin/rm is not in agent.allow", id="a program"),
        pytest.param("[/bin/a, /bin/b]", PROCEDURE, "/bin/c is not in agent.allow", id="a condition's program"),
        pytest.param("[systemd, /bin/in]", DRAINED, "drain: /bin/out is not in agent.allow", id="a drain's program"),
        pytest.param("[docker]", "{steps: [{docker: db}, {systemd: db}]}", "steps[1].systemd: systemd", id="a step"),
    ],
)
def test_what_is_not_is_refused_with_its_place(tmp_path: Path, allow: str, restart: str, said: str) -> None:
    (found,) = complaints(tmp_path, allow, restart)
    assert found.startswith("team.yaml ")
    assert said in found


def test_a_name_that_is_no_way_to_restart_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    first, _ = complaints(tmp_path, "[sytemd]", "{systemd: db}")
    assert (
        first == "config.yaml agent.allow: there is no way to restart that is called 'sytemd': did you mean 'systemd'?"
    )


def test_an_included_file_can_not_widen_it(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "config.yaml").write_text(MAIN.format(allow="[docker]").replace("parts", "more"))
    (tmp_path / "more/team.yaml").write_text("agent: {allow: [systemd]}\nservices: []\n")
    with pytest.raises(ConfigError, match="agent"):
        load(tmp_path / "config.yaml", TABLES, {})
