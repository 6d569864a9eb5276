"""Who is asked, in which order, and what stops it. Times are seconds; every story has one service, `api`, which
cannot be restarted and is down from second 10 on: the page is due at second 12."""

from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind, Outcome
from agent.core.contact import Contact
from agent.core.events import Acknowledged, EventKind, Noted, Observed, Quiet, RestartAsked
from agent.core.policy import Escalation, EscalationStep, Flapping, Mode, Policy, RestartPolicy
from agent.core.result import HEARTBEAT
from tests.core.story import FAIL, PASS, Story, at, policy, result

MINUTE = 60
ALICE = Contact(channel="sms", to="+491", person="alice")
BOB = Contact(channel="sms", to="+492", person="bob")
MAIL = Contact(channel="mail", to="alice@example.org", person="alice")


def ladder(**more: object) -> Escalation:
    """Whoever is on call, five minutes later bob, five minutes after that the channel of operations."""
    steps = tuple(
        EscalationStep(notify=(target,), wait=timedelta(minutes=5))
        for target in ("oncall:primary", "person:bob", "channel:ops")
    )
    return Escalation(**{"name": "night", "steps": steps, **more})  # type: ignore[arg-type]


def people_story(escalation: Escalation | None = None, **more: object) -> Story:
    story = Story(policy(restart=None, escalation=escalation or ladder(), page=(), **more))
    story.reach = {
        "oncall:primary": (ALICE,),
        "person:bob": (BOB,),
        "channel:ops": (Contact(channel="ops"),),
    }
    return story


def down(story: Story) -> Story:
    story.sees(FAIL, 10, 12)
    return story


def asked(story: Story) -> list[str]:
    return [notice.channel for notice in story.notices(NoticeKind.OPENED)]


def reminded(story: Story) -> list[str]:
    return [notice.channel for notice in story.notices(NoticeKind.REMINDER)]


def acknowledge(story: Story, seconds: float, **more: object) -> None:
    story.tell(Acknowledged(at=at(seconds), by="alice", **more))  # type: ignore[arg-type]


