"""agent.allow: what restarts may use at all, whatever an included file says. It stands in the main file alone."""

from collections.abc import Collection, Iterable
from typing import Any

from agent.config.model import Tables
from agent.config.nearest import did_you_mean
from agent.config.report import Place, Report
from agent.core.along import ALONG
from agent.ports import Options


def read_allowed(
    written: Collection[str] | None, tables: Tables, place: Place, report: Report
) -> frozenset[str] | None:
    """The names of types and the absolute paths of programs; None where everything is allowed."""
    if written is None:
        return None
    known = {*tables.actions, *tables.drains}
    for entry in written:
        if not entry.startswith("/") and entry not in known:
            meant = (
                did_you_mean(entry, sorted(known))
                or f": expected one of {', '.join(sorted(known))}, or a program's path"
            )
            report.add(place, f"there is no way to restart that is called {entry!r}{meant}")
    return frozenset(written)


def review_allowed(kind: Any, options: Options, allowed: frozenset[str] | None, place: Place, report: Report) -> None:
    """Report what is outside of the list: a type that it doesn't name, unless it names every program of its."""
    if allowed is None or kind.name == ALONG or kind.name in allowed:
        return
    programs = list(dict.fromkeys(_programs(options)))
    if programs and allowed.issuperset(programs):
        return
    missing = [program for program in programs if program not in allowed] or [kind.name]
    report.add(place, f"{', '.join(missing)} is not in agent.allow, which says what restarts may use")


def _programs(options: Options) -> Iterable[str]:
    argv = getattr(options, "argv", None)
    return [argv[0]] if argv else getattr(options, "programs", ())
