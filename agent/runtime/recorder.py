"""Writes each result into its check's live row, and remembers histories as runs of equal verdicts."""

from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckRow, Run, Store, StoreUnavailable

log = structlog.get_logger()

_INDEX = {verdict: number for number, verdict in enumerate(Verdict)}
REMEMBERED = 20  # verdicts of a check
TAIL = (1 << 2 * REMEMBERED) - 1
MARKS = "▮▪▯?"  # pass, warn, fail, unknown
KEPT = 100_000  # ended runs that wait for the store; beyond that the oldest go


class Recorder:
    """The one thing that a passing check always passes through: a few writes to its row."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended: list[Run] = []

    def record(self, row: CheckRow, result: CheckResult) -> None:
        at = result.at.timestamp()
        verdict = result.verdict
        if verdict is row.verdict and result.reason == row.reason:
            row.run_count += 1
        else:
            if row.verdict is not None:
                self._ended.append(_run(row))
            row.verdict = verdict
            row.reason = result.reason
            row.run_since = at
            row.run_count = 1
        index = _INDEX[verdict]
        row.runs[index] += 1
        if index or row.tail:  # nothing but passes stays 0, which costs nothing
            row.tail = (row.tail << 2 | index) & TAIL
        row.summary = result.summary
        row.at = at
        row.took = result.took.total_seconds()
        row.phases = result.phases
        row.values = result.values
        if verdict is Verdict.FAIL:
            row.misses += 1
        elif verdict is not Verdict.UNKNOWN:
            row.misses = 0

    async def flush(self) -> None:
        """Hand the ended runs to the store; they wait while it is away."""
        if not self._ended:
            return
        batch, self._ended = self._ended, []
        try:
            await self._store.save_runs(batch)
        except StoreUnavailable as error:
            self._ended = (batch + self._ended)[-KEPT:]
            log.debug("store_unavailable", what="runs", error=str(error))

    async def close(self, rows: Iterable[CheckRow]) -> None:
        """A clean end: the runs that still go on are stored too."""
        self._ended += [_run(row) for row in rows if row.verdict is not None]
        await self.flush()


def heartbeat(rows: Iterable[CheckRow]) -> str:
    """What each check said last, the newest last: "http ▮▮▮▯▯". Empty where none has run."""
    return "; ".join(f"{row.check} {_marks(row)}" for row in rows if row.verdict is not None)


def _marks(row: CheckRow) -> str:
    count = min(REMEMBERED, sum(row.runs))
    return "".join(MARKS[row.tail >> 2 * place & 3] for place in reversed(range(count)))


def _run(row: CheckRow) -> Run:
    assert row.verdict is not None
    return Run(
        service=row.service,
        check=row.check,
        verdict=row.verdict,
        reason=row.reason,
        first_at=datetime.fromtimestamp(row.run_since, UTC),
        last_at=datetime.fromtimestamp(row.at, UTC),
        count=row.run_count,
    )
