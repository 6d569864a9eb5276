"""What the doctor found: one row for each thing that was looked at."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rich.table import Table


class State(StrEnum):
    OK = "ok"
    WARN = "warn"  # worth knowing; the agent works without it
    UNKNOWN = "unknown"  # can't be told from here
    MISSING = "missing"  # something that the configuration asks for will not work


PERMISSION = "permission"  # how the subjects of leave begin


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is what a person can do, empty for what is fine."""

    subject: str
    state: State
    text: str
    remedy: str = ""


def rows(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """For --json, and from one user's process to another's."""
    return [{**asdict(finding), "state": finding.state.value} for finding in findings]


def from_rows(found: Iterable[dict[str, Any]]) -> list[Finding]:
    """The reverse of `rows`. Raises ValueError or TypeError for anything else."""
    return [Finding(**{**row, "state": State(row["state"])}) for row in found]


_COLOURS = {"ok": "green", "warn": "yellow", "unknown": "magenta", "missing": "red"}


def table(found: Iterable[dict[str, Any]]) -> Table:
    """For a terminal: what is wrong has its remedy below it."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "WHAT", "HOW IT IS"):
        made.add_column(column, overflow="fold")
    for row in found:
        colour = _COLOURS[row["state"]]
        made.add_row(f"[{colour}]{row['state']}[/]", _plain(row["subject"]), _plain(row["text"]))
        if row["remedy"]:
            made.add_row("", "", "→ " + _plain(row["remedy"]))
    return made


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
