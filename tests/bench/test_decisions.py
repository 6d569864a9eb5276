"""The benchmark of decisions: its arithmetic, and a small run with a real agent, real ports and real programs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.__main__ import arguments, plans
from bench.decisions import BUDGET, Decisions, decisions, decisions_table, figures


def line(event: str, service: str, at: float) -> dict[str, str]:
    return {"event": event, "service": service, "time": datetime.fromtimestamp(at, UTC).isoformat()}


def test_time_runs_from_the_second_miss_to_the_first_line_of_each_kind() -> None:
    outcome = Decisions("two", services=2, budget=1)
    missed = {"a": [10.0, 11.0, 12.0], "b": [10.5, 11.5], "c": [10.0]}
    log = [
        line("opened", "a", 11.25),
        line("restart_begins", "a", 11.5),
        line("opened", "b", 12.0),
        line("opened", "a", 99.0),
        line("paged", "b", 12.0),
        line("opened", "c", 12.0),
    ]
    figures(outcome, missed, log, [("a", 11.75), ("a", 50.0)])
    assert outcome.decided == [0.25, 0.5], "what missed once has no second miss"
    assert (outcome.ordered, outcome.running) == ([0.5], [0.75])
    assert (outcome.restarts, outcome.paged) == (2, 1), "every run of the program counts against the budget"


def test_the_table_is_in_milliseconds_and_has_a_dash_where_nothing_happened() -> None:
    outcome = Decisions(
        "all", services=2, budget=20, decided=[0.1, 0.2], restarts=0, paged=2, before=10_240, peak=20_480
    )
    row = decisions_table([outcome]).splitlines()[-1]
    assert row == "| all | 2 | 100 / 200 / 200 | - | - | 0 of 20 | 2 | 10 / 20 |"


def test_decisions_are_a_part_of_their_own() -> None:
    chosen = arguments(["decisions", "--alone", "5", "--together", "7"])
    assert (chosen.systems, chosen.alone, chosen.together, plans(chosen)) == (["decisions"], 5, 7, [])


@pytest.mark.slow
async def test_every_failed_port_is_decided_on_and_restarts_keep_to_the_hosts_budget(tmp_path: Path) -> None:
    alone, together, storm = await decisions(tmp_path, 5, BUDGET + 10)
    assert len(alone.decided) == len(alone.ordered) == len(alone.running) == alone.restarts == 5
    assert len(together.decided) == together.paged == BUDGET + 10
    assert len(together.running) == together.restarts == BUDGET
    for outcome in (alone, together):
        assert 0 < outcome.decided[0] < outcome.ordered[0] < outcome.running[0], "one comes after the other"
        assert 0 < outcome.before <= outcome.peak
    assert len(storm.decided) == BUDGET + 10, "each is decided on in a storm, too: it is held"
    assert (storm.ordered, storm.running, storm.restarts, storm.paged) == ([], [], 0, 1), "one page, nothing restarted"
