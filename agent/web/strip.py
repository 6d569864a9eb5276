"""The heartbeat strip: what a check said in each of the last so many spans of time, the worst of each."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from agent.core.result import Verdict
from agent.ports import Run, ServiceRow

NOTHING = "none"
_WORSE = {Verdict.FAIL: 3, Verdict.UNKNOWN: 2, Verdict.WARN: 1, Verdict.PASS: 0}


def strip(runs: Iterable[Run], until: datetime, cells: int = 60, cell: timedelta = timedelta(minutes=1)) -> list[str]:
    """The worst verdict in each cell, oldest first; "none" where nothing ran. The last cell ends at `until`."""
    start = until - cells * cell
    worst: list[Verdict | None] = [None] * cells
    for run in runs:
        first = max(0, min(cells - 1, (run.first_at - start) // cell))
        last = min(cells - 1, (run.last_at - start) // cell)
        for place in range(first, last + 1):
            before = worst[place]
            if before is None or _WORSE[run.verdict] > _WORSE[before]:
                worst[place] = run.verdict
    return [verdict.value if verdict else NOTHING for verdict in worst]


def going_on(service: ServiceRow) -> list[Run]:
    """The run of equal verdicts in which each check is now. The store gets it only when another verdict ends it."""
    return [
        Run(
            service=row.service,
            check=row.check,
            verdict=row.verdict,
            reason=row.reason,
            first_at=datetime.fromtimestamp(row.run_since or row.at, UTC),
            last_at=datetime.fromtimestamp(row.at, UTC),
            count=row.run_count,
        )
        for row in service.checks.values()
        if row.verdict is not None
    ]


def spoken(cells: Sequence[str]) -> str:
    """The strip for who cannot see it: how many of its cells say what."""
    counts = {verdict: cells.count(verdict) for verdict in dict.fromkeys(cells)}
    return ", ".join(f"{count} × {'no run' if verdict == NOTHING else verdict}" for verdict, count in counts.items())
