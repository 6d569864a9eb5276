"""The life of a silence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.matchers import parse
from agent.core.silence import LISTED_FOR, Silence, State, expired, forgotten, without

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_HOURS = Silence(
    id="s-1", matchers=parse("service=api"), starts=NOW, ends=NOW + 2 * HOUR, by="bob", created=NOW, comment="deploy"
)
RESOLVED = replace(TWO_HOURS, ends=None, until_resolved=True, incidents=("api-1", "db-1"))


@pytest.mark.parametrize(
    ("at", "state"),
    [
        pytest.param(NOW - timedelta(microseconds=1), State.PENDING, id="before it starts"),
        pytest.param(NOW, State.ACTIVE, id="at its start"),
        pytest.param(NOW + 2 * HOUR - timedelta(microseconds=1), State.ACTIVE, id="just before its end"),
        pytest.param(NOW + 2 * HOUR, State.EXPIRED, id="at its end"),
    ],
)
def test_it_holds_from_its_start_up_to_its_end(at: datetime, state: State) -> None:
    assert TWO_HOURS.state(at) is state
    assert TWO_HOURS.quiets("any", at) is (state is State.ACTIVE)
    assert TWO_HOURS.quiets("", at) is (state is State.ACTIVE)


def test_until_resolved_holds_only_for_the_incidents_that_were_open() -> None:
    assert RESOLVED.quiets("api-1", NOW + 100 * HOUR)
    assert not RESOLVED.quiets("api-2", NOW)
    assert not RESOLVED.quiets("", NOW)


def test_until_resolved_ends_with_the_last_of_its_incidents() -> None:
    one_left = without(RESOLVED, {"db-1", "api-2"}, NOW + HOUR)
    assert (one_left.incidents, one_left.state(NOW + HOUR)) == (("db-1",), State.ACTIVE)
    none_left = without(one_left, set(), NOW + 2 * HOUR)
    assert (none_left.state(NOW + 2 * HOUR), none_left.ends) == (State.EXPIRED, NOW + 2 * HOUR)


def test_one_that_nothing_has_changed_for_stays_the_same_object() -> None:
    assert without(RESOLVED, {"api-1", "db-1"}, NOW) is RESOLVED
    assert without(TWO_HOURS, set(), NOW) is TWO_HOURS


def test_until_resolved_may_have_a_latest_end() -> None:
    capped = replace(RESOLVED, ends=NOW + HOUR)
    assert not capped.quiets("api-1", NOW + HOUR)
    assert capped.why == "silenced by bob until it is resolved, at the latest at 13:00 UTC: deploy"


@pytest.mark.parametrize(
    ("silence", "why"),
    [
        pytest.param(TWO_HOURS, "silenced by bob until 14:00 UTC: deploy", id="the same day"),
        pytest.param(
            replace(TWO_HOURS, ends=NOW + 20 * HOUR, comment=""),
            "silenced by bob until Sun 22 Nov 08:00 UTC",
            id="the next day, without a comment",
        ),
        pytest.param(RESOLVED, "silenced by bob until it is resolved: deploy", id="until resolved"),
    ],
)
def test_it_says_in_one_line_why_it_is_quiet(silence: Silence, why: str) -> None:
    assert silence.why == why


@pytest.mark.parametrize("silence", [TWO_HOURS, RESOLVED, replace(TWO_HOURS, starts=NOW + HOUR)])
def test_ended_by_hand_it_is_over_at_once(silence: Silence) -> None:
    ended = expired(silence, NOW + timedelta(minutes=5))
    assert ended.state(NOW + timedelta(minutes=5)) is State.EXPIRED
    assert not ended.quiets("api-1", NOW + timedelta(minutes=5))


def test_ending_what_has_ended_leaves_its_end() -> None:
    assert expired(TWO_HOURS, NOW + 5 * HOUR) is TWO_HOURS


def test_it_stays_listed_for_days_after_its_end() -> None:
    assert not forgotten(TWO_HOURS, NOW + 2 * HOUR + LISTED_FOR)
    assert forgotten(TWO_HOURS, NOW + 2 * HOUR + LISTED_FOR + timedelta(seconds=1))
    assert not forgotten(RESOLVED, NOW + 1000 * HOUR)
