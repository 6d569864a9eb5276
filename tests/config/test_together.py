"""What a configuration says of storms and gathered pages."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import Config
from agent.core.policy import Gather
from agent.core.storm import StormRule
from agent.tables import TABLES

BASE = """
channels:
  ops: {type: console, fallback: [spare]}
  spare: {type: console}
services:
  - {name: a, checks: [host], page: [ops], labels: {team: x}}
  - {name: b, checks: [host], gather: {by: severity, wait: 0s, interval: 1m}}
  - {name: c, checks: [host], gather: off}
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path, TABLES, {})


def test_storms_are_watched_for_unless_config_says_off(tmp_path: Path) -> None:
    assert read(tmp_path, BASE).storm == StormRule()
    assert read(tmp_path, BASE + "storm: off").storm is None


def test_a_storm_has_its_own_numbers_and_people(tmp_path: Path) -> None:
    text = BASE + "storm: {services: 20, within: 30s, calm: 1m, page: ops, escalate: all}\n"
    text += "escalation: {all: {steps: [{notify: [spare], wait: 5m}]}}"
    found = read(tmp_path, text).storm
    assert found is not None
    assert (found.services, found.within, found.calm) == (20, timedelta(seconds=30), timedelta(minutes=1))
    assert found.page == ("ops",)
    assert found.escalation is not None
    assert found.escalation.name == "all"
    assert found.fallback == {"ops": ("spare",)}


@pytest.mark.parametrize(
    ("service", "gather"),
    [
        pytest.param("a", Gather(by=("team",)), id="as the defaults say"),
        pytest.param("b", Gather(by=("severity",), wait=timedelta(0), interval=timedelta(minutes=1)), id="its own way"),
        pytest.param("c", None, id="off"),
    ],
)
def test_pages_are_gathered_as_the_defaults_or_the_service_say(
    tmp_path: Path, service: str, gather: Gather | None
) -> None:
    config = read(tmp_path, BASE + "defaults: {gather: {by: [team]}}")
    assert config.services[service].policy.gather == gather


def test_without_a_word_each_service_is_paged_by_itself_at_once(tmp_path: Path) -> None:
    assert read(tmp_path, BASE).services["a"].policy.gather is None
