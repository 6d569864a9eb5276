"""Which dead letters are of no use any more."""

from dataclasses import replace

import pytest

from agent.core.commands import Notice, NoticeKind
from agent.core.state import Incident
from agent.runtime.letters import is_outlived
from tests.core.story import FAIL, Story, policy


@pytest.fixture
def story() -> Story:
    told = Story(policy(restart=None))
    told.sees(FAIL, 10, 12)
    return told


def of(story: Story) -> tuple[Notice, Incident]:
    assert story.state.incident is not None
    return story.pages_to("oncall")[0], story.state.incident


def test_a_page_is_wanted_as_long_as_its_incident_is_open(story: Story) -> None:
    page, incident = of(story)
    assert not is_outlived(page, incident)
    assert is_outlived(page, None), "it is over"
    assert is_outlived(page, replace(incident, id="api-20260302T030012.000Z")), "another one is open by now"


@pytest.mark.parametrize(
    ("kind", "outlived"),
    [
        pytest.param(NoticeKind.UPDATE, True, id="an update"),
        pytest.param(NoticeKind.REMINDER, True, id="a reminder"),
        pytest.param(NoticeKind.RESOLVED, False, id="that it is over stays true"),
        pytest.param(NoticeKind.NOTE, False, id="so does a note"),
    ],
)
def test_after_the_end_only_what_says_that_it_goes_on_is_outlived(
    story: Story, kind: NoticeKind, outlived: bool
) -> None:
    page, _ = of(story)
    assert is_outlived(replace(page, kind=kind), None) is outlived


def test_a_message_about_no_incident_is_never_outlived(story: Story) -> None:
    page, _ = of(story)
    assert not is_outlived(replace(page, incident=""), None)
