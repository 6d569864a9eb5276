"""`codeblue oncall` from the configuration alone: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from tests.servers import free_port

CONFIG = """
agent: {listen: "127.0.0.1:PORT"}
channels: {sms: {type: console}}
people: {alice: {name: Alice Miller, contacts: {sms: "1"}}, bob: {contacts: {sms: "2"}}, carol: {}}
oncall: {primary: {zone: Europe/Berlin, layers: [{people: [WHO], every: daily, handover: 09:00, start: 2026-01-05}]}}
escalation: {default: {steps: [{notify: [primary]}]}}
services: [{name: web, checks: [host]}]
"""


def oncall(folder: Path, *arguments: str, who: str = "alice, bob") -> Result:
    config = folder / "config.yaml"
    config.write_text(CONFIG.replace("PORT", str(free_port())).replace("WHO", who))
    return CliRunner().invoke(app, ["oncall", *arguments, "--config", str(config)])


def test_show_prints_the_shifts_in_the_zone_that_is_asked_for(tmp_path: Path) -> None:
    said = oncall(tmp_path, "show", "--days", "3", "--zone", "Asia/Tokyo", "--no-agent")
    assert (said.exit_code, said.stderr) == (0, "")
    assert "primary, times in Asia/Tokyo" in said.stdout
    assert "Alice Miller" in said.stdout
    assert "bob" in said.stdout


def test_show_as_json_has_no_hole(tmp_path: Path) -> None:
    said = oncall(tmp_path, "show", "--days", "3", "--json", "--no-agent")
    (schedule,) = json.loads(said.stdout)["schedules"]
    shifts = schedule["shifts"]
    assert [one["end"] for one in shifts[:-1]] == [one["start"] for one in shifts[1:]]
    assert {name for one in shifts for name in one["people"]} == {"alice", "bob"}


def test_without_an_agent_it_says_that_overrides_are_missing(tmp_path: Path) -> None:
    said = oncall(tmp_path, "now")
    assert said.exit_code == 0
    assert "without overrides: no agent answers at" in said.stderr


def test_coverage_ends_with_0_when_every_hour_is_covered(tmp_path: Path) -> None:
    said = oncall(tmp_path, "coverage", "--days", "3", "--no-agent", "--verify")
    assert said.exit_code == 0, said.output
    assert "every one of the next 72 hours is covered" in said.stdout


def test_coverage_ends_with_1_and_names_who_cannot_be_reached(tmp_path: Path) -> None:
    said = oncall(tmp_path, "coverage", "--days", "3", "--no-agent", who="alice, carol")
    assert said.exit_code == 1
    assert "carol has no contact" in said.stdout
    assert "nobody at all is asked" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(
            ["show", "--schedule", "primry"], "there is no schedule 'primry': did you mean 'primary'?", id="no schedule"
        ),
        pytest.param(["show", "--zone", "Berlin"], "--zone: expected a time zone such as", id="no zone"),
        pytest.param(
            ["override", "primary", "bbo", "--until", "+8h"], "has no person 'bbo': did you mean 'bob'?", id="nobody"
        ),
        pytest.param(["override", "primary", "bob"], "say --until when", id="no end"),
        pytest.param(["override", "primary", "bob", "--until", "soon"], "expected a time such as now", id="no time"),
        pytest.param(
            ["swap", "primary", "alice", "zoe", "--until", "+8h"], "has no person 'zoe'", id="a swap with nobody"
        ),
    ],
)
def test_what_cannot_be_meant_ends_with_2(tmp_path: Path, arguments: list[str], why: str) -> None:
    said = oncall(tmp_path, *arguments)
    assert said.exit_code == 2
    assert why in " ".join(said.stderr.split())
