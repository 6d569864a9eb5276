from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.core.durations import parse_duration
from agent.core.result import Verdict
from agent.ports import Beat, BeatState, CheckContext
from checks.heartbeat import HEARTBEAT, Judgement, judge
from checks.heartbeat_due import HeartbeatOptions, expect

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NEVER = (NOON, NOON)  # no blind span


def at(text: str) -> datetime:
    """Noon plus "3m" or minus "-3m"; or a whole date."""
    if "T" in text:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return NOON - parse_duration(text[1:]) if text.startswith("-") else NOON + parse_duration(text)


def options(**given: Any) -> HeartbeatOptions:
    return HeartbeatOptions.model_validate(given)


def beat(kind: str, when: str, **more: Any) -> Beat:
    return Beat(at=at(when), kind=kind, **more)


def state(*beats: Beat, first: str = "-30d", **more: Any) -> BeatState:
    """What the book remembers after these beats, oldest first; a start is a run in progress."""
    kinds: dict[str, Any] = {each.kind: each for each in beats}
    return BeatState(first_at=at(first), last=beats[-1] if beats else None, total=len(beats), **kinds, **more)


MINUTELY = options(every="1m", grace="30s")
NIGHTLY = options(cron="0 2 * * *", grace="30m")
BERLIN = options(cron="0 2 * * *", zone="Europe/Berlin", grace="30m")


