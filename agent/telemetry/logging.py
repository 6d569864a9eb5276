"""The agent's own log: structlog to standard error, JSON lines, or readable lines on a terminal.

Everything takes the same way out, standard library loggers of other people's code included, and the last step
before rendering hides secrets.
"""

import json as stdlib_json
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import Processor

from agent.telemetry.redaction import Redactor

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_redactor = Redactor()


def register_secret(value: str) -> bool:
    """Hide this value in every log line from now on. False for fewer than four characters, which are not hidden."""
    return _redactor.register(value)


def redact(text: str) -> str:
    """The text without any registered secret, for whatever else is shown to people."""
    return _redactor.text(text)


def configure(level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set up logging for the whole process; may be called again.

    `json` None means JSON unless `stream` (standard error) is a terminal; colours only there, and not where NO_COLOR
    is set. Other people's loggers come through from WARNING up. Raises ValueError for an unknown level.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: expected one of {', '.join(LEVELS)}")
    out = stream or sys.stderr
    terminal = out.isatty()
    structlog.configure(
        processors=[*_before(), _renderer(json=not terminal if json is None else json, colors=terminal)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level.lower()]),
        logger_factory=lambda *_: _Lines(out),
        # Not cached: a cached logger would keep the stream and level of the first call for ever, and no log line is
        # written on any path where a microsecond counts.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _FromStandardLibrary)]
    root.addHandler(_FromStandardLibrary(logging.WARNING))
    root.setLevel(logging.WARNING)


def _before() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _hide_secrets,
    ]


def _hide_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return _redactor.mapping(event)


def _renderer(*, json: bool, colors: bool) -> Processor:
    if json:
        return _json
    colored = colors and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(
        colors=colored,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
        sort_keys=False,  # what matters comes first in every call; the long ids at the end may be cut off
    )


def _json(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    ordered = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    ordered.update(event)
    try:
        return orjson.dumps(ordered).decode()
    except (TypeError, ValueError):  # half a surrogate pair, or a number beyond 64 bits
        return stdlib_json.dumps(ordered)


class _Lines:
    """Writes whole lines. Where the stream is gone there is nobody left to tell, and the agent goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    log = debug = info = warning = warn = error = critical = exception = fatal = msg


class _FromStandardLibrary(logging.Handler):
    """Hands records of standard library loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 (the arguments of somebody else's log call)
            text = str(record.msg)
        level = min(max(record.levelno // 10 * 10, 10), 50)  # somebody's own level counts as the one below it
        structlog.get_logger().log(level, text, logger=record.name, exc_info=record.exc_info or None)
