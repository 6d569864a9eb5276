"""The benchmark of paging: its arithmetic, and small runs with a real agent, real ports, a real database and HTTP."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.__main__ import arguments, plans
from bench.paging import BURST, Bucket, Paging, figures, paging, paging_table
from bench.queues import Waits, out_of_turn, waits, waits_table
from tests.slack_rooms import Posted


def line(event: str, service: str, at: float, incident: str) -> dict[str, str]:
    return {
        "event": event,
        "service": service,
        "time": datetime.fromtimestamp(at, UTC).isoformat(),
        "incident": incident,
    }


def posted(at: float, incident: str, kind: str) -> Posted:
    payload = {"incident": incident, "kind": kind}
    return Posted(channel="C0", ts=f"{at:.6f}", text="", metadata={"event_payload": payload})


def test_each_decision_is_held_against_the_message_that_came_of_it() -> None:
    outcome = Paging("teams")
    log = [
        line("opened", "a", 9.0, "a-1"),
        line("opened", "group:t", 10.0, "g-1"),
        line("paged", "group:t", 10.0, "g-1"),
        line("reminded", "group:t", 20.0, "g-1"),
        line("reminded", "group:t", 30.0, "g-1"),
        line("paged", "group:u", 11.0, "g-2"),
    ]
    figures(
        outcome, log, [posted(20.5, "g-1", "reminder"), posted(10.25, "g-1", "opened"), posted(99, "g-1", "update")]
    )
    assert (outcome.incidents, outcome.took, outcome.missing) == (1, [0.25, 0.5], 2)
    row = paging_table([outcome]).splitlines()[-1]
    assert row == "| teams | 1 | 2 | 250 / 500 / 500 | 2 | 0 |"


def test_a_bucket_lets_its_burst_through_and_says_how_long_to_wait_then() -> None:
    bucket = Bucket(0.001, BURST)
    assert [bucket.take() for _ in range(BURST)] == [0.0] * BURST
    assert bucket.take() > 900


@pytest.mark.parametrize(
    ("order", "count"),
    [
        ([0] * 20 + [1] * 20 + [2] * 20, 0),
        ([0] * 17 + [1, 0, 0, 0] + [1] * 20, 0),
        ([3] + [0] * 20, 1),
        ([2, 2] + [0] * 10 + [1] * 10, 2),
    ],
    ids=["in order", "overtaken by who was under way with it", "an update first", "two closings first"],
)
def test_out_of_turn_is_what_came_before_something_more_urgent(order: list[int], count: int) -> None:
    assert out_of_turn(order) == count


def test_the_table_of_waits_is_in_milliseconds() -> None:
    assert waits_table([Waits("x", [0.3, 0.1], "so")]).splitlines()[-1] == "| x | 2 | 100 / 300 / 300 | so |"


def test_paging_is_a_part_of_its_own() -> None:
    chosen = arguments(["paging", "--incidents", "7", "--updates", "100", "--pages", "3"])
    assert (chosen.systems, chosen.incidents, chosen.updates, plans(chosen)) == (["paging"], 7, 100, [])


async def test_a_page_waits_for_no_update_no_dead_channel_and_nothing_less_urgent(tmp_path: Path) -> None:
    behind, after, beside, mixed = await waits(tmp_path, updates=3000, pages=5)
    assert "still waited" in behind.seen
    assert not after.seen.startswith("0 waiting"), "the next life has taken them up"
    for outcome in (behind, after, beside):
        assert len(outcome.took) == 5
        assert 0 < outcome.took[-1] < 5, "seconds, on however busy a machine"
    assert beside.seen == "0 arrived there"
    assert mixed.seen.startswith("0 out of turn")


@pytest.mark.slow
async def test_what_goes_down_within_seconds_is_told_to_slack_once_for_each_team_or_as_one_storm(
    tmp_path: Path,
) -> None:
    for outcome in await paging(tmp_path, 40, 4.0):
        assert outcome.incidents == 40
        assert len(outcome.took) >= 10
        assert outcome.missing == 0
