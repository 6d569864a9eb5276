"""The JSON Schema refuses in an editor what the agent would refuse, and nothing else."""

from pathlib import Path

import jsonschema
import pytest

from agent.config.reference import reference
from agent.config.schema import json_schema
from tests.config.refusals import refusals
from tests.config.small_tables import TABLES

WHOLE = Path(__file__).parent / "good" / "whole.yaml"


def test_the_schema_is_a_schema_and_takes_the_good_file() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(TABLES))
    assert refusals(WHOLE.read_text()) == []


@pytest.mark.parametrize(
    ("service", "fine"),
    [
        pytest.param("{name: a, checks: [host]}", True, id="a bare type"),
        pytest.param("{name: a, checks: [{host: }]}", True, id="a type with nothing said"),
        pytest.param("{name: a, checks: [http]}", False, id="a bare type that needs an option"),
        pytest.param("{name: a, checks: [{http: 'http://x/'}]}", True, id="the short form"),
        pytest.param("{name: a, checks: [{command: [/bin/true]}]}", True, id="the short form of a list"),
        pytest.param("{name: a, checks: [{http: {url: 'http://x/'}, every: 10s}]}", True, id="the long form"),
        pytest.param("{name: a, checks: [{http: {ulr: 'http://x/'}}]}", False, id="an unknown option"),
        pytest.param("{name: a, checks: [{host: {}, evrey: 10s}]}", False, id="an unknown key"),
        pytest.param("{name: a, checks: [{host: {}, http: 'http://x/'}]}", False, id="two types"),
        pytest.param("{name: a, checks: [{every: 10s}]}", False, id="no type"),
        pytest.param("{name: a, checks: [{host: {}, every: 10}]}", False, id="a duration without unit"),
        pytest.param("{name: a, checks: [{host: {}, every: '${EVERY}'}]}", True, id="a variable for a duration"),
        pytest.param("{name: a, checks: [{host: {disk: '${DISK}'}}]}", True, id="a variable for a number"),
        pytest.param("{name: a, checks: [{host: {disk: much}}]}", False, id="a word for a number"),
        pytest.param("{name: a, checks: [{host: {}, token_file: t}]}", True, id="a secret in a file"),
        pytest.param(
            "{name: a, checks: [{http: {url: 'http://x/', login: {user: u, password_file: p}}}]}",
            True,
            id="a needed secret in a file",
        ),
        pytest.param(
            "{name: a, checks: [{http: {url: 'http://x/', login: {user: u}}}]}", False, id="a needed secret nowhere"
        ),
        pytest.param("{name: a, checks: [host], restart: {systemd: a.service, at_most: 3 per 1h}}", True, id="restart"),
        pytest.param("{name: a, checks: [host], restart: {at_most: 3 per 1h}}", False, id="a restart of no type"),
        pytest.param("{name: a, checks: [host], restart: {systemd: x, at_most: often}}", False, id="not a rate"),
        pytest.param("{name: A B, checks: [host]}", False, id="not a name"),
        pytest.param("{checks: [host]}", False, id="no name"),
    ],
)
def test_an_editor_marks_what_the_agent_would_refuse(service: str, fine: bool) -> None:
    assert (refusals(f"services: [{service}]") == []) == fine


@pytest.mark.parametrize(
    ("channel", "fine"),
    [
        pytest.param("{type: console, per_second: 2, fallback: [b]}", True, id="what surrounds every channel"),
        pytest.param("{type: slack, channel: x, token_file: t}", True, id="a secret in a file"),
        pytest.param("{type: slack, channel: x}", False, id="a secret that is missing"),
        pytest.param("{type: console, channel: x}", False, id="another type's option"),
        pytest.param("{type: pigeon}", False, id="an unknown type"),
    ],
)
def test_an_editor_marks_a_channel_that_cannot_be(channel: str, fine: bool) -> None:
    assert (refusals(f"channels: {{a: {channel}}}") == []) == fine


def test_what_the_schema_says_of_a_default_is_as_people_write_it() -> None:
    defs = json_schema(TABLES)["$defs"]
    assert defs["Defaults"]["properties"]["every"]["default"] == "10s"
    assert defs["Defaults"]["properties"]["restart"]["default"]["at_most"] == "3 per 1h"
    assert defs["AgentKeys"]["properties"]["log_size"]["default"] == "1.0GiB"


def test_the_reference_names_options_within_options_and_says_what_is_secret() -> None:
    page = reference(TABLES)
    assert "| `expect.status` | whole number or list of whole number | `200` |" in page
    assert "| `login.password` | secret | **required** |" in page
    assert "| `method` | `GET` or `HEAD` or `POST` | `GET` | How it is asked. |" in page
    assert "Short form: `http: …` is `http: {url: …}`." in page
    assert "It has no options." in page