class TestEscalation:
    def test_whoever_is_on_call_is_asked_first_at_his_own_address(self) -> None:
        story = down(people_story())
        (page,) = story.notices(NoticeKind.OPENED)
        assert (page.channel, page.to, page.person) == ("sms/alice", "+491", "alice")

    def test_nobody_else_is_asked_before_the_wait_is_over(self) -> None:
        story = down(people_story())
        story.delivered("sms/alice", 13)
        assert story.state.wake_at == at(12 + 5 * MINUTE)
        story.time_is(12 + 5 * MINUTE - 1)
        assert asked(story) == ["sms/alice"]

    def test_the_next_step_comes_when_nobody_has_acknowledged(self) -> None:
        story = down(people_story())
        story.delivered("sms/alice", 13)
        story.time_is(12 + 5 * MINUTE)
        assert asked(story) == ["sms/alice", "sms/bob"]
        assert EventKind.ESCALATED in story.kinds
        story.time_is(12 + 10 * MINUTE)
        assert asked(story) == ["sms/alice", "sms/bob", "ops"]

    def test_after_the_last_step_nothing_more_is_due_but_the_reminder(self) -> None:
        story = down(people_story())
        for minutes in (0, 5, 10):
            story.time_is(12 + minutes * MINUTE)
            for name in asked(story):
                story.delivered(name, 13 + minutes * MINUTE)
        assert story.state.wake_at == at(12 + 4 * 3600)

    def test_a_repeated_round_reminds_whom_it_asked_before(self) -> None:
        story = down(people_story(ladder(repeat=1)))
        for minutes in (5, 10, 15):
            story.time_is(12 + minutes * MINUTE)
        assert reminded(story) == ["sms/alice"]
        story.time_is(12 + 20 * MINUTE)
        assert reminded(story) == ["sms/alice", "sms/bob"]

    def test_whoever_is_on_call_by_then_is_asked_by_a_later_round(self) -> None:
        story = down(people_story(ladder(repeat=1)))
        for minutes in (5, 10):
            story.time_is(12 + minutes * MINUTE)
        story.reach["oncall:primary"] = (Contact(channel="sms", to="+493", person="carol"),)
        story.time_is(12 + 15 * MINUTE)
        assert asked(story)[-1] == "sms/carol"

    def test_a_step_that_reaches_nobody_goes_on_at_once(self) -> None:
        story = people_story()
        story.reach["oncall:primary"] = ()
        down(story)
        assert asked(story) == ["sms/bob"]
        assert story.state.wake_at is not None
        assert "reaches nobody" in next(
            event.text for d in story.decisions for event in d.events if event.kind is EventKind.ESCALATED
        )

    def test_when_no_step_reaches_anybody_that_is_said_and_tried_again_every_minute(self) -> None:
        story = people_story()
        reach, story.reach = story.reach, {}
        down(story)
        assert asked(story) == []
        assert EventKind.UNDELIVERED in story.kinds
        assert story.state.wake_at == at(12 + MINUTE)
        story.reach = reach
        story.time_is(12 + MINUTE)
        assert asked(story) == ["sms/alice"]

    def test_the_channels_of_the_service_are_asked_together_with_the_first_step(self) -> None:
        story = people_story()
        story.policy = policy(restart=None, escalation=ladder(), page=("oncall",))
        down(story)
        assert asked(story) == ["sms/alice", "oncall"]

    def test_every_page_says_who_is_asked_and_when_who_is_next(self) -> None:
        story = people_story()
        story.reach["oncall:primary"] = (ALICE, MAIL, Contact(channel="sms", to="+494", person="dave"))
        story.policy = policy(restart=None, escalation=ladder(), page=("oncall",))
        down(story)
        pages = story.notices(NoticeKind.OPENED)
        assert len(pages) == 4
        assert {page.facts["Paged"] for page in pages} == {"alice, dave"}
        assert {page.facts["Next step"] for page in pages} == {
            "2026-03-01 03:05:12 UTC: bob, unless somebody acknowledges it"
        }
        assert {page.calls for page in pages} == {("alice", "dave")}

    def test_a_later_step_is_told_in_the_places_where_others_look_and_calls_only_whom_it_asks(self) -> None:
        story = people_story()
        story.policy = policy(restart=None, escalation=ladder(), page=("oncall",))
        down(story)
        story.time_is(12 + 5 * MINUTE)
        (told,) = story.notices(NoticeKind.UPDATE)
        assert (told.channel, told.calls) == ("oncall", ("bob",))
        assert "nobody has acknowledged it: step 2 (bob)" in told.title
        assert told.facts["Next step"].startswith("2026-03-01 03:10:12 UTC: ops")

    @pytest.mark.parametrize("how", ["acknowledged", "quiet", "over"])
    def test_no_next_step_is_announced_where_none_will_come(self, how: str) -> None:
        story = people_story()
        story.policy = policy(restart=None, escalation=ladder(), page=("oncall",))
        down(story)
        if how == "acknowledged":
            acknowledge(story, 60)
        elif how == "quiet":
            story.quiet = Quiet(why="silenced", until=at(3600))
            story.time_is(60)
        else:
            story.sees(PASS, 60, 62)
        (told,) = [notice for notice in story.notices(NoticeKind.UPDATE) if notice.channel == "oncall"] or [
            notice for notice in story.notices(NoticeKind.RESOLVED) if notice.channel == "oncall"
        ]
        assert "Next step" not in told.facts

    def test_a_channel_that_is_asked_anyway_is_not_reminded_in_the_same_breath(self) -> None:
        story = people_story()
        story.reach["oncall:primary"] = (Contact(channel="oncall"),)
        story.policy = policy(restart=None, escalation=ladder(), page=("oncall",))
        down(story)
        assert (asked(story), reminded(story)) == (["oncall"], [])

    def test_two_addresses_of_one_person_are_two_pages_and_two_closings(self) -> None:
        story = people_story()
        story.reach["oncall:primary"] = (ALICE, MAIL)
        down(story)
        story.sees(PASS, 20, 22)
        assert asked(story) == ["sms/alice", "mail/alice"]
        assert [n.channel for n in story.notices(NoticeKind.RESOLVED)] == ["sms/alice", "mail/alice"]

    def test_everybody_who_was_asked_gets_one_closing_message(self) -> None:
        story = down(people_story())
        story.time_is(12 + 5 * MINUTE)
        story.sees(PASS, 400, 402)
        assert [n.channel for n in story.notices(NoticeKind.RESOLVED)] == ["sms/alice", "sms/bob"]


class TestAPageThatDidNotArrive:
    def test_a_person_is_asked_at_his_address_on_the_fallback_channel(self) -> None:
        story = people_story(fallback={"sms": ("mail",)})
        story.contacts = {"alice": {"mail": "alice@example.org"}}
        down(story)
        story.refused("sms/alice", 14)
        page = story.notices(NoticeKind.OPENED)[-1]
        assert (page.channel, page.to) == ("mail/alice", "alice@example.org")
        assert "sms/alice has not got this page" in page.note

    def test_the_fallback_itself_is_asked_where_the_person_has_no_address_on_it(self) -> None:
        story = down(people_story(fallback={"sms": ("ops",)}))
        story.refused("sms/alice", 14)
        assert asked(story)[-1] == "ops"

    def test_without_a_fallback_the_next_step_comes_at_once(self) -> None:
        story = down(people_story())
        story.refused("sms/alice", 14)
        assert story.state.wake_at == at(14)
        story.time_is(14)
        assert asked(story) == ["sms/alice", "sms/bob"]


