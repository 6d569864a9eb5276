"""What somebody who was woken needs to know stands first: why a restart failed, and who else is without the service."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import Outcome
from agent.core.events import Observed, RestartFinished
from agent.core.policy import CheckPolicy, RestartPolicy
from agent.core.result import HEARTBEAT
from tests.core.story import FAIL, Story, at, policy, result

ONE_TRY = RestartPolicy(action="process", at_most=1, backoff=timedelta(0), jitter=0)


def down(story: Story, second: float, check: str = "http", **evidence: str) -> None:
    for moment in (second, second + 1):
        story.tell(Observed(at=at(moment), check=check, result=result(FAIL, moment), evidence=evidence))


@pytest.mark.parametrize(
    ("outcome", "order"),
    [
        pytest.param(Outcome.FAILED, ["Output after the restart", "Body"], id="why a restart failed comes first"),
        pytest.param(Outcome.TIMEOUT, ["Output after the restart", "Body"], id="so it does where it hung"),
        pytest.param(Outcome.DONE, ["Body", "Output after the restart"], id="one that was done says nothing new"),
    ],
)
def test_what_a_failed_restart_said_comes_before_what_was_seen_earlier(outcome: Outcome, order: list[str]) -> None:
    story = Story(policy(restart=ONE_TRY))
    down(story, 0, Body="broken")
    said = {"Output after the restart": 'unknown directive "oops"'}
    story.tell(RestartFinished(at=at(2), key=story.restarts[0].key, outcome=outcome, evidence=said))
    story.time_is(60)
    assert list(story.pages_to("oncall")[0].evidence) == order


def test_the_evidence_of_a_second_check_is_told_only_where_it_says_something_else() -> None:
    story = Story(policy(checks={"http": CheckPolicy(), "tcp": CheckPolicy()}, page=()))
    down(story, 0, Body="broken", **{"Last log lines": "disk full", HEARTBEAT: "http ▯▯; tcp ▮▮"})
    down(story, 10, check="tcp", Sent="PING", **{"Last log lines": "disk full", HEARTBEAT: "http ▯▯▯; tcp ▯▯"})
    assert story.state.incident is not None
    assert story.state.incident.evidence == {
        "Body": "broken",
        "Last log lines": "disk full",
        HEARTBEAT: "http ▯▯▯; tcp ▯▯",
        "Sent (tcp)": "PING",
    }


def test_how_long_each_phase_took_comes_last() -> None:
    story = Story(policy(restart=None))
    for moment in (0, 1):
        slow = replace(result(FAIL, moment), phases={"connect": 0.2}, evidence={"Body": "x"})
        story.tell(Observed(at=at(moment), check="http", result=slow, evidence={"Last log lines": "y"}))
    assert list(story.pages_to("oncall")[0].evidence) == ["Body", "Last log lines", "Phases"]


@pytest.mark.parametrize(
    ("dependants", "said"),
    [
        pytest.param((), None, id="nobody"),
        pytest.param(("shop-api", "shop-web"), "shop-api, shop-web", id="a few"),
        pytest.param(tuple(f"s{n}" for n in range(10)), "s0, s1, s2, s3, s4, s5, s6, s7 and 2 more", id="many"),
    ],
)
def test_a_page_says_which_services_need_the_one_that_is_down(dependants: tuple[str, ...], said: str | None) -> None:
    story = Story(policy(restart=None), dependants=dependants)
    down(story, 0)
    assert story.pages_to("oncall")[0].facts.get("Needed by") == said
