"""What is kept of drills over a restart of the agent: one note of the store, JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from agent.ports import DrillLeg, DrillOutcome, DrillReport

NOTE = "drills"
CUT_OFF = "the agent was stopped during the drill"


@dataclass(slots=True)
class Kept:
    """`ended` are the last drills of each kind that came to their end, `cut_off` those that did not and are newer;
    `scheduled_at` is when one was last due by the schedule."""

    ended: dict[str, DrillReport] = field(default_factory=dict)
    cut_off: dict[str, DrillReport] = field(default_factory=dict)
    scheduled_at: datetime | None = None


def write(kept: Kept, running: Iterable[DrillReport]) -> str:
    """What is running is written as what it will be if nobody writes anything later: cut off."""
    unfinished = kept.cut_off | {
        one.of: replace(one, outcome=DrillOutcome.UNFINISHED, why=f"not finished: {CUT_OFF}") for one in running
    }
    return json.dumps(
        {
            "ended": [_plain(one) for one in kept.ended.values()],
            "cut_off": [_plain(one) for one in unfinished.values()],
            "scheduled_at": kept.scheduled_at.isoformat() if kept.scheduled_at else None,
        }
    )


def read(text: str) -> Kept:
    """The reverse. Raises ValueError, KeyError or TypeError for anything else."""
    found = json.loads(text)
    at = found["scheduled_at"]
    return Kept(
        ended={row["of"]: _report(row) for row in found["ended"]},
        cut_off={row["of"]: _report(row) for row in found["cut_off"]},
        scheduled_at=datetime.fromisoformat(at) if at else None,
    )


def _plain(report: DrillReport) -> dict[str, Any]:
    return {**asdict(report), "at": report.at.isoformat()}


def _report(row: dict[str, Any]) -> DrillReport:
    legs = tuple(DrillLeg(**{**leg, "outcome": DrillOutcome(leg["outcome"])}) for leg in row["legs"])
    changed = {
        "at": datetime.fromisoformat(row["at"]),
        "outcome": DrillOutcome(row["outcome"]),
        "legs": legs,
        "failed": tuple(row["failed"]),
    }
    return DrillReport(**{**row, **changed})
