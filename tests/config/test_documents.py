"""What is written for people and editors says what the code does: the schema, the reference pages, config.yaml.

UPDATE_EXPECTED=1 writes the pages anew; read the difference before it is committed.
"""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.actions import ACTIONS
from agent.actions.drains import DRAINS
from agent.config.fields import Model, keys, nested
from agent.config.load import load
from agent.config.model import Config, Tables
from agent.config.reference import file_reference, reference
from agent.config.schema import json_schema
from agent.ports import ActionType, ChannelType, CheckType
from alerts.channels import CHANNELS
from checks import CHECKS
from tests.config.refusals import refusals, written

ROOT = Path(__file__).parent.parent.parent
REAL = Tables(checks=CHECKS, actions=ACTIONS, channels=CHANNELS, drains=DRAINS)
TYPES = (REAL.checks, REAL.actions, REAL.channels)


@pytest.fixture(scope="module")
def default() -> Config:
    return load(ROOT / "config.yaml", REAL, {})


def test_the_file_that_people_script_against_means_the_same_for_the_real_types() -> None:
    """The interface that was promised, with names that must stay."""
    good = Path(__file__).parent / "good" / "whole.yaml"
    config = load(good, REAL, {"WORKER_TOKEN": "knock-knock", "SLACK_BOT_TOKEN": "xoxb-1"})
    http, port, worker = config.services["photos-api"].checks
    assert [check.type.name for check in (http, port, worker)] == ["http", "tcp", "heartbeat"]
    assert (http.options.url, port.options.address) == ("http://127.0.0.1:8080/health", "127.0.0.1:8080")
    assert (worker.options.every, worker.options.grace) == (timedelta(minutes=1), timedelta(seconds=30))
    [restart] = config.services["photos-api"].actions
    assert (restart.type.name, restart.options.unit) == ("systemd", "photos-api.service")
    assert {name: channel.type.name for name, channel in config.channels.items()} == {
        "oncall": "slack",
        "ops-hook": "webhook",
        "terminal": "console",
    }


@pytest.mark.parametrize(
    ("page", "text"), [("configuration.md", file_reference()), ("checks.md", reference(REAL))], ids=["file", "types"]
)
def test_the_committed_reference_page_is_what_the_models_say(page: str, text: str) -> None:
    path = ROOT / "docs" / page
    if os.environ.get("UPDATE_EXPECTED"):
        path.write_text(text)
    assert path.read_text() == text


def test_every_type_and_every_option_of_it_is_on_the_page() -> None:
    page = reference(REAL)
    for table in TYPES:
        for name, kind in table.items():
            section = page.split(f"\n### {name}\n", 1)[1].split("\n### ", 1)[0]
            assert kind.about in page
            assert section.strip()


@pytest.mark.parametrize("kind", [kind for table in TYPES for kind in table.values()], ids=lambda kind: kind.name)
def test_every_option_says_what_it_means(kind: CheckType[Any] | ActionType[Any] | ChannelType[Any]) -> None:
    assert list(undescribed(kind.options)) == []


@pytest.mark.parametrize("words", ["`True`", "`False`", "`None`"])
def test_the_page_of_the_types_speaks_yaml_and_not_python(words: str) -> None:
    assert words not in reference(REAL)


def test_the_schema_of_the_real_types_is_a_schema_and_takes_the_default_configuration() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(REAL))
    assert refusals((ROOT / "config.yaml").read_text(), REAL) == []


def test_the_default_configuration_looks_after_the_host_itself_and_hello(default: Config) -> None:
    assert {name: [check.name for check in service.checks] for name, service in default.services.items()} == {
        "host": ["host"],
        "codeblue": ["agent"],
        "hello": ["http", "port", "beat"],
    }
    assert default.agent.listen == "127.0.0.1:9797"
    assert default.agent.store == f"sqlite:///{ROOT}/codeblue.db"


def test_the_default_configuration_restarts_hello_and_tells_the_terminal(default: Config) -> None:
    hello = default.services["hello"].policy
    assert hello.restart
    assert (hello.restart.action, hello.restart.at_most, hello.restart.per) == ("process", 3, timedelta(minutes=10))
    assert (hello.page, hello.notify) == (("terminal",), ("terminal",))
    assert default.processes["hello"].command == ("python", "-m", "examples.hello")
    assert default.processes["hello"].cwd == str(ROOT)


def test_what_the_default_configuration_calls_built_in_is_built_in(default: Config) -> None:
    text = (ROOT / "config.yaml").read_text()
    assert "These are the built-in values." in text
    block = written(text)["defaults"]
    built_in = json_schema(REAL)["$defs"]["Defaults"]["properties"]
    assert block == {key: built_in[key]["default"] for key in block}


def test_the_examples_in_the_comments_of_the_default_configuration_are_right(tmp_path: Path) -> None:
    (tmp_path / "agent.tokens").write_text("a-long-token\n")
    (tmp_path / "hook.secret").write_text("hush\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "db.yaml").write_text("services: [{name: photos-db, checks: [{tcp: '127.0.0.1:5432'}]}]")
    path = tmp_path / "config.yaml"
    path.write_text(uncommented((ROOT / "config.yaml").read_text()))
    config = load(path, REAL, {"SLACK_BOT_TOKEN": "xoxb-1", "WORKER_TOKEN": "knock"})
    assert config.services["photos-api"].policy.depends_on == ("photos-db",)
    assert config.services["photos-api"].policy.fallback == {"oncall": ("ops-hook",)}
    assert config.agent.traces
    assert len(config.logs) == 2


def undescribed(model: Model, prefix: str = "") -> Iterator[str]:
    """The options without a word on what they mean, those of an option within an option as `expect.status`."""
    yield from (f"{prefix}{key}" for key, field in keys(model).items() if not (field.description or "").strip())
    for key, models in nested(model).items():
        for inner in models:
            if inner is not model:
                yield from undescribed(inner, f"{prefix}{key}.")


def uncommented(text: str) -> str:
    """With the examples in place: a # that no blank, or more than one, follows."""
    return re.sub(r"^( *)#(?=[^ #]|  )", r"\1", text, flags=re.MULTILINE)
