"""A broken or healthy service, a receiver, Slack, and agents that never outlive their test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.agent import Agent
from tests.endtoend.around import Jira, Receiver, Service, Slack, jira, slack
from tests.processes import marked

MakeAgent = Callable[..., Agent]


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    """Makes agents in the test's folder; at the end nothing of them is left running."""
    made: list[Agent] = []

    def make(config: Mapping[str, Any], env: Mapping[str, str] | None = None, folder: Path = tmp_path) -> Agent:
        made.append(Agent(folder, config, env))
        return made[-1]

    yield make
    for agent in made:
        agent.clean_up()
    left = marked(str(tmp_path))
    assert left == [], "something that the test started is left running"


@pytest.fixture
def web() -> Iterator[Service]:
    with Service().serving() as service:
        yield service


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with Receiver().serving() as receiver:
        yield receiver


@pytest.fixture(name="slack")
def slack_fixture() -> Iterator[Slack]:
    with slack() as standin:
        yield standin


@pytest.fixture(name="jira")
def jira_fixture() -> Iterator[Jira]:
    with jira() as standin:
        yield standin