@pytest.mark.parametrize(
    ("expected", "remembered", "now", "verdict", "reason", "summary"),
    [
        pytest.param(
            MINUTELY, state(beat("success", "0s")), "20s", Verdict.PASS, "ok",
            "last beat 20s ago, next due 12:01:00 UTC",
            id="in time",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "0s")), "90s", Verdict.PASS, "ok",
            "last beat 1m30s ago, next due 12:01:00 UTC",
            id="late, but within the grace",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "0s")), "190s", Verdict.FAIL, "overdue",
            "no beat for 3m10s, expected every 1m with 30s grace; last one 12:00:00 UTC",
            id="overdue",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "-2d")), "0s", Verdict.FAIL, "overdue",
            "no beat for 2d, expected every 1m with 30s grace; last one 2026-11-18 12:00:00 UTC",
            id="a last beat of another day is said with its date",
        ),
        pytest.param(
            MINUTELY, state(first="0s"), "90s", Verdict.PASS, "ok", "waiting for the first beat, due 12:01:00 UTC",
            id="no beat yet",
        ),
        pytest.param(
            MINUTELY, state(first="0s"), "91s", Verdict.FAIL, "overdue",
            "no beat ever, expected every 1m with 30s grace, since 12:00:00 UTC",
            id="never beat: counts from when it was first expected",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "-9m"), beat("fail", "0s")), "80s", Verdict.FAIL, "failed",
            "failed 1m20s ago, 12:00:00 UTC: the service said so",
            id="a fail is not a miss, and restarts the deadline",
        ),
        pytest.param(
            MINUTELY, state(beat("fail", "0s", exit_code=3)), "12s", Verdict.FAIL, "failed",
            "failed 12s ago, 12:00:00 UTC: exit code 3",
            id="a fail by exit code",
        ),
        pytest.param(
            MINUTELY, state(beat("fail", "0s")), "2m", Verdict.FAIL, "overdue",
            "no beat for 2m, expected every 1m with 30s grace; last one 12:00:00 UTC, a fail",
            id="a fail, and nothing since",
        ),
        pytest.param(
            MINUTELY, state(beat("fail", "0s"), beat("success", "10s")), "20s", Verdict.PASS, "ok",
            "last beat 10s ago, next due 12:01:10 UTC",
            id="a success after a fail",
        ),
        pytest.param(
            MINUTELY, state(beat("log", "2m"), beat("success", "0s")), "2m10s", Verdict.FAIL, "overdue",
            "no beat for 2m10s, expected every 1m with 30s grace; last one 12:00:00 UTC",
            id="a log is not a beat",
        ),
        # ------------------------------------------------------------------------ runs
        pytest.param(
            MINUTELY, state(beat("success", "0s"), beat("start", "60s")), "2m", Verdict.PASS, "ok",
            "running for 1m, must end by 12:02:30 UTC",
            id="a run is under way: until the deadline of the beat after it",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "0s"), beat("start", "60s")), "2m31s", Verdict.FAIL, "unended",
            "the run that started 12:01:00 UTC has not ended after 1m31s, at most 1m30s is allowed",
            id="a run that never ended",
        ),
        pytest.param(
            options(every="1d", max_run="2h"), state(beat("success", "-1d"), beat("start", "0s")), "2h",
            Verdict.PASS, "ok", "running for 2h, must end by 14:00:00 UTC",
            id="a long run within max_run, though the last end is long ago",
        ),
        pytest.param(
            options(every="1d", max_run="2h"), state(beat("success", "-1h"), beat("start", "0s")), "2h1m",
            Verdict.FAIL, "unended",
            "the run that started 12:00:00 UTC has not ended after 2h1m, at most 2h is allowed",
            id="a run beyond max_run, though no beat is due yet",
        ),
        pytest.param(
            options(every="10m", grace="1m", max_run="5h"), state(beat("success", "0s"), beat("start", "12m")), "13m",
            Verdict.FAIL, "overdue",
            "no beat for 13m, expected every 10m with 1m grace; last one 12:00:00 UTC; "
            "a run started 1m ago, too late, and has not ended",
            id="a start that came too late does not make well: it may die and start again and again",
        ),
        pytest.param(
            MINUTELY, state(beat("fail", "0s"), beat("start", "10s")), "20s", Verdict.FAIL, "failed",
            "failed 20s ago, 12:00:00 UTC: the service said so; a new run is under way for 10s",
            id="a new run does not take a fail back, its success does",
        ),
        pytest.param(
            MINUTELY, state(beat("start", "10s"), first="0s"), "20s", Verdict.PASS, "ok",
            "running for 10s, must end by 12:01:40 UTC",
            id="the first run ever",
        ),
        # ------------------------------------------------------------------------ cron
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-20T02:03")), "0s", Verdict.PASS, "ok",
            "last beat 9h57m ago, next due 2026-11-21 02:00:00 UTC",
            id="cron: in time",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-19T02:03")), "2026-11-20T02:30", Verdict.PASS, "ok",
            "last beat 1d27m ago, next due 02:00:00 UTC",
            id="cron: within the grace",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-19T02:03")), "2026-11-20T02:31", Verdict.FAIL, "overdue",
            "no beat for 1d28m, expected 02:00:00 UTC (0 2 * * *) with 30m grace; last one 2026-11-19 02:03:00 UTC",
            id="cron: overdue",
        ),
        pytest.param(
            BERLIN, state(beat("success", "2026-11-19T01:03")), "2026-11-20T01:31", Verdict.FAIL, "overdue",
            "no beat for 1d28m, expected 02:00:00 CET (01:00:00 UTC) (0 2 * * *) with 30m grace; "
            "last one 2026-11-19 02:03:00 CET (2026-11-19 01:03:00 UTC)",
            id="cron: times are shown in both zones",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-20T01:59:30")), "2026-11-20T03:00", Verdict.PASS, "ok",
            "last beat 1h30s ago, next due 2026-11-21 02:00:00 UTC",
            id="cron: a beat that is a little early stands for its slot",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-20T01:48")), "2026-11-20T02:31", Verdict.FAIL, "overdue",
            "no beat for 43m, expected 02:00:00 UTC (0 2 * * *) with 30m grace; last one 01:48:00 UTC; "
            "it came 12m before its slot, only 1m early is allowed",
            id="cron: a beat that is too early does not, and the text says so",
        ),
        pytest.param(
            BERLIN, state(beat("success", "2026-11-19T02:00:20")), "2026-11-20T01:31", Verdict.FAIL, "overdue",
            "no beat for 23h31m, expected 02:00:00 CET (01:00:00 UTC) (0 2 * * *) with 30m grace; "
            "last one 2026-11-19 03:00:20 CET (2026-11-19 02:00:20 UTC); "
            "it came 1h after its slot, which looks like a zone mismatch: the slots are in Europe/Berlin",
            id="cron: a sender that runs on another zone's clock is recognised",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-20T01:00")), "2026-11-20T02:31", Verdict.FAIL, "overdue",
            "no beat for 1h31m, expected 02:00:00 UTC (0 2 * * *) with 30m grace; last one 01:00:00 UTC; "
            "it came 1h before its slot, which looks like a zone mismatch: the slots are in UTC",
            id="cron: and so is one that is ahead",
        ),
        pytest.param(
            options(every="1m", grace="30s", zone="Asia/Kolkata"), state(beat("success", "0s")), "1m", Verdict.PASS,
            "ok", "last beat 1m ago, next due 17:31:00 IST (12:01:00 UTC)",
            id="a zone without cron is for showing times",
        ),
        # ------------------------------------------------------------------------ wrong clocks
        pytest.param(
            MINUTELY, state(beat("success", "2h")), "0s", Verdict.UNKNOWN, "future",
            "the last beat is stamped 2h in the future: a clock was wrong, and nothing can be told until the next beat",
            id="a beat from the future is not trusted",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "50s")), "0s", Verdict.PASS, "ok",
            "last beat 0s ago, next due 12:01:50 UTC",
            id="less than a minute is no wrong clock",
        ),
        pytest.param(
            MINUTELY, state(first="2h"), "0s", Verdict.UNKNOWN, "future",
            "these beats are expected since a time that is stamped 2h in the future: a clock was wrong, and nothing "
            "can be told until the next beat",
            id="nor is a beginning from the future",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_the_beats_that_came(
    expected: HeartbeatOptions, remembered: BeatState, now: str, verdict: Verdict, reason: str, summary: str
) -> None:
    said = judge(expected, remembered, at(now), NEVER)
    assert (said.verdict, said.reason, said.summary) == (verdict, reason, summary)


# ---------------------------------------------------------------------------------------------------- blindness


@pytest.mark.parametrize(
    ("expected", "remembered", "blind", "now", "verdict", "reason"),
    [
        pytest.param(
            MINUTELY, state(beat("success", "0s")), ("10s", "2h"), "2h", Verdict.PASS, "ok",
            id="down for two hours: no miss at the start",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "0s")), ("10s", "2h"), "2h1m30s", Verdict.PASS, "ok",
            id="down for two hours: the next beat has its whole interval and grace",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "0s")), ("10s", "2h"), "2h1m31s", Verdict.FAIL, "overdue",
            id="down for two hours: and not more",
        ),
        pytest.param(
            MINUTELY, state(beat("success", "0s")), ("5s", "20s"), "91s", Verdict.FAIL, "overdue",
            id="back before a beat could have been due: nothing is excused",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-19T02:03")), ("2026-11-20T01:30", "2026-11-20T03:30"),
            "2026-11-20T12:00", Verdict.PASS, "ok",
            id="nightly: the slot went by while the agent was down",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-18T02:03")), ("2026-11-19T01:30", "2026-11-19T03:30"),
            "2026-11-20T02:31", Verdict.FAIL, "overdue",
            id="nightly: one slot is excused, not two",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-19T02:03")), ("2026-11-19T20:00", "2026-11-19T22:00"),
            "2026-11-20T02:31", Verdict.FAIL, "overdue",
            id="nightly: an evening's maintenance excuses nothing",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-18T02:03")), ("2026-11-20T10:00", "2026-11-20T12:00"),
            "2026-11-20T12:00", Verdict.FAIL, "overdue",
            id="nightly: a truly overdue job is overdue at once after the start",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-19T02:03")), ("2026-11-20T02:40", "2026-11-20T02:50"),
            "2026-11-20T03:20", Verdict.UNKNOWN, "blind",
            id="nightly: just overdue when the agent went down, it may have come meanwhile",
        ),
        pytest.param(
            NIGHTLY, state(beat("success", "2026-11-19T02:03")), ("2026-11-20T02:40", "2026-11-20T02:50"),
            "2026-11-20T03:21", Verdict.FAIL, "overdue",
            id="nightly: it did not come within the grace after the return",
        ),
        pytest.param(
            MINUTELY, state(beat("fail", "0s")), ("95s", "100s"), "110s", Verdict.FAIL, "failed",
            id="a fail stays a fail while it is unknown whether beats still come",
        ),
        pytest.param(
            options(every="1d", max_run="2h"), state(beat("success", "-1d"), beat("start", "0s")), ("1h", "3h"), "4h",
            Verdict.PASS, "ok",
            id="the end of a run may have been lost",
        ),
        pytest.param(
            options(every="1d", max_run="2h"), state(beat("success", "-1d"), beat("start", "0s")), ("2h30m", "3h"),
            "3h30m", Verdict.UNKNOWN, "blind",
            id="a run that was just too long when the agent went down may have ended meanwhile",
        ),
        pytest.param(
            options(every="1d", max_run="2h"), state(beat("success", "-1d"), beat("start", "0s")), ("4h", "5h"),
            "5h", Verdict.FAIL, "unended",
            id="a run that was far too long is unended at once",
        ),
        pytest.param(
            MINUTELY, state(first="0s"), ("10s", "2h"), "2h1m", Verdict.PASS, "ok",
            id="the first beat may have been lost too",
        ),
    ],
)  # fmt: skip
def test_the_time_in_which_the_agent_was_away_makes_no_false_miss_and_hides_no_true_one(
    expected: HeartbeatOptions, remembered: BeatState, blind: tuple[str, str], now: str, verdict: Verdict, reason: str
) -> None:
    said = judge(expected, remembered, at(now), (at(blind[0]), at(blind[1])))
    assert (said.verdict, said.reason) == (verdict, reason)


