"""How a text is read: scalars, aliases, variables; and that nothing in one can do harm."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.config.lines import find_lines
from agent.config.model import ConfigError
from agent.config.variables import expand
from agent.config.yaml_text import read_yaml
from tests.config.reading import read


def value(text: str) -> Any:
    found, troubles, complete = read_yaml(text, lambda scalar, complain: scalar)
    assert not troubles
    assert complete
    return found


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        pytest.param("true", True, id="a boolean"),
        pytest.param("false", False, id="the other boolean"),
        pytest.param("yes", "yes", id="yes is a word"),
        pytest.param("on", "on", id="on is a word"),
        pytest.param("NO", "NO", id="and so is Norway"),
        pytest.param("8", 8, id="a whole number"),
        pytest.param("-12", -12, id="a negative one"),
        pytest.param("0.5", 0.5, id="a fraction"),
        pytest.param("1e3", 1000.0, id="with an exponent"),
        pytest.param("08:00", "08:00", id="a time of day is no number to the base of 60"),
        pytest.param("1:30:00", "1:30:00", id="nor is a duration"),
        pytest.param("0123", "0123", id="a leading zero makes no octal number"),
        pytest.param("1_000", "1_000", id="an underscore makes it a word"),
        pytest.param("2026-01-01", "2026-01-01", id="a date is a word"),
        pytest.param("10s", "10s", id="a duration is a word"),
        pytest.param(".", ".", id="a dot is no number"),
        pytest.param("9" * 5000, "9" * 5000, id="a number that nobody counts with is a word"),
        pytest.param("1e999", "1e999", id="and so is one that is no finite number"),
        pytest.param("", None, id="nothing"),
        pytest.param("~", None, id="nothing, written"),
        pytest.param("'8'", "8", id="quoted it is a text"),
        pytest.param('"true"', "true", id="quoted it is a text, in either quotes"),
        pytest.param("!!str 8", "8", id="a tag says so too"),
        pytest.param("[a, {b: [1]}]", ["a", {"b": [1]}], id="lists and mappings in one line"),
        pytest.param("{404: x, true: y, ~: z}", {"404": "x", "true": "y", "~": "z"}, id="keys are texts always"),
        pytest.param("|\n  a\n  b\n", "a\nb\n", id="a text of two lines"),
    ],
)
def test_a_scalar_means_what_it_looks_like(text: str, meaning: object) -> None:
    found = value(text)
    assert found == meaning
    assert type(found) is type(meaning)


def test_aliases_and_merges_stand_for_what_was_written_before() -> None:
    text = "a: &x {one: 1, two: 2}\nb: *x\nc: {<<: *x, two: 3}\nd: {two: 3, <<: [*x, {three: 4, one: 5}]}"
    assert value(text) == {
        "a": {"one": 1, "two": 2},
        "b": {"one": 1, "two": 2},
        "c": {"one": 1, "two": 3},
        "d": {"one": 1, "two": 3, "three": 4},
    }


def test_a_text_of_aliases_that_stand_for_a_billion_values_is_refused_at_once() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30)]
    before = time.process_time()
    _, [trouble], complete = read_yaml("\n".join(lines), lambda scalar, complain: scalar)
    assert "expected aliases to stand for at most" in trouble.message
    assert not complete
    assert time.process_time() - before < 5


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "a: [" * 60])
def test_nesting_without_end_is_refused(text: str) -> None:
    _, [trouble], complete = read_yaml(text, lambda scalar, complain: scalar)
    assert not complete
    assert "nesting" in trouble.message or "not YAML" in trouble.message


ENV = {"HOST": "photos.internal", "EMPTY": "", "ODD": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("${HOST}", "photos.internal", id="a variable"),
        pytest.param("http://${HOST}:${PORT:-80}/", "http://photos.internal:80/", id="within a text, with a default"),
        pytest.param("${HOST:-other}", "photos.internal", id="a default is for what is not set"),
        pytest.param("${EMPTY:-other}", "other", id="or empty"),
        pytest.param("${EMPTY}", "", id="without a default an empty one is empty"),
        pytest.param("${NONE:-}", "", id="an empty default is a default"),
        pytest.param("${NONE:-a:-b $x}", "a:-b $x", id="a default may hold anything but a brace"),
        pytest.param("$${HOST}", "${HOST}", id="two dollars are a plain one"),
        pytest.param("$HOST costs $5", "$HOST costs $5", id="without braces it is no variable"),
        pytest.param("${ODD}", "${HOST}", id="what a variable holds is not looked into"),
    ],
)
def test_variables_are_replaced(text: str, result: str) -> None:
    troubles: list[str] = []
    assert expand(text, ENV, troubles.append, lambda value, shown: None) == result
    assert troubles == []


@pytest.mark.parametrize("text", ["${NONE}", "${}", "${1}", "${A B}", "${HOST", "${HOST:?no}", "${NONE:-${HOST}}"])
def test_what_cannot_be_replaced_is_told(text: str) -> None:
    troubles: list[str] = []
    expand(text, ENV, troubles.append, lambda value, shown: None)
    assert troubles


def test_a_variable_is_a_text_whatever_it_looks_like(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "agent: {name: '${N}'}\nservices: [{name: a, checks: [{host: {disk: '${D}'}, misses: '${M}'}]}]",
        {"N": "123", "D": "75", "M": "4"},
    )
    assert config.agent.name == "123"
    [check] = config.services["a"].checks
    assert check.options.model_dump() == {"disk": 75}
    assert check.policy.misses == 4


PLAIN = st.text("abcxyz019 -:#'\"é", max_size=8)
VALUES = st.recursive(
    PLAIN | st.integers(-(10**29), 10**29) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=20,
)


def walk(tree: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [p for step, item in items for p in ((*path, step), *walk(item, (*path, step)))]


@given(VALUES)
def test_what_another_writer_writes_is_read_back_and_each_path_has_its_line(tree: Any) -> None:
    text = yaml.safe_dump(tree, default_flow_style=False, allow_unicode=True, width=10_000, sort_keys=False)
    assert value(text) == tree
    paths = walk(tree)
    lines = find_lines(text, paths)
    rows = text.split("\n")
    for path in paths:
        step = path[-1]
        if isinstance(step, int):
            assert "-" in rows[lines[path] - 1]
        elif step.isalnum():
            assert step in rows[lines[path] - 1]
    assert [lines[path] for path in paths] == sorted(lines[path] for path in paths)


VOCABULARY = """agent defaults services processes channels logs include name checks http tcp heartbeat host url expect
  status json restart systemd process at_most page fallback type console slack token token_file secret_file every cron
  zone timeout misses depends_on files service command cwd env << . .. a b 10s 0s ${A} ${A:-b} null {} [] 3/1h
  http://127.0.0.1/ 127.0.0.1:80 -1 1e999 .nan 99999999999999999999999999"""
