"""Reading a configuration from a text, for tests."""

from collections.abc import Mapping
from pathlib import Path

from agent.config.load import load
from agent.config.model import Config, ConfigError, Tables
from tests.config.small_tables import TABLES


def read(folder: Path, text: str, env: Mapping[str, str] | None = None, tables: Tables = TABLES) -> Config:
    """The configuration that this text is, read from a file in that folder."""
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path, tables, env or {})


def complaints(folder: Path, text: str, env: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with this text, each as `path: message`."""
    try:
        read(folder, text, env)
    except ConfigError as error:
        return [f"{problem.path}: {problem.message}" for problem in error.problems]
    return []