class TestAcknowledgement:
    def test_it_stops_the_escalation_and_the_reminders(self) -> None:
        story = down(people_story(remind=timedelta(minutes=10)))
        acknowledge(story, 60)
        for minutes in (5, 10, 30, 59):
            story.time_is(12 + minutes * MINUTE)
        assert (asked(story), reminded(story)) == (["sms/alice"], [])

    def test_it_is_shown_to_all_who_were_asked_and_the_button_is_gone(self) -> None:
        story = down(people_story())
        assert "ack" in story.notices(NoticeKind.OPENED)[-1].offers
        acknowledge(story, 60)
        (update,) = story.notices(NoticeKind.UPDATE)
        assert update.facts["Acknowledged"].startswith("alice at 03:01 UTC until 04:01")
        assert "ack" not in update.offers

    def test_it_expires_and_then_those_who_were_asked_hear_again_and_the_clock_goes_on(self) -> None:
        story = down(people_story())
        story.delivered("sms/alice", 13)
        acknowledge(story, 60)
        assert story.state.wake_at == at(60 + 3600)
        story.time_is(60 + 3600)
        assert EventKind.ACK_EXPIRED in story.kinds
        assert (asked(story), reminded(story)) == (["sms/alice"], ["sms/alice"])
        story.time_is(60 + 3600 + 5 * MINUTE)
        assert asked(story)[-1] == "sms/bob"

    def test_it_may_be_for_another_time_than_the_policy_says(self) -> None:
        story = down(people_story())
        story.delivered("sms/alice", 13)
        acknowledge(story, 60, until=at(600))
        assert story.state.wake_at == at(600)

    def test_a_policy_without_an_expiry_trusts_it_until_the_incident_is_over(self) -> None:
        story = down(people_story(ladder(ack_for=timedelta(0)), remind=timedelta(0)))
        story.delivered("sms/alice", 13)
        acknowledge(story, 60)
        assert story.state.wake_at is None

    def test_one_that_was_pressed_under_an_old_message_acknowledges_nothing_new(self) -> None:
        story = down(people_story())
        acknowledge(story, 60, incident="api-of-yesterday")
        assert story.state.incident is not None
        assert story.state.incident.ack is None
        assert story.kinds[-1] is EventKind.NOTED

    def test_one_before_anybody_was_asked_keeps_people_asleep_until_it_expires(self) -> None:
        story = people_story()
        story.policy = policy(escalation=ladder(), page=(), restart=RestartPolicy(action="process", at_most=1))
        down(story)
        acknowledge(story, 13)
        story.restart_ends(Outcome.DONE, 14)
        story.sees(FAIL, 20, 30, 40)
        story.time_is(50)
        assert (story.stage, asked(story)) == ("paged", [])
        story.time_is(13 + 3600)
        assert asked(story) == ["sms/alice"]