WORDS = st.sampled_from([*VOCABULARY.split(), "0 2 * * *", "\0", ""])
CONFIG_LIKE = st.recursive(
    WORDS | st.integers() | st.floats() | st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=25,
)


def survives(folder: Path, text: str) -> None:
    problems = None
    try:
        read(folder, text, {"A": "x"})
    except ConfigError as error:
        problems = error.problems
    assert problems is None or all(problem.message for problem in problems)
    assert problems != []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


ANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@ANY
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@example("include: [/]")
@example('include: ["\\0"]')
@example('agent: {store: "sqlite:///\\0"}')
@example("services: [{name: a, checks: [{http: {url: 'http://x/', login: {user: a, password_file: \"\\0\"}}}]}]")
@example('processes: {a: {command: [x], cwd: "\\0"}}\nservices: [{name: a, checks: [host]}]')
@example('logs: [{files: "\\0", service: a}]\nservices: [{name: a, checks: [host]}]')
@example("include: ['**/*']")
@example("\x85 \u2028 \ufeff")
def test_no_text_raises_anything_but_a_config_error(folder: Path, text: str) -> None:
    survives(folder, text)


@ANY
@given(tree=st.dictionaries(WORDS, CONFIG_LIKE))
def test_no_tree_of_known_words_raises_anything_but_a_config_error(folder: Path, tree: object) -> None:
    survives(folder, yaml.safe_dump(tree, allow_unicode=True))


SERVICE = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"]), "checks": st.lists(CONFIG_LIKE, max_size=3)},
    optional={"restart": CONFIG_LIKE, "page": CONFIG_LIKE, "depends_on": CONFIG_LIKE},
)
CHANNEL = st.dictionaries(st.sampled_from(["type", "fallback", "token", "secret", "secret_file", "url"]), CONFIG_LIKE)


@ANY
@given(services=st.lists(SERVICE, max_size=3), channels=st.dictionaries(WORDS, CHANNEL, max_size=2), agent=CONFIG_LIKE)
def test_nothing_in_the_right_places_raises_anything_but_a_config_error(
    folder: Path, services: object, channels: object, agent: object
) -> None:
    survives(folder, yaml.safe_dump({"services": services, "channels": channels, "agent": agent}))
