"""Nothing is restarted on what may not be true any more: the last word of a failing check is FAIL, and it is fresh."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import Outcome
from agent.core.events import PolicyChanged
from agent.core.policy import RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Health
from tests.core.story import FAIL, PASS, UNKNOWN, WARN, Story, at, policy


def held() -> Story:
    story = Story()
    story.parent_is(Health.DOWN, 0)
    story.sees(FAIL, 10, 12)
    assert story.stage == "held"
    return story


class TestPromise3ARestartNeedsAFreshFailure:
    def test_a_held_service_that_cannot_be_told_is_not_restarted_when_its_dependency_is_back(self) -> None:
        story = held()
        story.parent_is(Health.UP, 20)
        story.sees(UNKNOWN, 21, 31, 41)
        assert story.restarts == []
        story.sees(FAIL, 51)
        assert len(story.restarts) == 1

    @pytest.mark.parametrize("verdict", [PASS, WARN])
    def test_a_service_that_has_begun_to_pass_when_its_window_ends_is_not_restarted_again(
        self, verdict: Verdict
    ) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(verdict, 42)
        story.time_is(43)
        assert len(story.restarts) == 1
        story.sees(verdict, 44)
        assert story.stage == ""

    def test_one_that_passed_and_failed_again_around_the_end_of_its_window_is(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(PASS, 42)
        story.time_is(43)
        story.sees(FAIL, 44)
        story.time_is(48)
        assert len(story.restarts) == 2

    def test_nor_is_one_whose_backoff_ends_while_it_begins_to_pass(self) -> None:
        slow = policy(restart=RestartPolicy(action="process", backoff=timedelta(seconds=60)))
        story = Story(policy=slow)
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.FAILED, 13)
        assert story.stage == "waiting"
        story.sees(PASS, 71)
        story.time_is(72)
        assert len(story.restarts) == 1
        story.sees(PASS, 73)
        assert story.stage == ""

    def test_a_restart_after_which_nobody_can_tell_is_followed_by_a_page_and_by_no_other_restart(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(UNKNOWN, 23, 33)
        story.time_is(43)
        assert story.pages_to("oncall") == []
        story.time_is(23 + 301)
        assert len(story.restarts) == 1
        assert "cannot tell" in story.pages_to("oncall")[0].note

    def test_where_being_unable_to_tell_is_never_paged_a_service_that_was_down_still_is(self) -> None:
        story = Story(policy=policy(unknown_after=timedelta(0)))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(UNKNOWN, 23)
        story.time_is(43)
        assert len(story.pages_to("oncall")) == 1

    def test_a_second_check_that_fails_now_is_reason_enough(self) -> None:
        both = policy()
        story = Story(policy=replace(both, checks={"http": both.checks["http"], "tcp": both.checks["http"]}))
        story.sees(FAIL, 10, 12)
        story.sees(FAIL, 10, 12, check="tcp")
        story.restart_ends(Outcome.DONE, 13)
        story.sees(UNKNOWN, 23)
        story.sees(FAIL, 23, check="tcp")
        story.time_is(43)
        assert len(story.restarts) == 2


class TestPromise3AfterAStartOfTheAgent:
    """What is remembered from before may long be over."""

    def test_a_window_that_ended_while_the_agent_was_dead_restarts_nothing_before_a_look(self) -> None:
        story = Story(unseen=frozenset({"http"}))
        story.sees(FAIL, 10, 12)
        story.unseen = frozenset()
        story.time_is(17)
        story.restart_ends(Outcome.DONE, 18)
        story.unseen = frozenset({"http"})
        for second in (600, 601, 602):
            story.time_is(second)
        assert len(story.restarts) == 1
        story.unseen = frozenset()
        story.sees(FAIL, 610)
        story.time_is(611)
        assert len(story.restarts) == 2

    def test_nobody_is_reminded_of_what_may_be_over(self) -> None:
        story = Story(policy=policy(restart=None, remind=timedelta(minutes=5)))
        story.sees(FAIL, 10, 12)
        story.delivered("oncall", 13)
        story.unseen = frozenset({"http"})
        story.time_is(3600)
        assert [kind for kind in story.kinds if kind == "reminded"] == []
        story.unseen = frozenset()
        story.time_is(3601)
        assert [kind for kind in story.kinds if kind == "reminded"] == ["reminded"]

    def test_nobody_is_paged_for_what_could_not_be_told_before(self) -> None:
        story = Story(policy=policy(unknown_after=timedelta(minutes=5)))
        story.sees(UNKNOWN, 10)
        story.unseen = frozenset({"http"})
        for second in (600, 601):
            story.time_is(second)
        assert story.stage == ""
        story.unseen = frozenset()
        story.sees(UNKNOWN, 602)
        story.time_is(603)
        assert story.stage == "paged", "it still can't be told, and that for ten minutes"

    def test_a_restart_that_failed_just_before_the_agent_died_is_not_repeated_before_a_look(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.unseen = frozenset({"http"})
        story.restart_ends(Outcome.FAILED, 600)
        assert len(story.restarts) == 1
        story.unseen = frozenset()
        story.sees(PASS, 601, 603)
        assert story.stage == ""


class TestPromise7WhatWasHeldIsLookedAtAgain:
    def test_being_unable_to_tell_while_the_dependency_was_down_is_paged_when_it_is_back_and_it_lasts(self) -> None:
        story = Story()
        story.sees(UNKNOWN, 10)
        story.parent_is(Health.DOWN, 20)
        story.time_is(311)
        assert story.stage == "held"
        assert story.pages_to("oncall") == []
        story.parent_is(Health.UP, 400)
        assert [confirm.check for confirm in story.time_is(401).confirm] == ["http"]
        story.sees(UNKNOWN, 402)
        assert len(story.pages_to("oncall")) == 1
        assert story.restarts == []

    def test_a_held_incident_whose_dependency_config_drops_is_acted_on_at_its_next_failure(self) -> None:
        story = held()
        story.parents.clear()
        story.tell(PolicyChanged(at=at(20)))
        story.sees(FAIL, 22)
        assert len(story.restarts) == 1

    def test_a_failure_that_was_seen_before_the_dependency_was_well_does_not_count(self) -> None:
        story = held()
        story.parent_is(Health.UP, 25)
        story.sees(FAIL, 22)
        assert story.restarts == []
        assert [confirm.check for confirm in story.decisions[-1].confirm] == ["http"]