class TestQuiet:
    SILENCE = Quiet(why="silenced by bob until 04:00 UTC: deploy", until=at(3600))

    def test_nobody_is_asked_while_it_is_quiet_and_that_is_said_once(self) -> None:
        story = people_story()
        story.quiet = self.SILENCE
        down(story)
        story.sees(FAIL, 20, 30)
        assert (story.stage, asked(story)) == ("quiet", [])
        assert story.kinds.count(EventKind.QUIETED) == 1

    def test_at_the_end_of_it_what_is_still_down_is_paged(self) -> None:
        story = people_story()
        story.quiet = self.SILENCE
        down(story)
        assert story.state.wake_at == at(3600)
        story.quiet = None
        story.time_is(3600)
        assert (story.stage, asked(story)) == ("paged", ["sms/alice"])

    def test_what_recovers_within_it_leaves_everybody_asleep(self) -> None:
        story = people_story()
        story.quiet = self.SILENCE
        down(story)
        decision = story.sees(PASS, 20, 22)
        assert story.state.incident is None
        assert decision.commands == ()

    def test_one_that_begins_after_the_page_stops_the_escalation_but_not_the_closing_message(self) -> None:
        story = down(people_story())
        story.delivered("sms/alice", 13)
        story.quiet = self.SILENCE
        story.time_is(60)
        assert story.state.wake_at == at(3600)
        assert story.notices(NoticeKind.UPDATE)[-1].facts["Quiet"].startswith("silenced by bob")
        story.sees(PASS, 600, 602)
        assert [n.channel for n in story.notices(NoticeKind.RESOLVED)] == ["sms/alice"]

    def test_an_escalation_that_was_due_in_it_comes_at_its_end(self) -> None:
        story = down(people_story())
        story.delivered("sms/alice", 13)
        story.quiet = self.SILENCE
        story.time_is(60)
        story.quiet = None
        story.time_is(3600)
        assert asked(story) == ["sms/alice", "sms/bob"]

    def test_a_silence_does_not_stop_restarts(self) -> None:
        story = Story()
        story.quiet = self.SILENCE
        story.sees(FAIL, 10, 12)
        assert len(story.restarts) == 1

    def test_a_maintenance_window_stops_restarts_until_it_is_over(self) -> None:
        story = Story()
        story.quiet = Quiet(why="maintenance until 04:00: backup", until=at(3600), restarts=True)
        story.sees(FAIL, 10, 12)
        assert (story.stage, story.restarts) == ("quiet", [])
        story.quiet = None
        story.sees(FAIL, 3590)
        story.time_is(3600)
        assert len(story.restarts) == 1

    def test_the_question_for_an_approval_is_not_asked_in_it(self) -> None:
        story = Story(policy(restart=RestartPolicy(action="process", mode=Mode.ASK)))
        story.quiet = self.SILENCE
        story.sees(FAIL, 10, 12)
        assert (story.stage, story.commands) == ("quiet", [])
        story.quiet = None
        story.sees(FAIL, 3590)
        story.time_is(3600)
        assert (story.stage, asked(story)) == ("asking", ["oncall"])


class TestFlapping:
    @staticmethod
    def flapping_story() -> Story:
        """Down for 10 s of every 100 s; the third time within the hour it is said to flap."""
        rule = Flapping(at_most=3, per=timedelta(hours=1), calm=timedelta(minutes=15))
        story = Story(policy(restart=None, flapping=rule))
        for start in (0, 100, 200):
            story.sees(FAIL, start + 2, start + 4)
            story.sees(PASS, start + 12, start + 14)
        return story

    def test_the_third_time_opens_one_incident_that_says_how_often_and_stays_open(self) -> None:
        story = self.flapping_story()
        titles = [notice.title for notice in story.notices(NoticeKind.OPENED)]
        assert titles == ["api is down", "api is down", "api is flapping"]
        assert len(story.notices(NoticeKind.RESOLVED)) == 2
        assert (
            story.notices(NoticeKind.OPENED)[-1]
            .facts["Flapping"]
            .startswith("went down 3 times in 3 min 20 s, down 10%")
        )
        assert story.state.incident is not None

    def test_going_up_and_down_within_it_sends_nothing(self) -> None:
        story = self.flapping_story()
        before = len(story.commands)
        for start in (300, 400, 500):
            story.sees(FAIL, start + 2, start + 4)
            story.sees(PASS, start + 12, start + 14)
        assert len(story.commands) == before

    def test_it_is_closed_once_after_it_has_been_well_for_long_enough(self) -> None:
        story = self.flapping_story()
        story.delivered("oncall", 215)
        assert story.state.wake_at == at(214 + 15 * MINUTE)
        story.time_is(214 + 15 * MINUTE)
        assert story.state.incident is None
        assert story.notices(NoticeKind.RESOLVED)[-1].title.startswith("api stopped flapping")

    def test_going_down_again_begins_the_calm_time_anew(self) -> None:
        story = self.flapping_story()
        story.delivered("oncall", 215)
        story.sees(FAIL, 802, 804)
        story.time_is(214 + 15 * MINUTE)
        assert story.state.incident is not None
        story.sees(PASS, 2000, 2002)
        assert story.state.wake_at == at(2002 + 15 * MINUTE)

    def test_a_flapping_service_is_not_restarted(self) -> None:
        rule = Flapping(at_most=2, per=timedelta(hours=1))
        restart = RestartPolicy(action="process", at_most=9, backoff=timedelta(0), jitter=0)
        story = Story(policy(restart=restart, flapping=rule))
        story.sees(FAIL, 2, 4)
        story.sees(PASS, 12, 14)
        story.sees(FAIL, 102, 104)
        assert len(story.restarts) == 1
        assert "flapping" in story.notices(NoticeKind.OPENED)[-1].note

    def test_a_service_that_goes_down_now_and_then_does_not_flap(self) -> None:
        story = Story(policy(restart=None, flapping=Flapping(at_most=3, per=timedelta(hours=1))))
        for start in (0, 3000, 6000, 9000):
            story.sees(FAIL, start + 2, start + 4)
            story.sees(PASS, start + 12, start + 14)
        assert EventKind.FLAPPING not in story.kinds
        assert story.state.incident is None


