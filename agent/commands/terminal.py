"""What all subcommands do on a terminal or in a pipe: read the configuration, ask the agent, print, fail."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType

from agent.commands.counted import counted
from agent.core.plain_text import clean

WIDE = 1000  # columns; what is piped is not folded
out = Console(width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)


def fail(message: str, code: int = 1) -> typer.Exit:
    """Say what is wrong, and end with this code."""
    err.print(f"codeblue: {message}", markup=False, soft_wrap=True)
    return typer.Exit(code)


def read(config: Path) -> Any:
    """The configuration, or every problem in it and exit code 2."""
    from agent.config.load import load
    from agent.config.model import ConfigError
    from agent.tables import TABLES

    try:
        return load(config, TABLES)
    except ConfigError as error:
        raise refused(error) from None


def read_to_ask(config: Path) -> Any:
    """The configuration as far as it takes to ask the running agent: what else is wrong with the files, a secret that
    only the agent's environment has too, keeps nobody from asking. Where it is too little, as `read`."""
    from agent.config.load import load, readable_part
    from agent.config.model import ConfigError
    from agent.tables import TABLES

    try:
        return load(config, TABLES)
    except ConfigError as error:
        if (part := readable_part(config, TABLES)) is None:
            raise refused(error) from None
        return part


def refused(error: Any) -> typer.Exit:
    for problem in error.problems:
        err.print(str(problem), markup=False, soft_wrap=True)
    return fail(f"{counted(len(error.problems), 'problem')} in the configuration", 2)


def show(found: Any, as_json: bool, render: Callable[[Any], RenderableType]) -> None:
    """As it is for scripts; for people without what could act on their terminal."""
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        out.print(render(cleaned(found)))


def cleaned(found: Any) -> Any:
    """The same answer with every text in it made safe to show: services, logs and programs wrote parts of them."""
    if isinstance(found, str):
        return clean(found)
    if isinstance(found, list):
        return [cleaned(one) for one in found]
    return {key: cleaned(one) for key, one in found.items()} if isinstance(found, dict) else found


def duration(text: str, option: str = "--since") -> str:
    """A length of time as the agent's API takes it, or exit code 2."""
    from agent.core.durations import format_duration, parse_duration

    try:
        return format_duration(parse_duration(text))
    except ValueError as error:
        raise fail(f"{option}: {error}", 2) from None


def asked(
    config: Path,
    path: str,
    *,
    body: dict[str, Any] | None = None,
    service: str = "",
    method: str = "",
    timeout: float = 10.0,
) -> Any:
    """The running agent's answer, or what is wrong and exit code 1; 2 when it knows nothing of what it was asked for,
    or can make nothing of it. `service` is the name that a person gave: what was probably meant is said too."""
    from agent.commands.ask import AgentUnreachable, NotThere, NotUnderstood, ask
    from agent.config.nearest import did_you_mean

    found = read_to_ask(config)
    try:
        return ask(found, path, body=body, method=method, timeout=timeout)
    except NotThere as error:
        raise fail(f"{error}{did_you_mean(service, found.services) if service else ''}", 2) from None
    except NotUnderstood as error:
        raise fail(str(error), 2) from None
    except AgentUnreachable as error:
        raise fail(str(error)) from None


def login_name() -> str:
    """Whoever sits at the terminal, also behind sudo."""
    import getpass
    import os

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
