"""What a configuration says of fire drills and of the dead man's switch."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import Config, ConfigError, Cron, DrillSpec
from agent.tables import TABLES

BASE = """
channels: {ops: {type: console}}
services:
  - {name: a, checks: [host], page: [ops]}
"""
URL = "https://hc.example.com/5f2a?x=1"


def read(folder: Path, text: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(BASE + text)
    return load(path, TABLES, {})


def test_without_a_word_drills_are_held_by_hand_and_nobody_is_pinged(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    assert found.drill == DrillSpec()
    assert found.agent.ping is None


def test_a_drill_by_the_calendar(tmp_path: Path) -> None:
    text = "drill: {cron: '0 10 * * mon', zone: Europe/Berlin, services: a, within: 30s, seen: 10m}"
    assert read(tmp_path, text).drill == DrillSpec(
        cron=Cron(expression="0 10 * * mon", zone="Europe/Berlin"),
        services=("a",),
        within=timedelta(seconds=30),
        seen=timedelta(minutes=10),
    )


def test_a_drill_of_channels_and_people(tmp_path: Path) -> None:
    text = "drill: {every: 7d, page: ops, escalate: all}\nescalation: {all: {steps: [{notify: [ops], wait: 5m}]}}"
    found = read(tmp_path, text).drill
    assert (found.every, found.page) == (timedelta(days=7), ("ops",))
    assert found.escalation is not None
    assert found.escalation.name == "all"


WRONG = {
    "a service that is not there": ("drill: {services: [b]}", "drill.services: there is no service 'b'"),
    "a zone of nothing": ("drill: {every: 1d, zone: UTC}", "drill.zone: is the zone of cron, which is not there"),
    "two schedules": ("drill: {every: 1d, cron: '0 1 * * *'}", "drill.every: expected either cron or every, got both"),
    "services and channels": ("drill: {services: [a], page: [ops]}", "drill.page: is for a drill that is no service's"),
    "a channel that is not there": ("drill: {page: [opps]}", "did you mean 'ops'?"),
    "an unknown key": ("drill: {evry: 1d}", "did you mean 'every'?"),
    "a ping to nowhere": ("agent: {ping: {url: nowhere}}", "agent.ping.url: expected an address"),
    "a header of our own": (
        f"agent: {{ping: {{url: '{URL}', headers: {{User-Agent: x}}}}}}",
        "User-Agent is set by codeblue itself",
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert said in str(refused.value)


def test_the_address_of_trouble_follows_from_the_other(tmp_path: Path) -> None:
    (tmp_path / "ping.url").write_text(f"{URL}\n")
    found = read(tmp_path, "agent: {ping: {url_file: ping.url, every: 30s}}").agent.ping
    assert found is not None
    assert (found.url.get_secret_value(), found.every) == (URL, timedelta(seconds=30))
    assert found.fail_url is not None
    assert found.fail_url.get_secret_value() == "https://hc.example.com/5f2a/fail?x=1"
    assert "5f2a" not in repr(found)


def test_or_is_said_or_there_is_none(tmp_path: Path) -> None:
    other = read(tmp_path, f"agent: {{ping: {{url: '{URL}', fail_url: 'https://b.example.com'}}}}").agent.ping
    silent = read(tmp_path, f"agent: {{ping: {{url: '{URL}', on_trouble: withhold}}}}").agent.ping
    assert other is not None
    assert other.fail_url is not None
    assert other.fail_url.get_secret_value() == "https://b.example.com"
    assert silent is not None
    assert silent.fail_url is None
