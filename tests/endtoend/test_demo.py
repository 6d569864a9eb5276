"""`codeblue demo`: its whole story with real processes, and a story that does not happen."""

import os
from pathlib import Path

import pytest

from tests.endtoend.agent import codeblue
from tests.endtoend.around import Slack

STORY = [
    "one missed beat: nothing was restarted, nobody was told",
    "two misses, one restart, verified: healed, and nobody was woken",
    "two restarts, no more than the budget, and then a page with the evidence",
    "one page, and exactly one closing message",
    "every part of it happened",
]


def environment(folder: Path, slack: Slack, token: str) -> dict[str, str]:
    """Slack is where `SLACK_API_URL` says; what the demo leaves is in the test's own folder."""
    return {**os.environ, "TMPDIR": str(folder), "SLACK_BOT_TOKEN": token, "SLACK_API_URL": slack.url}


@pytest.mark.slow
def test_the_demo_tells_its_story_within_a_minute_and_slack_hears_of_one_incident(tmp_path: Path, slack: Slack) -> None:
    said = codeblue("demo", cwd=tmp_path, env=environment(tmp_path, slack, slack.token), within=60)
    assert said.returncode == 0, said.stdout
    places = [said.stdout.find(part) for part in STORY]
    assert places == sorted(places)
    assert -1 not in places
    told = [(one["service"], one["kind"]) for one in slack.told()]
    assert [one for one in told if one[1] != "update"] == [("billing", "opened"), ("billing", "resolved")]
    assert list(tmp_path.iterdir()) == []


def test_a_story_that_does_not_happen_ends_with_1_and_says_why(tmp_path: Path, slack: Slack) -> None:
    said = codeblue("demo", cwd=tmp_path, env=environment(tmp_path, slack, "xoxb-2222-nobodys"), within=40)
    assert said.returncode == 1
    assert "the agent ended" in said.stdout
    assert "invalid_auth" in said.stdout
    assert "nobodys" not in said.stdout + said.stderr