def test_the_text_says_that_a_beat_may_have_been_lost() -> None:
    said = judge(MINUTELY, state(beat("success", "0s")), at("2h10s"), (at("10s"), at("2h")))
    assert said.summary == (
        "last beat 2h10s ago, next due 14:01:00 UTC; one may have been lost while the agent was away for 1h59m50s"
    )


def test_the_text_says_how_long_a_late_beat_is_waited_for_after_the_return() -> None:
    said = judge(MINUTELY, state(beat("success", "0s")), at("110s"), (at("95s"), at("100s")))
    assert said.summary.endswith("; the agent was away for 5s, so a beat has 20s more to come")


# ---------------------------------------------------------------------------------------------------- promises

SPANS = st.timedeltas(timedelta(0), timedelta(days=3))


@given(
    every=st.integers(2, 100_000),
    gaps=st.lists(st.floats(-1, 1), min_size=3, max_size=12),
    gone=st.floats(0, 1),
    away=st.floats(0, 3),
)
def test_a_service_that_beats_in_time_is_never_missed_whenever_the_agent_was_away(
    every: int, gaps: list[float], gone: float, away: float
) -> None:
    expected = HeartbeatOptions(every=timedelta(seconds=every))
    grace = expect(expected, NOON).grace
    moments = [NOON]
    for gap in gaps:
        moments.append(moments[-1] + timedelta(seconds=every) + gap * grace)
    span = moments[-1] - moments[0]
    blind = (NOON + gone * span, NOON + gone * span + away * timedelta(seconds=every))
    seen = [moment for moment in moments if not blind[0] <= moment < blind[1]]
    for before, after in pairwise(seen):
        if after < blind[0]:
            continue  # the future is not known yet
        remembered = BeatState(first_at=NOON, success=Beat(at=before, kind="success"))
        for now in (after, max(before, blind[1])):
            said = judge(expected, remembered, now, blind)
            assert said.verdict is Verdict.PASS, said.summary


