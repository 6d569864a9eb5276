"""Restarts that never make it worse: each rule that stops one, as a short story. Times are seconds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome
from agent.core.events import Approved, Deployed, EventKind, Group, Observed, RestartFinished
from agent.core.policy import CheckPolicy, Mode, RestartPolicy, Step
from agent.core.state import Health, Record
from tests.core.story import FAIL, PASS, Story, at, policy, result

RESTART = RestartPolicy(action="systemd", backoff=timedelta(0))
LADDER = replace(
    RESTART,
    steps=(
        Step(action="systemd reload", verify=timedelta(seconds=5)),
        Step(action="systemd", verify=timedelta(seconds=20)),
        Step(action="command", verify=timedelta(seconds=60)),
    ),
)


def story(restart: RestartPolicy = RESTART, **more: object) -> Story:
    return Story(policy(restart=restart, **more))


class TestLadder:
    def test_each_step_is_tried_once_in_order_with_its_own_window_and_then_people_are_paged(self) -> None:
        night = story(LADDER)
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.DONE, 13)
        assert night.state.wake_at == at(18)
        night.time_is(18)
        night.restart_ends(Outcome.DONE, 19)
        assert night.state.wake_at == at(39)
        night.time_is(39)
        night.restart_ends(Outcome.DONE, 40)
        night.time_is(100)
        assert [(order.step, order.action) for order in night.restarts] == [
            (0, "systemd reload"),
            (1, "systemd"),
            (2, "command"),
        ]
        assert "every step was tried" in night.notices(NoticeKind.OPENED)[0].note

    def test_a_step_that_fails_is_followed_by_the_next_one_at_once(self) -> None:
        night = story(LADDER)
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.FAILED, 13)
        assert [order.step for order in night.restarts] == [0, 1]

    def test_a_new_incident_begins_at_the_first_step(self) -> None:
        night = story(LADDER)
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.FAILED, 13)
        night.restart_ends(Outcome.DONE, 14)
        night.sees(PASS, 15, 17)
        night.sees(FAIL, 100, 102)
        assert [order.step for order in night.restarts] == [0, 1, 0]

    def test_the_budget_stands_above_the_ladder(self) -> None:
        night = story(replace(LADDER, at_most=1))
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.FAILED, 13)
        assert len(night.restarts) == 1
        assert night.stage == "paged"


class TestAnOperatorIsNotFought:
    def test_a_refused_restart_pages_at_once_with_the_reason_and_costs_no_budget(self) -> None:
        night = story()
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.REFUSED, 13)
        assert len(night.restarts) == 1
        assert night.stage == "paged"
        assert night.state.restarts == ()
        assert "refused" in night.notices(NoticeKind.OPENED)[0].facts["Tried"]

    def test_while_somebody_deploys_nothing_is_restarted_and_afterwards_it_is(self) -> None:
        night = story()
        night.tell(Deployed(at=at(5), until=at(125), by="ana"))
        night.sees(FAIL, 10, 12)
        assert night.restarts == []
        assert night.stage == "waiting"
        assert night.state.wake_at == at(125)
        night.time_is(125)
        assert len(night.restarts) == 1

    def test_a_deployment_that_ends_well_needs_no_restart(self) -> None:
        night = story()
        night.tell(Deployed(at=at(5), until=at(125)))
        night.sees(FAIL, 10, 12)
        night.sees(PASS, 60, 62)
        assert night.restarts == []
        assert night.commands == []


class TestWhatIsStillStarting:
    """The action looked, and found it starting by itself."""

    def test_it_is_waited_for_as_long_as_after_a_restart_and_costs_no_budget(self) -> None:
        night = story()
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.LATER, 13)
        assert night.stage == "waiting"
        assert night.state.wake_at == at(43)
        assert night.state.restarts == ()
        assert night.notices(NoticeKind.OPENED) == []
        night.sees(PASS, 30, 32)
        assert night.state.incident is None
        assert night.state.record == {}

    def test_when_it_has_started_and_still_fails_it_is_restarted(self) -> None:
        night = story()
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.LATER, 13)
        night.time_is(43)
        assert len({order.key for order in night.restarts}) == 2
        night.restart_ends(Outcome.DONE, 44)
        assert night.stage == "verifying"
        assert night.state.restarts == (at(43),)

    def test_when_it_is_still_starting_after_that_people_are_paged_once_and_told_for_how_long(self) -> None:
        night = story()
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.LATER, 13)
        night.time_is(43)
        night.restart_ends(Outcome.LATER, 44)
        assert night.stage == "paged"
        page = night.notices(NoticeKind.OPENED)[0]
        assert "after 31 s" in page.note
        assert page.facts["Tried"].count("not now") == 1
        assert night.state.restarts == ()

    def test_only_the_first_look_of_an_incident_spares_what_was_started_a_moment_ago(self) -> None:
        night = story()
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.DONE, 13)
        night.time_is(43)
        assert [order.grace for order in night.restarts] == [timedelta(seconds=30), timedelta(0)]

    def test_what_a_person_approved_is_not_asked_for_again(self) -> None:
        night = story(replace(RESTART, mode=Mode.ASK))
        night.sees(FAIL, 10, 12)
        assert night.state.incident is not None
        assert night.state.incident.approval is not None
        night.tell(Approved(at=at(20), key=night.state.incident.approval.key, by="ana"))
        night.restart_ends(Outcome.LATER, 21)
        night.time_is(51)
        assert len(night.restarts) == 2
        assert night.kinds.count(EventKind.APPROVAL_ASKED) == 1

    def test_the_wait_ends_with_the_last_rung_of_a_ladder_too(self) -> None:
        night = story(LADDER)
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.FAILED, 13)
        night.restart_ends(Outcome.LATER, 14)
        assert night.state.wake_at == at(34)
        night.time_is(34)
        assert [order.step for order in night.restarts] == [0, 1, 1]


class TestHost:
    def test_a_host_that_is_full_is_paged_with_the_figures_instead(self) -> None:
        night = story()
        night.host_trouble = "out of disk: / is 99.9 % full"
        night.sees(FAIL, 10, 12)
        assert night.restarts == []
        assert "99.9 %" in night.notices(NoticeKind.OPENED)[0].note


class TestGroup:
    def test_a_replica_waits_while_another_one_is_being_restarted(self) -> None:
        night = story(group="web")
        night.group = Group(name="web", size=10, failing=2, busy="web-2")
        night.sees(FAIL, 10, 12)
        assert night.stage == "waiting"
        night.group = Group(name="web", size=10, failing=1)
        night.time_is(17)
        assert len(night.restarts) == 1

    @pytest.mark.parametrize(
        ("failing", "restarted"),
        [
            pytest.param(
                10, False, id="all of the group: one cause, and the canary has shown that restarts do not help"
            ),
            pytest.param(4, False, id="more than a third"),
            pytest.param(3, True, id="less than a third: two independent failures may be just that"),
            pytest.param(1, True, id="only this one"),
        ],
    )
    def test_when_the_canary_was_not_helped_the_rest_is_paged_not_restarted(
        self, failing: int, restarted: bool
    ) -> None:
        night = story(group="web")
        night.group = Group(name="web", size=10, failing=failing, not_helped="web-1")
        night.sees(FAIL, 10, 12)
        assert bool(night.restarts) is restarted
        assert ("web-1" in str(night.notices(NoticeKind.OPENED))) is not restarted

    def test_the_share_is_the_groups_own(self) -> None:
        night = story(group="web")
        night.group = Group(name="web", size=10, failing=4, not_helped="web-1", share=0.5)
        night.sees(FAIL, 10, 12)
        assert len(night.restarts) == 1

    @pytest.mark.parametrize(
        ("group_left", "fleet_left", "said"),
        [
            pytest.param(0, 9, "the restart budget of the group web is used up", id="the group's"),
            pytest.param(9, 0, "the restart budget of the fleet is used up", id="the fleet's"),
        ],
    )
    def test_a_used_up_budget_of_the_group_or_the_fleet_is_paged(
        self, group_left: int, fleet_left: int, said: str
    ) -> None:
        night = story(group="web")
        night.group = Group(name="web", size=10, failing=1, restarts_left=group_left)
        night.fleet_left = fleet_left
        night.sees(FAIL, 10, 12)
        assert night.restarts == []
        assert said in night.notices(NoticeKind.OPENED)[0].note


class TestModes:
    def test_off_pages_at_once(self) -> None:
        night = story(replace(RESTART, mode=Mode.OFF))
        night.sees(FAIL, 10, 12)
        assert night.restarts == []
        assert night.stage == "paged"

    def test_shadow_says_what_it_would_have_done_and_pages(self) -> None:
        night = story(replace(RESTART, mode=Mode.SHADOW))
        night.sees(FAIL, 10, 12)
        assert night.restarts == []
        assert EventKind.RESTART_SHADOWED in night.kinds
        assert "would have restarted by systemd" in night.notices(NoticeKind.OPENED)[0].note

    def test_shadow_is_quiet_about_restarts_that_the_rules_forbid(self) -> None:
        night = story(replace(RESTART, mode=Mode.SHADOW))
        night.host_trouble = "out of memory"
        night.sees(FAIL, 10, 12)
        assert EventKind.RESTART_SHADOWED not in night.kinds

    def asking(self) -> Story:
        night = story(replace(RESTART, mode=Mode.ASK))
        night.sees(FAIL, 10, 12)
        assert night.restarts == []
        assert night.stage == "asking"
        return night

    def approve(self, night: Story, seconds: float, key: str = "") -> None:
        incident = night.state.incident
        assert incident is not None
        found = incident.approval.key if incident.approval else ""
        night.tell(Approved(at=at(seconds), key=key or found, by="ana"))

    def test_ask_restarts_after_a_person_has_approved(self) -> None:
        night = self.asking()
        (page,) = night.notices(NoticeKind.OPENED)
        assert (page.title, page.note) == (
            "api is down",
            "restart by systemd? Approve within 15 min: codeblue approve api",
        )
        self.approve(night, 60)
        assert len(night.restarts) == 1
        assert EventKind.APPROVED in night.kinds
        night.restart_ends(Outcome.DONE, 61)
        night.sees(PASS, 63, 65)
        assert len(night.notices(NoticeKind.RESOLVED)) == 1

    def test_an_approval_is_good_for_one_restart(self) -> None:
        night = self.asking()
        assert night.state.incident is not None
        assert night.state.incident.approval is not None
        key = night.state.incident.approval.key
        self.approve(night, 60)
        self.approve(night, 61, key)
        assert len(night.restarts) == 1

    def test_an_approval_expires(self) -> None:
        night = self.asking()
        night.time_is(12 + 15 * 60)
        assert night.stage == "paged"
        self.approve(night, 1000, "api-20260301T030012.000Z/approval/1-00000000")
        assert night.restarts == []

    def test_who_was_asked_hears_that_nobody_answered_and_the_question_is_taken_off_the_message(self) -> None:
        night = self.asking()
        night.time_is(12 + 15 * 60)
        (told,) = night.notices(NoticeKind.UPDATE)
        assert "nobody approved the restart in time" in told.title
        assert not any(offer.startswith("approve:") for offer in told.offers)

    def test_that_an_operator_masked_it_after_the_approval_is_noted_in_the_thread(self) -> None:
        night = self.asking()
        self.approve(night, 60)
        masked = RestartFinished(
            at=at(61), key=night.restarts[-1].key, outcome=Outcome.REFUSED, detail="api.service is masked"
        )
        night.tell(masked)
        (told,) = night.notices(NoticeKind.UPDATE)
        assert "not restarted: api.service is masked" in told.title
        assert len(night.notices(NoticeKind.OPENED)) == 1, "nobody is woken twice"
        assert night.state.restarts == (), "and it cost nothing"

    def test_an_approval_for_another_failure_counts_for_nothing(self) -> None:
        night = self.asking()
        self.approve(night, 60, "api-20250101T000000.000Z/approval/1-deadbeef")
        assert night.restarts == []
        assert night.stage == "asking"

    def test_an_approval_is_bound_to_what_was_shown_another_reason_is_another_question(self) -> None:
        night = self.asking()
        night.tell(Observed(at=at(30), check="http", result=replace(result(FAIL, 30), reason="tls")))
        self.approve(night, 60)
        assert night.restarts == []
        assert night.stage == "asking"
        told = [event.text for event in night.decisions[-1].events]
        assert "something else fails than what the approval was asked for" in told
        (anew,) = night.notices(NoticeKind.UPDATE)
        assert (anew.title, "codeblue approve api" in anew.note) == ("api is down", True), "the question, put anew"
        self.approve(night, 61)
        assert len(night.restarts) == 1

    def test_when_another_check_goes_down_too_the_question_is_put_anew_at_once(self) -> None:
        night = story(replace(RESTART, mode=Mode.ASK), checks={"http": CheckPolicy(), "tcp": CheckPolicy()})
        night.sees(FAIL, 10, 12)
        first = night.state.incident.approval if night.state.incident else None
        night.sees(FAIL, 20, 22, check="tcp")
        second = night.state.incident.approval if night.state.incident else None
        assert first is not None
        assert second is not None
        assert first.key != second.key
        self.approve(night, 60, first.key)
        assert night.restarts == []
        self.approve(night, 61)
        assert len(night.restarts) == 1

    def test_who_asks_again_after_a_restart_that_did_not_help(self) -> None:
        night = self.asking()
        self.approve(night, 60)
        night.restart_ends(Outcome.DONE, 61)
        night.time_is(91)
        assert night.stage == "asking"
        assert len(night.notices(NoticeKind.OPENED)) == 1
        assert len(night.notices(NoticeKind.UPDATE)) == 1


class TestEfficacy:
    def lived(self, healed: int, not_healed: int) -> Story:
        night = story(replace(RESTART, min_success=0.5, at_most=100), page=("oncall",))
        night.state = replace(night.state, record={"http: refused": Record(tried=healed + not_healed, healed=healed)})
        night.sees(FAIL, 10, 12)
        return night

    @pytest.mark.parametrize(
        ("healed", "not_healed", "restarted"),
        [
            pytest.param(0, 3, True, id="three cases prove nothing yet"),
            pytest.param(1, 5, False, id="it seldom helped"),
            pytest.param(3, 3, True, id="it helps half of the time"),
        ],
    )
    def test_restarts_that_seldom_helped_are_left_out_and_the_page_says_why(
        self, healed: int, not_healed: int, restarted: bool
    ) -> None:
        night = self.lived(healed, not_healed)
        assert bool(night.restarts) is restarted
        if not restarted:
            assert "1 of 6" in night.notices(NoticeKind.OPENED)[0].note

    def test_a_healed_incident_and_one_that_had_to_be_paged_are_both_learned_from(self) -> None:
        night = story(replace(RESTART, at_most=1))
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.DONE, 13)
        night.sees(PASS, 15, 17)
        assert night.state.record == {"http: refused": Record(tried=1, healed=1)}
        night.sees(FAIL, 4000, 4002)
        night.restart_ends(Outcome.DONE, 4003)
        night.time_is(4033)
        night.sees(PASS, 4040, 4042)
        assert night.state.record == {"http: refused": Record(tried=2, healed=1)}

    def test_what_was_never_done_teaches_nothing(self) -> None:
        night = story()
        night.sees(FAIL, 10, 12)
        night.restart_ends(Outcome.REFUSED, 13)
        night.sees(PASS, 20, 22)
        assert night.state.record == {}


def test_backoffs_of_many_services_do_not_end_together() -> None:
    ends = set()
    for start in range(20):
        night = story(replace(RESTART, backoff=timedelta(seconds=100), jitter=0.2, verify=timedelta(seconds=5)))
        night.sees(FAIL, start + 10, start + 12)
        night.restart_ends(Outcome.FAILED, start + 12)
        assert night.state.wake_at is not None
        wait = (night.state.wake_at - at(start + 12)).total_seconds()
        assert 100 <= wait <= 120
        ends.add(wait)
    assert len(ends) > 5


class TestAnApprovalSetsNoOtherRuleAside:
    def approved(self, night: Story, seconds: float) -> None:
        incident = night.state.incident
        assert incident is not None
        assert incident.approval is not None
        night.tell(Approved(at=at(seconds), key=incident.approval.key, by="ana"))

    def asking(self, **more: object) -> Story:
        night = story(replace(RESTART, mode=Mode.ASK), **more)
        night.sees(FAIL, 10, 12)
        return night

    def test_a_dependency_that_died_meanwhile_holds_it(self) -> None:
        night = self.asking(depends_on=("db",))
        night.parent_is(Health.DOWN, 50)
        self.approved(night, 60)
        assert night.restarts == []
        assert night.stage == "held"

    def test_a_blind_agent_waits_and_does_it_when_it_sees_again_without_asking_twice(self) -> None:
        night = self.asking()
        night.blind = "no network"
        self.approved(night, 60)
        assert night.restarts == []
        night.blind = ""
        night.time_is(65)
        assert len(night.restarts) == 1

    def test_a_full_host_is_paged(self) -> None:
        night = self.asking()
        night.host_trouble = "out of disk"
        self.approved(night, 60)
        assert night.restarts == []
        assert night.stage == "paged"


def test_a_page_says_what_fails_now_and_how_it_began() -> None:
    night = story(replace(RESTART, at_most=1), checks={"port": CheckPolicy(), "http": CheckPolicy()})
    night.sees(FAIL, 10, 12, check="port")
    night.restart_ends(Outcome.DONE, 13)
    night.sees(FAIL, 14, 16)
    night.sees(PASS, 15, 17, check="port")
    night.time_is(43)
    page = night.notices(NoticeKind.OPENED)[0]
    assert page.summary.startswith("http: ")
    assert page.facts["Began as"].startswith("port: ")


def test_what_the_agent_has_just_started_itself_is_given_time_without_a_word() -> None:
    night = story()
    decision = night.tell(Deployed(at=at(0), until=at(30), quiet=True))
    assert decision.events == ()
    night.sees(FAIL, 10, 12)
    assert night.restarts == []
    night.time_is(30)
    assert len(night.restarts) == 1


def test_a_backoff_never_grows_beyond_the_window_however_large_the_budget() -> None:
    large = replace(RESTART, at_most=10_000, backoff=timedelta(seconds=10), jitter=0)
    tried = tuple(at(second) for second in range(60))
    night = story(large)
    night.state = replace(night.state, restarts=tried)
    night.sees(FAIL, 100, 102)
    assert night.state.wake_at == at(59) + large.per
