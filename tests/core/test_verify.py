"""What makes a restart a success: passes since it was done, and none of those before."""

from dataclasses import replace

import pytest

from agent.core.commands import Outcome
from agent.core.events import Observed
from agent.core.policy import CheckPolicy, RestartPolicy
from tests.core.story import FAIL, PASS, WARN, Story, at, policy, result

RESTART = RestartPolicy(action="systemd", jitter=0)


def restarting() -> Story:
    night = Story(policy=policy(restart=RESTART, checks={"http": CheckPolicy(recover=3)}))
    night.sees(FAIL, 10, 12)
    assert len(night.restarts) == 1
    return night


def test_what_the_old_process_answered_on_its_way_out_does_not_count() -> None:
    night = restarting()
    night.sees(PASS, 13, 14)
    night.restart_ends(Outcome.DONE, 15)
    night.sees(PASS, 16, 17)
    assert night.stage == "verifying", "two of three since the restart"
    night.sees(PASS, 18)
    assert night.state.incident is None


@pytest.mark.parametrize("verdict", [PASS, WARN])
def test_a_run_that_began_before_the_restart_was_done_does_not_count_when_it_ends_after_it(verdict: object) -> None:
    night = restarting()
    night.restart_ends(Outcome.DONE, 15)
    late = replace(result(PASS, 14.9), verdict=verdict)
    night.tell(Observed(at=at(16), check="http", result=late))
    night.sees(PASS, 17, 18)
    assert night.stage == "verifying"
    night.sees(PASS, 19)
    assert night.state.incident is None


def test_a_failure_that_began_before_it_is_still_a_failure() -> None:
    night = restarting()
    night.restart_ends(Outcome.DONE, 15)
    night.sees(PASS, 16, 17)
    night.tell(Observed(at=at(18), check="http", result=result(FAIL, 14.9)))
    night.sees(PASS, 19)
    assert night.stage == "verifying", "passes in a row are counted"


def test_a_restart_that_succeeds_and_heals_nothing_has_failed_and_the_next_one_costs_the_budget() -> None:
    night = restarting()
    night.restart_ends(Outcome.DONE, 15)
    night.sees(FAIL, 17)
    night.time_is(46)
    assert len(night.restarts) == 2


def test_where_nobody_knows_whether_it_was_done_its_passes_count_from_the_report_on() -> None:
    night = restarting()
    night.restart_ends(Outcome.INTERRUPTED, 40)
    night.sees(PASS, 41, 42, 43)
    assert night.state.incident is None


def test_the_order_after_an_interrupted_one_says_when_that_was_given() -> None:
    night = restarting()
    night.restart_ends(Outcome.INTERRUPTED, 40)
    night.sees(FAIL, 42)
    night.time_is(71)
    assert [one.interrupted_at for one in night.restarts] == [None, at(12)]