@given(st.integers(2, 100_000), SPANS, SPANS, st.booleans())
def test_a_service_that_went_silent_is_found_however_the_agent_was_away(
    every: int, gone: timedelta, away: timedelta, by_cron: bool
) -> None:
    expected = NIGHTLY if by_cron else HeartbeatOptions(every=timedelta(seconds=every))
    blind = (NOON + gone, NOON + gone + away)
    remembered = BeatState(first_at=NOON, success=Beat(at=NOON, kind="success"))
    due = expect(expected, NOON)
    latest = max(due.deadline, expect(expected, blind[1]).deadline if blind[0] < due.deadline else blind[1] + due.grace)
    said = judge(expected, remembered, latest + timedelta(microseconds=1), blind)
    assert (said.verdict, said.reason) == (Verdict.FAIL, "overdue")


@given(st.integers(60, 86_400), st.lists(st.floats(0.01, 1.5), min_size=30, max_size=60))
def test_no_number_of_restarts_of_the_agent_hides_a_silent_service_for_longer_than_two_beats(
    every: int, lives: list[float]
) -> None:
    expected = HeartbeatOptions(every=timedelta(seconds=every))
    due = expect(expected, NOON)
    remembered = BeatState(first_at=NOON, success=Beat(at=NOON, kind="success"))
    start, down = NOON, timedelta(seconds=1)
    latest = due.deadline + timedelta(seconds=every) + 3 * due.grace + down
    for life in lives:
        gone = start + life * timedelta(seconds=every)
        back = gone + down
        if back > latest:
            assert judge(expected, remembered, back, (gone, back)).verdict is Verdict.FAIL
        start = back


