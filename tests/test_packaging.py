"""What `pip install .` puts in place."""

import tomllib
from pathlib import Path

from setuptools import find_packages

from agent.commands.demo import CONFIG

ROOT = Path(__file__).parents[1]


def test_an_installation_has_the_program_and_the_service_that_its_demo_starts_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = find_packages(str(ROOT), include=project["tool"]["setuptools"]["packages"]["find"]["include"])
    tops = {name.partition(".")[0] for name in packages}
    assert tops == {"agent", "alerts", "checks", "dashboards", "examples"}
    assert "[python, -m, examples.hello," in CONFIG