class TestARestartThatAPersonAsksFor:
    SPENT = RestartPolicy(action="process", at_most=1, backoff=timedelta(0), jitter=0)

    def paged(self, **more: object) -> Story:
        story = Story(policy(restart=self.SPENT, **more))
        story.sees(FAIL, 10, 12)
        story.restart_ends(Outcome.DONE, 13)
        story.sees(FAIL, 20, 30, 40)
        story.time_is(43)
        assert story.stage == "paged"
        return story

    def test_is_done_although_the_budget_is_used_up(self) -> None:
        story = self.paged()
        assert "restart" in story.notices(NoticeKind.OPENED)[-1].offers
        story.tell(RestartAsked(at=at(60), by="alice"))
        assert [order.attempt for order in story.restarts] == [1, 2]
        assert EventKind.RESTART_ASKED in story.kinds

    def test_is_judged_like_every_other(self) -> None:
        story = self.paged()
        story.tell(RestartAsked(at=at(60), by="alice"))
        story.restart_ends(Outcome.DONE, 61)
        story.sees(PASS, 63, 65)
        assert story.state.incident is None
        assert len(story.notices(NoticeKind.RESOLVED)) == 1

    def test_goes_back_to_the_page_when_it_does_not_help(self) -> None:
        story = self.paged()
        story.tell(RestartAsked(at=at(60), by="alice"))
        story.restart_ends(Outcome.DONE, 61)
        story.sees(FAIL, 70, 80)
        story.time_is(92)
        assert (story.stage, len(story.notices(NoticeKind.OPENED))) == ("paged", 1)

    @pytest.mark.parametrize(
        ("made", "incident", "why"),
        [
            pytest.param({}, "another", "the incident is over", id="an-old-button"),
            pytest.param({"restart": None}, "", "no restart is configured", id="nothing-to-restart-it-with"),
        ],
    )
    def test_is_refused_in_words(self, made: dict[str, object], incident: str, why: str) -> None:
        story = Story(policy(restart=None)) if made else self.paged()
        story.sees(FAIL, 50, 52)
        before = len(story.restarts)
        story.tell(RestartAsked(at=at(60), by="alice", incident=incident))
        assert len(story.restarts) == before
        assert why in story.decisions[-1].events[0].text

    def test_waits_for_no_other_that_is_under_way_because_it_is_refused(self) -> None:
        story = Story()
        story.sees(FAIL, 10, 12)
        story.tell(RestartAsked(at=at(13), by="alice"))
        assert len(story.restarts) == 1


def test_a_note_stands_in_the_timeline_and_in_the_messages_when_it_shall_be_told() -> None:
    story = down(people_story())
    story.tell(Noted(at=at(20), text="bob pressed Restart and may not", by="bob"))
    assert story.notices(NoticeKind.UPDATE) == []
    story.tell(Noted(at=at(30), text="40 services are down", tell=True, evidence={"Tree": "db\n  api"}))
    assert story.notices(NoticeKind.UPDATE)[-1].title == "api: 40 services are down"
    assert story.state.incident is not None
    assert story.state.incident.evidence["Tree"] == "db\n  api"


def test_a_policy_with_neither_channels_nor_people_asks_nobody() -> None:
    assert not Policy(service="x").pages


class TestWhereToLook:
    def test_a_page_has_the_strip_of_last_runs_as_a_fact_and_its_dashboard(self) -> None:
        story = people_story()
        story.policy = policy(restart=None, links={"Dashboard": "https://grafana.example/d/api"})
        seen = Observed(
            at=at(12), check="http", result=result(FAIL, 12), evidence={HEARTBEAT: "http ▮▮▯▯", "Last log lines": "x"}
        )
        story.sees(FAIL, 10)
        story.tell(seen)
        (page,) = story.notices(NoticeKind.OPENED)
        assert (page.facts[HEARTBEAT], page.facts["Dashboard"]) == ("http ▮▮▯▯", "https://grafana.example/d/api")
        assert page.evidence == {"Last log lines": "x"}
        story.sees(PASS, 20, 22)
        (closing,) = story.notices(NoticeKind.RESOLVED)
        assert HEARTBEAT not in closing.facts
