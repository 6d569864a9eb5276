"""The oracle of the soak: each rule on a small story in which it is kept, and on one in which it is broken."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from bench.soak.agent import Readiness, Sample, Watch
from bench.soak.evidence import Fact, Line, Seen, together, union
from bench.soak.health import growing, unexplained, untrue
from bench.soak.journal import Journal, Span, common, without
from bench.soak.oracle import (
    causeless,
    closings,
    doubled,
    hasty,
    judge,
    lost_pages,
    overspent,
    undecided,
    unordered,
    unpaged,
    unseen_outages,
)
from bench.soak.receivers import Message
from bench.soak.services import Service

T = 1_000_000.0
WEB = Service(name="web", target="web", kind="http", address="127.0.0.1", page=("oncall",))
ONE = "web-1"
Rule = Callable[[Seen], Iterator[str]]


def fact(at: float, kind: str, text: str = "", *, incident: str = ONE, check: str = "") -> Fact:
    return Fact(T + at, kind, "web", incident, text, check)


def told(at: float, kind: str, key: str, channel: str = "oncall", *, sure: bool = True) -> Message:
    return Message(T + at, channel, key, kind, ONE, "web", sure)


NIGHT = [
    fact(10.3, "missed", "missed beat 1 of 2", incident="", check="http"),
    fact(10.6, "missed", "missed beat 2 of 2", incident="", check="http"),
    fact(10.6, "opened", "incident opened: http: refused", check="http"),
    fact(10.6, "paged", "asked oncall to page"),
    fact(60.5, "closed", "incident closed: recovered after 50 s"),
]
MESSAGES = [told(10.7, "opened", "web-1/oncall/opened/1"), told(60.6, "resolved", "web-1/oncall/resolved/2")]


def story(facts: list[Fact] = NIGHT, messages: list[Message] = MESSAGES, **more: Any) -> Seen:
    """`web` refuses from 10 to 60 s, and the agent runs all the time."""
    journal = Journal(
        outages={"web": [Span(T + 10, T + 60, "refuse", "web")]},
        watched={"web": [Span(T - 20, inf, target="web")]},
        agent=[Span(T - 10, inf)],
    )
    defaults: dict[str, Any] = {"services": {"web": WEB}, "journal": journal, "ended": T + 300}
    return Seen(facts=facts, messages=messages, **{**defaults, **more})


def without_kind(*kinds: str) -> list[Fact]:
    return [each for each in NIGHT if each.kind not in kinds]


def test_a_night_in_which_all_went_well_breaks_no_rule() -> None:
    assert {rule: wrong for rule, wrong in judge(story()).items() if wrong} == {}


@pytest.mark.parametrize(
    ("rule", "seen", "says"),
    [
        pytest.param(unseen_outages, story([]), "no incident by", id="an outage that nobody saw"),
        pytest.param(
            causeless,
            story([fact(200, "opened", "incident opened", check="http")]),
            "nothing was wrong with web",
            id="an incident of a service that was well",
        ),
        pytest.param(undecided, story(without_kind("paged")), "nothing was done by", id="an incident nobody acted on"),
        pytest.param(unpaged, story(without_kind("paged")), "not paged by", id="a lasting outage that is not paged"),
        pytest.param(lost_pages, story(messages=[]), "nothing has ever arrived", id="a page that never came"),
        pytest.param(
            lost_pages,
            story(messages=[told(31, "opened", "k"), MESSAGES[1]]),
            "arrived at",
            id="a page that came late to a channel that was well",
        ),
        pytest.param(
            doubled, story(messages=[*MESSAGES, told(12, "opened", MESSAGES[0].key)]), "and again", id="twice"
        ),
        pytest.param(closings, story(messages=MESSAGES[:1]), "never told that it is over", id="no closing message"),
        pytest.param(
            closings, story(messages=[*MESSAGES, told(61, "resolved", "other")]), "closed 2 times", id="two closings"
        ),
        pytest.param(hasty, story(NIGHT[1:]), "opened on 1 missed beats", id="an incident on one missed beat"),
        pytest.param(
            unordered,
            story(stamps=[("web", "web-1/restart/1", "web", T + 11)] * 2),
            "carried out 2 times",
            id="an order that ran twice",
        ),
        pytest.param(
            unordered,
            story(stamps=[("web", "web-9/restart/1", "web", T + 11)]),
            "without an incident",
            id="a restart out of the blue",
        ),
        pytest.param(
            unordered,
            story(stamps=[("web", "web-1/restart/1", "web", T + 90)]),
            "the incident was closed",
            id="a restart of what was well again",
        ),
    ],
)
def test_what_breaks_a_rule_is_named(rule: Rule, seen: Seen, says: str) -> None:
    wrong = list(rule(seen))
    assert len(wrong) == 1
    assert says in wrong[0]


def restarts(count: int, apart: float) -> Seen:
    facts = [fact(11 + number * apart, "restart_ordered", f"restart {number} by command") for number in range(count)]
    begun = [(each.at, "web", f"web-1/restart/{each.text.split()[1]}") for each in facts]
    return story([*NIGHT, *facts], services={"web": replace(WEB, restart="command", at_most=3, per=40.0)}, begun=begun)


def test_a_fourth_restart_within_the_window_of_three_is_one_too_many() -> None:
    assert list(overspent(restarts(4, 13.4))) == []
    assert "4 restarts within 40 s" in next(overspent(restarts(4, 13.3)))


def test_a_restart_that_a_person_asked_for_is_not_counted() -> None:
    seen = restarts(4, 13.3)
    seen.facts = [*seen.facts, fact(11, "restart_asked", "soak asked for a restart")]
    assert list(overspent(seen)) == []


def spans(**troubles: tuple[float, float]) -> list[Span]:
    return [Span(T + start, T + end, what) for what, (start, end) in troubles.items()]


def test_an_outage_without_an_agent_that_could_have_seen_it_is_no_fault() -> None:
    for hole in (Span(T - 10, T + 12), Span(T - 10, inf)):
        seen = story([])
        seen.journal.agent = [hole]
        seen.journal.troubles = spans(lag=(8, 58))
        assert list(unseen_outages(seen)) == []


def test_a_page_waits_for_a_channel_that_takes_nothing() -> None:
    seen = story(messages=[told(31, "opened", "k"), MESSAGES[1]])
    seen.journal.troubles = spans(oncall=(5, 30))
    assert list(lost_pages(seen)) == []


def test_a_channel_that_lost_its_answer_may_be_told_again_while_that_lasts_and_not_afterwards() -> None:
    again = story(messages=[*MESSAGES, told(45, "opened", MESSAGES[0].key)])
    again.journal.troubles = spans(oncall=(5, 44))
    assert list(doubled(again)) == []
    again.journal.troubles = spans(oncall=(5, 30))
    assert len(list(doubled(again))) == 1


def test_a_webhook_that_did_not_say_that_it_took_a_message_is_sent_it_again() -> None:
    twice = [told(10.7, "opened", "k", "hook", sure=False), told(12, "opened", "k", "hook")]
    assert list(doubled(story(messages=twice))) == []
    assert len(list(doubled(story(messages=[replace(each, sure=True) for each in twice])))) == 1


def test_what_was_decided_while_the_store_was_away_may_die_with_the_process() -> None:
    seen = story(messages=MESSAGES[:1])
    seen.journal.moments = [(T + 40, "amnesia", "")]
    assert list(closings(seen)) == []


# ---------------------------------------------------------------------------------------------------- health


def test_an_error_in_the_log_needs_a_trouble_that_explains_it_and_a_traceback_has_none() -> None:
    lines = [
        Line(T + 12, "store_trouble", "error", "locked"),
        Line(T + 12, "notice_dead", "error", "given up"),
        Line(T + 12, "decision_failed", "exception", "Traceback"),
        Line(T + 12, "delivery_failed", "warning", "once more"),
        Line(T + 12, "", "", "Task exception was never retrieved"),
        Line(T + 12, "", "", "codeblue watches 3 services with 3 checks"),
    ]
    seen = story(lines=lines)
    seen.journal.troubles = spans(store=(10, 15))
    said = [each.split(" ", 1)[1] for each in unexplained(seen)]
    assert said == ["given up", "Traceback", "Task exception was never retrieved"]


def test_an_agent_that_calls_itself_unready_needs_a_reason() -> None:
    ready = [Readiness(T + 100, 503, ("store: locked",))]
    assert len(list(untrue(story(watch=Watch(ready=ready))))) == 1
    excused = story(watch=Watch(ready=ready))
    excused.journal.troubles = spans(store=(80, 99))
    assert list(untrue(excused)) == []


def test_an_agent_that_says_nothing_of_a_store_that_is_away_is_not_believed() -> None:
    ready = [Readiness(T + second, 200) for second in range(100, 130)]
    seen = story(watch=Watch(ready=ready))
    seen.journal.troubles = spans(full=(100, 125))
    assert "always called itself ready" in next(untrue(seen))


def test_descriptors_that_are_never_given_back_are_seen() -> None:
    def life(each: int) -> Watch:
        return Watch(samples=[Sample(T + n * 5, 7, 90_000, 30 + n * each, 10, 0, 0, 0) for n in range(100)])

    assert list(growing(story(watch=life(0)))) == []
    assert "descriptors went from" in next(growing(story(watch=life(1))))


# ---------------------------------------------------------------------------------------------------- arithmetic


def test_a_fact_in_log_and_store_is_one_and_one_of_a_lost_store_is_kept() -> None:
    log = [fact(10.62, "opened"), fact(30.01, "paged", "asked oncall to page"), fact(200, "opened")]
    store = [fact(10.6, "opened"), fact(30.0, "paged", "asked oncall to page"), fact(90, "reminded")]
    assert [round(each.at - T, 1) for each in together(log, store)] == [10.6, 30.0, 90.0, 200.0]


def test_spans_are_cut_joined_and_compared() -> None:
    assert [(s.start, s.end) for s in common([Span(0, 10)], [Span(5, 20), Span(30, 40)])] == [(5, 10)]
    assert [(s.start, s.end) for s in without(Span(0, 10), [Span(8, 20), Span(2, 3)])] == [(0, 2), (3, 8)]
    assert [(s.start, s.end) for s in union([Span(5, 6), Span(0, 2)], 1.5)] == [(-1.5, 7.5)]