@given(
    st.sampled_from([MINUTELY, NIGHTLY, BERLIN, options(every="1h", max_run="5m")]),
    st.dictionaries(st.sampled_from(["success", "fail", "start", "log"]), SPANS),
    SPANS,
    SPANS,
    SPANS,
)
def test_without_time_away_a_verdict_is_pass_or_fail_and_any_success_in_time_is_a_pass(
    expected: HeartbeatOptions, ages: dict[str, timedelta], first: timedelta, gone: timedelta, away: timedelta
) -> None:
    kinds: dict[str, Any] = {kind: Beat(at=NOON - age, kind=kind) for kind, age in ages.items()}
    remembered = BeatState(first_at=NOON - first, **kinds)
    said = judge(expected, remembered, NOON, NEVER)
    assert said.verdict in (Verdict.PASS, Verdict.FAIL)
    fresh = replace(remembered, success=Beat(at=NOON, kind="success"), start=None)
    assert judge(expected, fresh, NOON, NEVER).verdict is Verdict.PASS
    blind = judge(expected, remembered, NOON, (NOON - gone - away, NOON - gone))
    assert blind.verdict is said.verdict or said.verdict is Verdict.FAIL, "being away never makes anything worse"


# ---------------------------------------------------------------------------------------------------- values, evidence


def test_figures_are_the_age_of_the_last_success_and_the_length_of_the_last_run() -> None:
    said = judge(
        MINUTELY, state(beat("success", "0s"), beat("fail", "5s"), took=timedelta(seconds=42)), at("30s"), NEVER
    )
    assert said.values == {"success_age_seconds": 30.0, "run_seconds": 42.0}
    assert judge(MINUTELY, state(first="0s"), at("30s"), NEVER).values == {}


@pytest.mark.parametrize(
    ("remembered", "evidence"),
    [
        pytest.param(state(beat("fail", "0s", body="disk full")), {"last beat": "disk full"}, id="what a fail said"),
        pytest.param(
            state(beat("fail", "0s", body="disk full"), beat("log", "5s", body="trying again")),
            {"last beat": "disk full", "last log beat": "trying again"},
            id="and what was logged",
        ),
        pytest.param(
            state(beat("success", "-9m", body="ok"), beat("log", "5s", body="note")),
            {"last beat": "note"},
            id="the last body",
        ),
        pytest.param(state(beat("success", "0s")), {}, id="no body, no evidence"),
    ],
)
def test_the_last_body_is_evidence(remembered: BeatState, evidence: dict[str, str]) -> None:
    assert judge(MINUTELY, remembered, at("20s"), NEVER).evidence == evidence


