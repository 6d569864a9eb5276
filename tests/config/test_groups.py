"""groups: what replicas share."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import Config, ConfigError
from agent.core.policy import GroupRule
from agent.tables import TABLES

TWO = """
services:
  - {name: web-1, group: web, checks: [{tcp: "127.0.0.1:1"}]}
  - {name: web-2, group: web, checks: [{tcp: "127.0.0.1:2"}]}
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(TWO + text)
    return load(path, TABLES, {})


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        pytest.param("{restarts: 5 per 30m}", GroupRule(at_most=5, per=timedelta(minutes=30)), id="a budget"),
        pytest.param("{share: 50%}", GroupRule(share=0.5), id="a share in per cent"),
        pytest.param("{share: 0.5}", GroupRule(share=0.5), id="a share as a fraction"),
        pytest.param("", GroupRule(), id="nothing but its name"),
    ],
)
def test_a_group_has_a_budget_and_a_share(tmp_path: Path, written: str, rule: GroupRule) -> None:
    assert read(tmp_path, f"groups: {{web: {written}}}\n").groups == {"web": rule}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param("{web: {share: 134%}}", "groups.web.share: expected a share such as 34%", id="more than all"),
        pytest.param("{web: {share: 0}}", "expected a share such as 34%", id="none at all"),
        pytest.param("{web: {restarts: 5 per 2d}}", "expected a window of a day at most", id="longer than remembered"),
        pytest.param("{wep: {}}", "no service is of the group 'wep'", id="no service's"),
        pytest.param("{web: {restart: 5 per 1h}}", "restart", id="no key of a group"),
    ],
)
def test_what_is_wrong_with_a_group_is_said_where_it_is(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"groups: {written}\n")
    assert said in str(caught.value)


def test_the_fleets_budget_is_none_until_it_is_set(tmp_path: Path) -> None:
    assert read(tmp_path, "").agent.fleet_at_most >= 1_000_000
    agent = read(tmp_path, "agent: {fleet_restarts: 50 per 2h, fleet_store: 'sqlite:///fleet.db'}\n").agent
    assert (agent.fleet_at_most, agent.fleet_per) == (50, timedelta(hours=2))
    assert agent.fleet_store == f"sqlite:///{tmp_path}/fleet.db"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(
            "fleet_restarts: 50 per 2h", "means nothing without fleet_store", id="a budget that nobody shares"
        ),
        pytest.param(
            "fleet_store: 'sqlite:///f.db'", "means nothing without fleet_restarts", id="a database for nothing"
        ),
        pytest.param(
            "store: 'sqlite:///f.db', fleet_restarts: 5 per 1h, fleet_store: 'sqlite:///f.db'",
            "is this agent's own store",
            id="the agent's own database",
        ),
    ],
)
def test_what_a_fleet_shares_is_a_budget_and_a_database_of_its_own(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"agent: {{{written}}}\n")
    assert said in str(caught.value)
