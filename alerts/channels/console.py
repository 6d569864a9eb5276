"""The console channel: notices as blocks of text on the terminal or in the service manager's journal."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

from pydantic import Field

from agent.core.commands import Notice, NoticeKind
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from agent.threads import Busy, OwnThreads
from alerts.rendering import Line, Role, as_seen_here, layout
from alerts.text import when

_TIMEOUT = 5.0  # seconds that a terminal or a pipe may take
_RED, _GREEN, _YELLOW, _CYAN, _BOLD, _DIM = "31", "32", "33", "36", "1", "2"
_HEADLINES = {NoticeKind.RESOLVED: f"{_BOLD};{_GREEN}", NoticeKind.NOTE: f"{_BOLD};{_CYAN}"}
_STYLES = {Role.NOTE: f"{_BOLD};{_YELLOW}", Role.EVIDENCE: _DIM, Role.EVIDENCE_LINE: _DIM}


class ConsoleOptions(Options):
    """`color`: "auto" colours on a terminal, unless NO_COLOR is set or TERM is "dumb"."""

    color: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto: colours on a terminal, unless NO_COLOR is set or TERM is dumb"
    )
    stream: Literal["stderr", "stdout"] = Field(default="stderr", description="Where notices are printed")


class ConsoleChannel:
    """Prints. No notice makes it raise, whatever is in it; only an output that takes nothing (closed, full, or a
    pipe that nobody reads) does, because a page that was not shown must not pass for delivered."""

    def __init__(self, name: str, options: ConsoleOptions, stream: TextIO | None = None) -> None:
        self._options = options
        self._stream = stream
        self._threads = OwnThreads(f"channel-{name}", at_most=1)
        self._turn = asyncio.Lock()

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        stream = self._stream or (sys.stdout if self._options.stream == "stdout" else sys.stderr)
        coloured = wants_colour(self._options.color, stream, os.environ)
        text = console_text(as_seen_here(notice, opening), coloured=coloured)
        async with self._turn:
            try:
                await self._threads.run(lambda: _write(stream, text), _TIMEOUT)
            except (TimeoutError, Busy):
                raise DeliveryError("timeout", "nobody reads the console's output", retryable=True) from None
            except (OSError, ValueError) as error:  # ValueError: a closed file
                raise DeliveryError("closed", f"the console can't be written: {error}", retryable=False) from None
        return Receipt()

    async def verify(self) -> None:
        """There are no credentials to prove."""

    async def close(self) -> None:
        """The streams belong to the process."""


def console_text(notice: Notice, *, coloured: bool) -> str:
    """The notice with its time and kind in front, ending in an empty line."""
    first, *rest = layout(notice)
    head = Line(first.role, f"{when(notice.at)}  {notice.kind.upper()}  {first.text}")
    lines = (_painted(line, notice.kind) if coloured else line.text for line in (head, *rest))
    return "\n".join(lines) + "\n\n"


def wants_colour(choice: str, stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether to colour (https://no-color.org: any NO_COLOR that is not empty says no, unless config says always)."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # a closed stream
        return False


def _painted(line: Line, kind: NoticeKind) -> str:
    style = _HEADLINES.get(kind, f"{_BOLD};{_RED}") if line.role is Role.HEADLINE else _STYLES.get(line.role)
    return f"\x1b[{style}m{line.text}\x1b[0m" if style else line.text


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


CONSOLE = ChannelType(
    name="console",
    options=ConsoleOptions,
    build=ConsoleChannel,
    about="Prints notices to the agent's own terminal or journal.",
    per_second=1000.0,
)
