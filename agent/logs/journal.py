"""Following systemd's journal through journalctl: a child process per set of units, its cursor kept like a file's
position. Priorities give the level of lines that name none."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from agent.logs.levels import level_of_priority
from agent.logs.parsing import parse
from agent.logs.times import credible, from_epoch
from agent.ports import LogLine

log = structlog.get_logger()

_LINE_LIMIT = 4_194_304  # bytes of one journal entry; a longer one is skipped and counted
_BACKOFF = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before the child is started again
_STEADY = 60.0  # seconds after which a child that ends did not fail at starting
_PROBE_TIMEOUT = 15.0
_UNIT_KEYS = ("_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT", "COREDUMP_UNIT")  # what `journalctl -u` matches

_OLDEST = "oldest"  # stands for a cursor: everything that the journal has
GAP = "codeblue: the journal has lost the entry that was read last; lines before this one may be missing"

Take = Callable[[LogLine | None, dict[str, str | None]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One journal entry: its cursor, the unit it is about and the line."""

    cursor: str
    unit: str
    at: datetime
    text: str | bytes
    level: str


def entry_of(raw: bytes) -> Entry | None:
    """Read one line of `journalctl --output=json`. None for what is not an entry. A message that is not UTF-8 comes
    as an array of bytes, a repeated field as an array of values."""
    try:
        values = orjson.loads(raw)
        cursor = values["__CURSOR"]
        micros = int(values["__REALTIME_TIMESTAMP"])
    except (ValueError, TypeError, KeyError):
        return None
    priority = str(values.get("PRIORITY", ""))
    return Entry(
        cursor=str(cursor),
        unit=next((str(values[key]) for key in _UNIT_KEYS if values.get(key)), ""),
        at=from_epoch(micros) or datetime.now(UTC),
        text=_text(values.get("MESSAGE")),
        level=level_of_priority(int(priority)) if priority.isdecimal() else "",
    )


def _text(message: Any) -> str | bytes:
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        if message and all(isinstance(item, int) and 0 <= item < 256 for item in message):
            return bytes(message)
        parts = [_text(item) for item in message]
        return "\n".join(part if isinstance(part, str) else part.decode("utf-8", "replace") for part in parts)
    return ""


class JournalFollower:
    """Lines of some units, without end. `services` maps units (with their suffix) to services. `take` gets each line
    with the cursor that holds once the line is kept (None: only the cursor). `directory` is another journal than
    the host's own."""

    def __init__(
        self,
        services: Mapping[str, str],
        saved: Mapping[str, str],
        take: Take,
        *,
        directory: str | None = None,
        program: str = "journalctl",
    ) -> None:
        self._services = {unit if "." in unit else f"{unit}.service": name for unit, name in services.items()}
        self._key = f"journal:{directory or ''}"
        self._cursor = saved.get(self._key, "")
        self._take = take
        self._program = program
        self._options = ["--no-pager", "--all", "--output=json", *([f"--directory={directory}"] if directory else [])]
        self.skipped = 0

    async def run(self) -> None:
        """Follow until cancelled. The child is started again when it ends, sooner or later."""
        if shutil.which(self._program) is None:
            log.warning("journal_unavailable", program=self._program, remedy="install systemd, or follow files instead")
            return
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._place()
                error = await self._follow()
            except (OSError, TimeoutError) as failure:
                error = str(failure) or type(failure).__name__
            steady = asyncio.get_running_loop().time() - began > _STEADY
            failures = 0 if steady else failures + 1
            if steady or failures in (1, len(_BACKOFF)):
                log.warning("journal_ended", error=error, remedy="journalctl is started again")
            await asyncio.sleep(_BACKOFF[min(max(failures, 1), len(_BACKOFF)) - 1])

    async def _place(self) -> None:
        """Find where to begin: after the newest entry on a first start, else where we were. If the entry that was
        read last was vacuumed away, so was perhaps what came after it: the log says so, and the oldest comes next."""
        if not self._cursor:
            newest = await self._one("--lines=1")
            self._cursor = newest.cursor if newest else _OLDEST
        elif self._cursor != _OLDEST:
            first = await self._one(f"--cursor={self._cursor}", "--lines=1", "--no-tail")
            if first is not None and first.cursor == self._cursor:
                return
            log.warning("journal_gap", remedy="entries were vacuumed before they were read: give the journal more room")
            self._cursor = _OLDEST
            for unit, service in self._services.items():
                line = LogLine(
                    at=datetime.now(UTC), source=f"journal:{unit}", service=service, level="warning", text=GAP
                )
                await self._take(line, {})
        await self._take(None, {self._key: self._cursor})

    async def _one(self, *options: str) -> Entry | None:
        """The first entry, of whatever unit, that these options select. Raises OSError, TimeoutError."""
        child = await asyncio.create_subprocess_exec(
            self._program, *self._options, *options, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, limit=_LINE_LIMIT,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(child.communicate(), _PROBE_TIMEOUT)
        except BaseException:
            _kill(child)
            await child.wait()
            raise
        return entry_of(output.partition(b"\n")[0])

    def _argv(self) -> Sequence[str]:
        units = [f"--unit={unit}" for unit in self._services]
        # Not --after-cursor: where the cursor's own entry is of another unit it passes over the next one.
        where = [] if self._cursor == _OLDEST else [f"--cursor={self._cursor}"]
        return [self._program, *self._options, "--follow", "--no-tail", *where, *units]

    async def _follow(self) -> str:
        """Read one child to its end; returns what it complained about."""
        child = await asyncio.create_subprocess_exec(
            *self._argv(), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, limit=_LINE_LIMIT,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        complaints = asyncio.create_task(_last_words(child.stderr))
        try:
            while raw := await self._next(child.stdout):
                entry = entry_of(raw)
                if entry is not None and entry.cursor != self._cursor:
                    await self._give(entry)
            return f"exit code {await child.wait()}: {await complaints}"
        finally:
            _kill(child)
            complaints.cancel()
            with suppress(asyncio.CancelledError):
                await complaints
            await child.wait()

    async def _next(self, stdout: asyncio.StreamReader) -> bytes:
        """The next line, b"" at the end. One that is too long for us is passed over, and counted."""
        while True:
            try:
                return await stdout.readline()
            except ValueError:  # the reader drops what it had of the line; the rest of it is no entry
                self.skipped += 1
                log.warning("journal_entry_skipped", limit=_LINE_LIMIT)

    async def _give(self, entry: Entry) -> None:
        self._cursor = entry.cursor
        service = self._services.get(entry.unit)
        if service is None:  # an entry about the unit that another one wrote
            service = next(iter(self._services.values()))
        now = datetime.now(UTC)
        line = parse(
            entry.text, source=f"journal:{entry.unit}", service=service, received=credible(entry.at, now),
            level=entry.level,
        )  # fmt: skip
        await self._take(line, {self._key: entry.cursor})


async def _last_words(stream: asyncio.StreamReader) -> str:
    last = b""
    while chunk := await stream.read(4096):
        last = (last + chunk)[-500:]
    return last.decode("utf-8", "replace").strip()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