# ---------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("given_options", "place", "message"),
    [
        pytest.param({}, "", "expected either every (such as 1m) or cron", id="neither every nor cron"),
        pytest.param({"every": "1m", "cron": "* * * * *"}, "", "expected either every", id="both"),
        pytest.param({"every": "0s"}, "every", "longer than zero", id="no time at all"),
        pytest.param({"every": 60}, "every", "has no unit", id="a number without unit"),
        pytest.param({"every": "1m", "max_run": "0s"}, "max_run", "longer than zero", id="no time to run"),
        pytest.param({"cron": "99 * * * *"}, "cron", "bad minute", id="no cron"),
        pytest.param({"cron": "0 2 * * *", "zone": "Mars/Base"}, "zone", "is not a time zone", id="no zone"),
        pytest.param({"every": "1m", "garce": "3s"}, "garce", "Extra inputs", id="a typo"),
    ],
)
def test_options_that_make_no_sense_are_refused(given_options: dict[str, Any], place: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        HeartbeatOptions.model_validate(given_options)
    (error,) = refused.value.errors()
    assert ".".join(str(part) for part in error["loc"]) == place
    assert message in error["msg"]


@pytest.mark.parametrize(
    ("given_options", "grace"),
    [
        pytest.param({"every": "1m"}, "30s", id="half of the interval"),
        pytest.param({"every": "1s"}, "1s", id="at least a second"),
        pytest.param({"every": "1d"}, "1h", id="at most an hour"),
        pytest.param({"cron": "*/10 * * * *"}, "5m", id="half of the time between two slots"),
        pytest.param({"cron": "0 2 * * *"}, "1h", id="at most an hour for slots too"),
        pytest.param({"every": "1d", "grace": "6h"}, "6h", id="as given"),
        pytest.param({"every": "1d", "grace": "0s"}, "0s", id="none, where none is wanted"),
    ],
)
def test_the_grace_is_half_of_the_time_between_two_beats_unless_given(
    given_options: dict[str, Any], grace: str
) -> None:
    assert expect(options(**given_options), NOON).grace == parse_duration(grace)


def test_a_beat_of_every_minute_does_not_stand_for_the_next_slot_too() -> None:
    assert expect(options(cron="* * * * *"), at("2s")).at == at("1m")


def test_every_option_is_described_for_the_reference_page() -> None:
    schema = HeartbeatOptions.model_json_schema()["properties"]
    assert all(field.get("description") for field in schema.values())


# ---------------------------------------------------------------------------------------------------- the check


class Book:
    def __init__(self, remembered: BeatState) -> None:
        self.remembered = remembered
        self.asked: list[tuple[str, str]] = []

    def state(self, service: str, check: str) -> BeatState:
        self.asked.append((service, check))
        return self.remembered

    def blind_since(self) -> tuple[datetime, datetime]:
        return NEVER


@pytest.mark.parametrize(
    ("age", "kind", "verdict", "reason"),
    [
        pytest.param(timedelta(0), "success", Verdict.PASS, "ok", id="well"),
        pytest.param(timedelta(0), "fail", Verdict.FAIL, "failed", id="failed"),
        pytest.param(timedelta(hours=1), "success", Verdict.FAIL, "overdue", id="overdue"),
        pytest.param(timedelta(hours=-1), "success", Verdict.UNKNOWN, "future", id="cannot tell"),
    ],
)
async def test_the_check_reads_the_book_and_says_what_it_found(
    age: timedelta, kind: str, verdict: Verdict, reason: str
) -> None:
    now = datetime.now(UTC)
    kinds: dict[str, Any] = {kind: Beat(at=now - age, kind=kind, body="3 files")}
    book = Book(BeatState(first_at=now - timedelta(days=1), last=kinds[kind], **kinds))
    tools: Any = SimpleNamespace(beats=book)
    result = await HEARTBEAT.run(MINUTELY, CheckContext("photos", "worker", 3.0, tools))
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.evidence == {"last beat": "3 files"}
    assert book.asked == [("photos", "worker")]


def test_judging_is_a_value() -> None:
    assert judge(MINUTELY, state(first="0s"), NOON, NEVER) == Judgement(
        verdict=Verdict.PASS, reason="ok", summary="waiting for the first beat, due 12:01:00 UTC"
    )


def test_the_type_is_pushed_local_and_short_for_every() -> None:
    assert (HEARTBEAT.name, HEARTBEAT.short, HEARTBEAT.pushed, HEARTBEAT.local) == ("heartbeat", "every", True, True)
