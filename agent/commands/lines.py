"""`codeblue logs`: reads the log store directly, so that it works while the agent runs and when it does not."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.text import Text

from agent.assembly import log_path
from agent.commands.show import COLORS
from agent.config.model import Config
from agent.config.nearest import did_you_mean
from agent.core.durations import parse_duration
from agent.core.plain_text import clean
from agent.logs import query as stored
from agent.ports import LogLine

Fail = Callable[..., typer.Exit]
STYLES = {"error": COLORS["fail"], "critical": COLORS["fail"], "warning": COLORS["warn"], "debug": "dim"}


def search(
    config: Config,
    query: str,
    service: str | None,
    level: str,
    since: str,
    limit: int,
    regex: bool,
    as_json: bool,
    fail: Fail,
) -> None:
    """Print what matches, oldest first; exit code 1 when nothing does."""
    try:
        begin = datetime.now(UTC) - parse_duration(since)
    except ValueError as error:
        raise fail(f"--since: {error}", 2) from None
    try:
        found = stored.search(
            log_path(config), query, service=service, level=level, since=begin, limit=limit, regex=regex
        )
    except stored.LogQueryError as error:
        raise fail(str(error), 2) from None
    _print(reversed(found), as_json)
    if not found:
        _known(config, service, fail)
        raise fail(f"no line matches since {begin:%Y-%m-%d %H:%M} UTC")


def tail(config: Config, service: str | None, lines: int, level: str, follow: bool, as_json: bool, fail: Fail) -> None:
    """Print the last lines, and with `follow` the next ones until interrupted; exit code 1 when there are none."""
    path = log_path(config)
    try:
        found = list(stored.tail(path, service, lines=lines, level=level))
        if not found:
            _known(config, service, fail)
        _print(found, as_json)
        if follow:
            _print(stored.follow(path, service, level=level), as_json)
    except stored.LogQueryError as error:
        raise fail(str(error), 2) from None
    except KeyboardInterrupt:
        return
    if not found and lines:
        raise fail("there are no such lines")


def _known(config: Config, service: str | None, fail: Fail) -> None:
    """Nothing found is no news where the service is misspelt. One that was removed may still have lines."""
    if service is not None and service not in config.services:
        raise fail(f"there is no service {service!r}{did_you_mean(service, config.services)}", 2)


def _print(lines: Iterable[LogLine], as_json: bool) -> None:
    console = Console(soft_wrap=True)
    for line in lines:
        if as_json:
            print(json.dumps(_plain(line), ensure_ascii=False), flush=True)
            continue
        level = Text(f"{line.level or '-':<8}", style=STYLES.get(line.level, ""))
        text = clean(line.text).replace("\n", f"\n{'':<15}")  # its second line shall not pass for another one
        console.print(Text.assemble(f"{line.at:%m-%d %H:%M:%S} ", (line.service, "bold"), " ", level, " ", text))


def _plain(line: LogLine) -> dict[str, object]:
    fields = {"trace_id": line.trace_id} if line.trace_id else {}
    return {
        "at": line.at.isoformat(),
        "service": line.service,
        "source": line.source,
        "level": line.level,
        "text": line.text,
        **fields,
        **({"fields": dict(line.fields)} if line.fields else {}),
    }
