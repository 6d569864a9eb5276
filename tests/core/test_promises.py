"""The promises of the design, each under its name. Times are seconds; every story has one service, `api`."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome
from agent.core.events import ClockStepped, EventKind, NoticeFailed, PolicyChanged, RestartFinished, ServiceRemoved
from agent.core.policy import CheckPolicy, RestartPolicy
from agent.core.state import Health, ServiceState
from tests.core.story import FAIL, PASS, UNKNOWN, WARN, Story, at, policy

ONE_RESTART = RestartPolicy(action="process", at_most=1, backoff=timedelta(0))


def paged_story() -> Story:
    """A service without a restart, down since second 10, paged at second 12."""
    story = Story(policy(restart=None))
    story.sees(FAIL, 10, 12)
    assert story.stage == "paged"
    return story


class TestPromise1NoDecisionOnOneMiss:
    def test_one_miss_makes_the_service_suspect_and_asks_for_a_confirming_run_and_nothing_else(self) -> None:
        story = Story()
        decision = story.sees(FAIL, 10)
        assert story.state.health is Health.SUSPECT
        assert story.commands == []
        assert [(confirm.check, confirm.after) for confirm in decision.confirm] == [("http", timedelta(seconds=2))]

    def test_a_pass_after_one_miss_forgets_it(self) -> None:
        story = Story()
        story.sees(FAIL, 10)
        story.sees(PASS, 12)
        story.sees(FAIL, 20)
        assert story.state.incident is None
        assert EventKind.RECOVERED_EARLY in story.kinds

    def test_the_second_miss_opens_an_incident_and_orders_one_restart(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        assert story.state.health is Health.DOWN
        assert [order.attempt for order in story.restarts] == [1]
        assert story.notices(NoticeKind.OPENED) == []

    @pytest.mark.parametrize("misses", [1, 2, 3, 5])
    def test_the_number_of_misses_is_configurable_per_check(self, misses: int) -> None:
        story = Story(policy(checks={"http": CheckPolicy(misses=misses)}))
        for number in range(1, misses + 1):
            assert story.state.incident is None
            story.sees(FAIL, 10 * number)
        assert story.state.incident is not None

    def test_a_failing_check_that_was_decided_on_changes_nothing_any_more(self) -> None:
        story = Story(policy(restart=None))
        story.sees(FAIL, 10, 12)
        before = story.state
        decision = story.sees(FAIL, 20)
        assert decision.state is before


class TestPromise2NeverMoreRestartsThanTheBudget:
    def test_after_the_budget_people_are_paged_with_what_was_tried(self) -> None:
        story = Story(policy(restart=replace(ONE_RESTART, at_most=2)))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.time_is(43)
        story.restart_ends(Outcome.FAILED, 44)
        assert len(story.restarts) == 2
        page = story.notices(NoticeKind.OPENED)[0]
        assert "2 of 2" in page.note
        assert ": done" in page.facts["Tried"]
        assert "failed" in page.facts["Tried"]

    def test_the_budget_counts_over_incidents(self) -> None:
        story = Story(policy(restart=ONE_RESTART))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(PASS, 15, 17)
        assert story.state.incident is None
        story.sees(FAIL, 100, 102)
        assert len(story.restarts) == 1
        assert story.stage == "paged"

    def test_the_budget_is_part_of_the_state_and_so_survives_the_agent(self) -> None:
        story = Story(policy(restart=ONE_RESTART))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(PASS, 15, 17)
        reborn = Story(story.policy, state=ServiceState(service="api", restarts=story.state.restarts))
        reborn.sees(FAIL, 100, 102)
        assert reborn.restarts == []

    def test_the_window_slides(self) -> None:
        story = Story(policy(restart=ONE_RESTART))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(PASS, 15, 17)
        story.sees(FAIL, 3700, 3702)
        assert len(story.restarts) == 2

    def test_the_budget_of_the_host_stops_a_restart_too(self) -> None:
        story = Story(restarts_left=0)
        story.sees(FAIL, 10, 12)
        assert story.restarts == []
        assert "host" in story.notices(NoticeKind.OPENED)[0].note

    def test_restarts_of_one_window_back_off(self) -> None:
        backing_off = RestartPolicy(
            action="process", at_most=5, jitter=0, backoff=timedelta(seconds=60), verify=timedelta(seconds=10)
        )
        story = Story(policy(restart=backing_off))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.time_is(23)
        assert story.stage == "waiting"
        story.time_is(72)
        assert len(story.restarts) == 2
        story.restart_ends(Outcome.DONE, 73)
        story.time_is(83)
        story.time_is(72 + 119)
        assert len(story.restarts) == 2
        story.time_is(72 + 120)
        assert len(story.restarts) == 3

    def test_an_order_that_was_never_started_gives_its_budget_back(self) -> None:
        story = Story(policy(restart=ONE_RESTART))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.EXPIRED, 80)
        assert len(story.restarts) == 2


class TestPromise3RestartOnlyWhenTheTargetIsBad:
    def test_unknown_never_restarts_and_never_counts_as_a_miss(self) -> None:
        story = Story()
        story.sees(FAIL, 10)
        story.sees(UNKNOWN, 12, 20, 30, 40)
        assert story.restarts == []
        assert story.state.checks["http"].misses == 1

    def test_unknown_never_counts_as_recovery(self) -> None:
        story = paged_story()
        story.sees(PASS, 20)
        story.sees(UNKNOWN, 22, 24, 26)
        assert story.state.incident is not None
        story.sees(PASS, 30)
        assert story.state.incident is None

    def test_a_blind_agent_counts_no_misses(self) -> None:
        story = Story(blind="this host has no network route that is up")
        story.sees(FAIL, 10, 12, 20, 30)
        assert story.state.incident is None
        assert story.state.health is Health.UNKNOWN
        assert story.state.checks["http"].reason == "blind"

    def test_a_step_that_is_due_while_the_agent_is_blind_waits(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.blind = "no network"
        story.time_is(43)
        assert len(story.restarts) == 1
        story.blind = ""
        story.time_is(48)
        assert len(story.restarts) == 2

    @pytest.mark.parametrize("health", [Health.DOWN, Health.SUSPECT])
    def test_a_sick_dependency_holds_restart_and_page(self, health: Health) -> None:
        story = Story(policy(depends_on=("db",)))
        story.parent_is(health, 9)
        story.sees(FAIL, 10, 12, 20, 30)
        assert story.commands == []
        assert story.stage == "held"

    def test_a_dependency_that_is_being_looked_at_holds_too(self) -> None:
        story = Story(policy(depends_on=("db",)))
        story.parent_is(Health.UP, 0, checking=True)
        story.sees(FAIL, 10, 12)
        assert story.stage == "held"

    def test_a_held_service_that_recovers_with_its_dependency_tells_nobody(self) -> None:
        story = Story(policy(depends_on=("db",)))
        story.parent_is(Health.DOWN, 9)
        story.sees(FAIL, 10, 12)
        story.parent_is(Health.UP, 60)
        assert [confirm.check for confirm in story.time_is(60).confirm] == ["http"]
        story.sees(PASS, 61, 63)
        assert story.state.incident is None
        assert story.commands == []

    def test_a_held_service_that_still_fails_after_its_dependency_is_well_is_acted_on(self) -> None:
        story = Story(policy(depends_on=("db",)))
        story.parent_is(Health.DOWN, 9)
        story.sees(FAIL, 10, 12)
        story.parent_is(Health.UP, 60)
        story.sees(FAIL, 59)
        assert story.restarts == [], "that run began before the dependency was well"
        story.sees(FAIL, 61)
        assert len(story.restarts) == 1


class TestPromise4EveryPageArrivesOrIsPagedAnotherWay:
    def test_a_page_refused_for_good_goes_to_the_fallback_and_says_why(self) -> None:
        story = Story(policy(restart=None, fallback={"oncall": ("hook",)}))
        story.sees(FAIL, 10, 12)
        story.refused("oncall", 13, "auth")
        page = story.pages_to("hook")[0]
        assert "oncall" in page.note
        assert "auth" in page.note

    def test_a_page_that_is_not_taken_within_the_deadline_goes_to_the_fallback(self) -> None:
        story = Story(policy(restart=None, fallback={"oncall": ("hook",)}))
        story.sees(FAIL, 10, 12)
        assert story.state.wake_at == at(72)
        story.time_is(72)
        assert len(story.pages_to("hook")) == 1
        story.refused("oncall", 500, "server")
        story.time_is(600)
        assert len(story.pages_to("hook")) == 1, "the fallback is asked once"

    def test_a_page_taken_in_time_needs_no_fallback(self) -> None:
        story = Story(policy(restart=None, fallback={"oncall": ("hook",)}))
        story.sees(FAIL, 10, 12)
        story.delivered("oncall", 13)
        story.time_is(72)
        assert story.pages_to("hook") == []

    def test_fallbacks_chain(self) -> None:
        story = Story(policy(restart=None, fallback={"oncall": ("hook",), "hook": ("mail",)}))
        story.sees(FAIL, 10, 12)
        story.refused("oncall", 13)
        story.refused("hook", 14)
        assert len(story.pages_to("mail")) == 1

    def test_a_closing_message_that_is_given_up_is_on_record(self) -> None:
        story = paged_story()
        story.sees(PASS, 20, 22)
        closing = story.notices(NoticeKind.RESOLVED)[0]
        story.tell(NoticeFailed(at=at(700), key=closing.key, reason="server"))
        assert story.kinds[-1] is EventKind.UNDELIVERED

    def test_a_page_is_repeated_until_the_end(self) -> None:
        story = Story(policy(restart=None, remind=timedelta(hours=1)))
        story.sees(FAIL, 10, 12)
        story.delivered("oncall", 13)
        story.time_is(3612)
        story.time_is(7212)
        assert len(story.notices(NoticeKind.REMINDER)) == 2


class TestPromise5ExactlyOneClosingMessagePerChannel:
    def test_every_channel_that_was_asked_gets_one(self) -> None:
        story = Story(policy(restart=None, page=("oncall", "ops")))
        story.sees(FAIL, 10, 12)
        story.delivered("oncall", 13)
        story.delivered("ops", 13)
        story.sees(PASS, 20, 22, 30, 40)
        assert sorted(notice.channel for notice in story.notices(NoticeKind.RESOLVED)) == ["oncall", "ops"]

    def test_a_page_that_had_not_left_is_taken_back_and_the_closing_message_says_so(self) -> None:
        story = paged_story()
        story.sees(PASS, 20, 22)
        assert story.pages_to("oncall")[0].key in story.cancelled
        assert "never arrived" in story.notices(NoticeKind.RESOLVED)[0].note

    def test_the_fallback_is_closed_too(self) -> None:
        story = Story(policy(restart=None, fallback={"oncall": ("hook",)}))
        story.sees(FAIL, 10, 12)
        story.refused("oncall", 13)
        story.delivered("hook", 14)
        story.sees(PASS, 20, 22)
        assert sorted(notice.channel for notice in story.notices(NoticeKind.RESOLVED)) == ["hook", "oncall"]

    def test_a_service_that_config_drops_is_closed_saying_so(self) -> None:
        story = paged_story()
        story.tell(ServiceRemoved(at=at(30)))
        closing = story.notices(NoticeKind.RESOLVED)
        assert len(closing) == 1
        assert "config" in closing[0].title

    def test_a_check_that_config_drops_closes_what_only_it_kept_open(self) -> None:
        story = paged_story()
        story.policy = policy(restart=None, checks={"tcp": CheckPolicy()})
        story.tell(PolicyChanged(at=at(30)))
        assert len(story.notices(NoticeKind.RESOLVED)) == 1
        assert story.state.incident is None

    def test_one_pass_is_no_recovery(self) -> None:
        story = paged_story()
        story.sees(PASS, 20)
        story.sees(FAIL, 22)
        story.sees(PASS, 30)
        assert story.notices(NoticeKind.RESOLVED) == []

    def test_a_service_with_two_failing_checks_recovers_when_both_have(self) -> None:
        story = Story(policy(restart=None, checks={"http": CheckPolicy(), "tcp": CheckPolicy()}))
        story.sees(FAIL, 10, 12)
        story.sees(FAIL, 10, 12, check="tcp")
        story.sees(PASS, 20, 22)
        assert story.state.incident is not None
        story.sees(PASS, 23, 25, check="tcp")
        assert len(story.notices(NoticeKind.RESOLVED)) == 1

    def test_who_was_never_paged_hears_of_no_recovery_but_the_quiet_channel_of_the_healing(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(PASS, 15, 17)
        assert story.notices(NoticeKind.RESOLVED) == []
        assert [(note.channel, "healed itself" in note.title) for note in story.notices(NoticeKind.NOTE)] == [
            ("quiet", True)
        ]


class TestPromise6AfterAKill:
    def test_an_interrupted_restart_counts_and_is_verified_but_never_ordered_again_by_itself(self) -> None:
        story = Story(policy(restart=ONE_RESTART))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.INTERRUPTED, 30)
        assert story.stage == "verifying"
        assert len(story.restarts) == 1
        story.time_is(61)
        assert story.stage == "paged"

    def test_a_report_that_comes_twice_is_heard_once(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        before = story.state
        story.restart_ends(Outcome.DONE, 14)
        story.tell(RestartFinished(at=at(15), key="another/restart/1", outcome=Outcome.DONE))
        assert story.state is before

    def test_a_restart_that_ends_when_the_service_has_long_been_well_is_told_all_the_same(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.sees(PASS, 14, 16)
        assert story.state.incident is None
        order = story.restarts[-1]
        decision = story.tell(RestartFinished(at=at(20), key=order.key, outcome=Outcome.DONE, action=order.action))
        assert [(event.kind, event.text) for event in decision.events] == [
            (EventKind.RESTART_FINISHED, "restart by process done; the service was well before that")
        ]
        assert decision.commands == ()

    def test_keys_are_a_function_of_the_incident_so_that_a_replayed_decision_has_the_same_ones(self) -> None:
        first, second = Story(), Story()
        for story in (first, second):
            story.sees(FAIL, 10, 12)
        assert [command.key for command in first.commands] == [command.key for command in second.commands]

    def test_a_restart_that_nobody_reports_on_is_given_up_after_ten_minutes(self) -> None:
        story = Story(policy(restart=ONE_RESTART))
        story.sees(FAIL, 10, 12)
        story.time_is(612)
        assert story.stage == "paged"


class TestPromise8AClockStepIsNoEvent:
    @pytest.mark.parametrize("hours", [-5, 5, 24 * 365])
    def test_everything_that_waits_moves_along(self, hours: int) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        step = timedelta(hours=hours)
        assert story.state.wake_at == at(43)
        story.tell(ClockStepped(at=at(14) + step, by=step))
        assert story.state.wake_at == at(43) + step
        assert story.state.restarts == (at(12) + step,)


class TestWarnAndUnknown:
    def test_a_warning_that_lasts_is_noted_once_and_opens_nothing(self) -> None:
        story = Story()
        story.sees(WARN, 10)
        assert story.notices(NoticeKind.NOTE) == []
        story.sees(WARN, 20, 30, 40)
        assert len(story.notices(NoticeKind.NOTE)) == 1
        assert story.state.health is Health.DEGRADED
        assert story.state.incident is None

    def test_being_unable_to_tell_for_long_is_paged_and_never_restarted(self) -> None:
        story = Story(policy(unknown_after=timedelta(minutes=5)))
        story.sees(UNKNOWN, 10, 20)
        assert story.state.wake_at == at(310)
        story.time_is(310)
        assert story.restarts == []
        assert "cannot tell" in story.notices(NoticeKind.OPENED)[0].title
        story.sees(PASS, 320)
        assert len(story.notices(NoticeKind.RESOLVED)) == 1

    def test_while_the_agent_is_blind_the_services_do_not_page_one_by_one(self) -> None:
        story = Story(blind="no network")
        story.sees(FAIL, 10)
        assert story.state.wake_at is None
        story.time_is(1000)
        assert story.commands == []

    def test_a_service_is_pending_until_every_check_has_answered(self) -> None:
        story = Story(policy(checks={"http": CheckPolicy(), "tcp": CheckPolicy()}))
        story.sees(PASS, 1)
        assert story.state.health is Health.PENDING
        story.sees(PASS, 2, check="tcp")
        assert story.state.health is Health.UP
