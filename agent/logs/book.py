"""The log pipeline: sources -> parse -> count, remember, match patterns -> store. It is the agent's `LogBook`."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from agent.logs.files import FileFollower
from agent.logs.journal import JournalFollower
from agent.logs.parsing import parse
from agent.logs.patterns import Pattern
from agent.logs.query import LogQueryError, tail
from agent.logs.store import LogStore
from agent.logs.tail import Chunk
from agent.ports import LogLine, LogSpec

log = structlog.get_logger()

_RING = 50  # lines of each service that are at hand without the store
_POLL = 0.1
_SLICE = 200  # lines that are parsed before others get their turn
_MOST_PATTERNS = 1_000
_STORE_TIMEOUT = 2.0
_FIRST_LOOK = 5.0  # seconds that a start waits for a store that works to know the first positions

T = TypeVar("T")
OnCount = Callable[[str, str, str, int], None]


class Logs:
    """Takes in log lines from files, the journal and supervised processes. All methods belong to the event loop's
    thread. `on_count(service, source, level, n)` is told of every line, in bunches."""

    def __init__(
        self,
        store: LogStore,
        *,
        on_count: OnCount = lambda _service, _source, _level, _n: None,
        zone: tzinfo = UTC,
        journal_directory: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self._on_count = on_count
        self._zone = zone
        self._journal_directory = journal_directory
        self._now = now
        self._rings: dict[str, deque[LogLine]] = {}
        self._patterns: dict[str, dict[tuple[str, str], Pattern | None]] = {}
        self._exclude: tuple[Path, ...] = ()
        self._saved: dict[str, str] = {}
        self._specs: tuple[LogSpec, ...] = ()
        self._files: FileFollower | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._thread = ThreadPoolExecutor(1, "log-files")
        self._reader = ThreadPoolExecutor(1, "log-reader")

    async def start(self, specs: Sequence[LogSpec], *, exclude: Sequence[Path] = ()) -> None:
        """Open the store and follow the sources. `exclude` are the agent's own log and databases; the log store's own
        file is left out anyway. A store or source in trouble is reported and retried, never raised."""
        self._exclude = (*exclude, self.store.path)
        self._saved = await self._in(self._thread, self.store.start)
        await self.reconfigure(specs)

    async def reconfigure(self, specs: Sequence[LogSpec]) -> None:
        """Follow these sources from now on. Those that stay go on without loss and without a line read twice."""
        self._specs = tuple(specs)
        await self._stop_task("journal")
        units = {unit: spec.service for spec in specs for unit in spec.units}
        if units:
            journal = JournalFollower(units, self._saved, self._take_entry, directory=self._journal_directory)
            self._tasks["journal"] = asyncio.create_task(self._guarded(journal.run), name="log-journal")
        if self._files is not None:
            await self._in(self._thread, self._files.follow, specs)
        elif any(spec.files for spec in specs):
            self._files = await self._in(
                self._thread, partial(FileFollower, tuple(specs), self._saved, exclude=self._exclude)
            )
        if self._files is not None and "files" not in self._tasks:
            await self._take_all(self._files)
            first = partial(self.store.flush, _FIRST_LOOK, patient=False)
            await self._in(self._thread, first)  # where reading began outlives a kill -9
            self._tasks["files"] = asyncio.create_task(self._guarded(self._follow_files), name="log-files")

    async def stop(self) -> None:
        """Stop following, write what was taken in, close the store."""
        for name in list(self._tasks):
            await self._stop_task(name)
        if self._files is not None:
            await self._in(self._thread, self._files.close)
            self._files = None
        await self._in(self._thread, self.store.close)
        self._thread.shutdown(wait=False)
        self._reader.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------------------ taking in

    def feed(self, line: LogLine) -> None:
        """Take one line that is parsed already."""
        self._note((line,))
        self.store.put((line,))

    def feed_text(self, source: str, service: str, raw: str | bytes) -> None:
        """Take one raw line of a source that cannot be read again, e.g. `process:NAME`; an empty one is nothing."""
        if raw.strip():
            self.feed(parse(raw, source=source, service=service, received=self._now(), zone=self._zone))

    def _note(self, lines: Iterable[LogLine]) -> None:
        counts: Counter[tuple[str, str, str]] = Counter()
        now = time.time()
        for line in lines:
            service = line.service
            counts[service, line.source, line.level] += 1
            ring = self._rings.get(service)
            if ring is None:
                ring = self._rings[service] = deque(maxlen=_RING)
            ring.append(line)
            if service in self._patterns:
                for pattern in self._patterns[service].values():
                    if pattern is not None:
                        pattern.offer(line, now)
        for (service, source, level), n in counts.items():
            self._on_count(service, source, level, n)

    async def _follow_files(self) -> None:
        while True:
            files = self._files
            assert files is not None
            await self._take_all(files)
            await asyncio.sleep(0 if files.more else _POLL)

    async def _take_all(self, files: FileFollower) -> None:
        for chunk in await self._in(self._thread, files.poll):
            await self._take_chunk(chunk)

    async def _take_chunk(self, chunk: Chunk) -> None:
        """Parse in slices, resting between them as long as they took: logs get half of the loop at most. The lines and
        the position behind them go to the store as one."""
        lines: list[LogLine] = []
        for begin in range(0, len(chunk.lines), _SLICE):
            began, received = time.perf_counter(), self._now()
            parsed = [
                parse(raw, source=chunk.source, service=chunk.service, received=received, zone=self._zone)
                for raw in chunk.lines[begin : begin + _SLICE]
            ]
            self._note(parsed)
            lines += parsed
            await asyncio.sleep(time.perf_counter() - began)
        await self._room()
        self.store.put(lines, chunk.positions)

    async def _take_entry(self, line: LogLine | None, positions: Mapping[str, str | None]) -> None:
        await self._room()
        if line is not None:
            self._note((line,))
        self.store.put((line,) if line is not None else (), positions)
        self._saved |= {key: at for key, at in positions.items() if at is not None}

    async def _room(self) -> None:
        """Files and the journal wait on disk while the store is behind; a broken store holds nobody up."""
        while self.store.full:  # noqa: ASYNC110 - the writer's thread has no loop whose event it could set
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------------------------------------------ LogBook

    async def tail(self, service: str, *, before: datetime, lines: int = 20) -> list[LogLine]:
        ring = self._rings.get(service, ())
        recent = sorted((line for line in ring if line.at <= before), key=lambda line: line.at)
        if len(recent) >= lines:
            return recent[len(recent) - lines :]
        try:
            question = partial(tail, self.store.path, service, before=before, lines=lines)
            older = await asyncio.wait_for(self._in(self._reader, question), _STORE_TIMEOUT)
        except (LogQueryError, TimeoutError) as error:
            log.warning("log_tail_without_store", service=service, error=str(error) or type(error).__name__)
            return recent
        return _merged(older, recent)[-lines:] if lines > 0 else []

    def count(self, service: str, pattern: str, since: datetime, level: str = "") -> int:
        found = self._pattern(service, pattern, level)
        return 0 if found is None else found.count(since, time.time())

    def watched_since(self, service: str, pattern: str, level: str = "") -> datetime:
        found = self._pattern(service, pattern, level)
        return self._now() if found is None else found.since

    def last_match(self, service: str, pattern: str, level: str = "") -> LogLine | None:
        found = self._pattern(service, pattern, level)
        return None if found is None else found.last

    def pattern_trouble(self, service: str, pattern: str, level: str = "") -> str:
        found = self._pattern(service, pattern, level)
        return "not a regular expression, or one too many" if found is None else found.trouble

    def _pattern(self, service: str, expression: str, level: str) -> Pattern | None:
        known = self._patterns.setdefault(service, {})
        key = (expression, level)
        if key not in known:
            if sum(len(patterns) for patterns in self._patterns.values()) >= _MOST_PATTERNS:
                log.warning("log_patterns_too_many", limit=_MOST_PATTERNS, service=service, pattern=expression)
                return None
            try:
                known[key] = Pattern(expression, self._now().timestamp(), level=level)
            except ValueError as error:
                known[key] = None
                log.warning("log_pattern_invalid", service=service, pattern=expression, error=str(error))
        return known[key]

    # ------------------------------------------------------------------------------------------------ tasks

    async def _guarded(self, run: Callable[[], Awaitable[None]]) -> None:
        """A bug in one source is logged and does not end the others, nor this one."""
        while True:
            try:
                await run()
                return
            except Exception:
                log.exception("log_source_failed")
                await asyncio.sleep(1.0)

    async def _in(self, thread: ThreadPoolExecutor, call: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, call, *values)

    async def _stop_task(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _merged(older: Sequence[LogLine], recent: Sequence[LogLine]) -> list[LogLine]:
    """Lines of the store and of the ring by time, those that are in both once."""
    stored = Counter((line.at, line.source, line.text) for line in older)
    missing: list[LogLine] = []
    for line in recent:
        key = (line.at, line.source, line.text)
        if stored[key] > 0:
            stored[key] -= 1
        else:
            missing.append(line)
    return sorted([*older, *missing], key=lambda line: line.at)
