"""The copy of the last good configuration: what is in it, where it is found, and when it is not believed."""

import json
import os
import stat
from pathlib import Path

import pytest

from agent.config.last_good import find, keep
from agent.config.load import load
from agent.config.model import Config, ConfigError
from tests.config.small_tables import TABLES

GOOD = """
agent: {name: a}
include: [conf.d]
services:
  - {name: web, checks: [{http: "http://127.0.0.1/${WHERE}"}]}
"""
MORE = "services:\n  - {name: db, checks: [{http: http://127.0.0.1/db}]}\n"
ENV = {"WHERE": "secret-place"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "db.yaml").write_text(MORE)
    (tmp_path / "config.yaml").write_text(GOOD)
    return tmp_path / "config.yaml"


def kept(path: Path) -> Config:
    config = load(path, TABLES, ENV)
    assert keep(config)
    return config


def place(path: Path) -> Path:
    return path.with_name("codeblue.db.last-good")


def test_what_was_kept_is_read_as_it_was_whatever_has_become_of_the_files(path: Path) -> None:
    config = kept(path)
    path.write_text("services: [")
    (path.parent / "conf.d" / "db.yaml").unlink()
    (path.parent / "conf.d" / "new.yaml").write_text("no: no")
    with pytest.raises(ConfigError):
        load(path, TABLES, ENV)
    copy = find(path, {})
    assert copy is not None
    again = load(path, TABLES, ENV, copy)
    assert again.services == config.services
    assert list(again.services) == ["web", "db"]
    assert again.sources == config.sources


def test_a_start_on_the_copy_watches_the_files_and_the_folders_all_the_same(path: Path) -> None:
    config = kept(path)
    copy = find(path, {})
    assert copy is not None
    assert {file.resolve() for file in load(path, TABLES, ENV, copy).files} == {file.resolve() for file in config.files}


def test_a_reference_stays_one_and_only_the_agents_own_user_can_read_the_copy(path: Path) -> None:
    kept(path)
    text = place(path).read_text()
    assert "${WHERE}" in text
    assert "secret-place" not in text
    assert stat.S_IMODE(place(path).stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.glob("*last-good*")] == [place(path).name], "nothing half-written"


def test_what_a_secret_file_holds_is_not_copied_and_read_anew(tmp_path: Path) -> None:
    from agent.tables import TABLES as ALL

    path = tmp_path / "config.yaml"
    (tmp_path / "hook.secret").write_text("first-secret")
    path.write_text(
        "channels: {hook: {type: webhook, url: http://127.0.0.1/x, secret_file: hook.secret}}\n"
        "services: [{name: web, checks: [{http: http://127.0.0.1/}], page: [hook]}]\n"
    )
    assert keep(load(path, ALL, {}))
    assert "first-secret" not in place(path).read_text()
    (tmp_path / "hook.secret").write_text("second-secret")
    path.write_text("services: [")
    copy = find(path, {})
    assert copy is not None
    options = load(path, ALL, {}, copy).channels["hook"].options
    assert options.secret.get_secret_value() == "second-secret"


def test_a_file_that_was_changed_since_it_was_read_is_not_kept(path: Path) -> None:
    config = kept(path)
    before = place(path).read_text()
    path.write_text(GOOD.replace("name: a", "name: b"))
    assert not keep(config)
    assert place(path).read_text() == before


@pytest.mark.parametrize(
    "broken",
    [
        "agent:\n  store: sqlite:///{}/state.db\nservices: [",
        'agent: {{name: a, store: "sqlite:///{}/state.db"}}\nservices: [',
        "agent: {{store: 'sqlite:///${{STATE}}/state.db', nmae: x}}\n",
    ],
    ids=["a block that ends in broken YAML", "in braces", "with a reference"],
)
def test_it_is_found_beside_the_database_that_a_broken_file_still_names(path: Path, broken: str) -> None:
    state = path.parent / "state"
    state.mkdir()
    path.write_text(GOOD.replace("name: a", f"name: a, store: 'sqlite:///{state}/state.db'"))
    kept(path)
    assert [entry.name for entry in state.iterdir()] == ["state.db.last-good"]
    path.write_text(broken.format(state))
    assert find(path, {"STATE": str(state)}) is not None


def test_it_is_found_in_the_state_directory_when_the_file_says_nothing_at_all(path: Path) -> None:
    state = path.parent / "state"
    state.mkdir()
    path.write_text(GOOD.replace("name: a", f"name: a, store: 'sqlite:///{state}/state.db'"))
    kept(path)
    path.write_bytes(b"\xff\x00")
    assert find(path, {}) is None
    assert find(path, {"STATE_DIRECTORY": f"/nowhere:{state}"}) is not None


def _of_another_file(path: Path) -> None:
    place(path).write_text(place(path).read_text().replace("config.yaml", "other.yaml"))


def _writable_by_others(path: Path) -> None:
    place(path).chmod(0o622)


def _cut_short(path: Path) -> None:
    place(path).write_text(place(path).read_text()[:-10])


def _of_another_shape(path: Path) -> None:
    place(path).write_text(json.dumps({"kept_at": "2026-11-21T00:00:00+00:00", "documents": [1], "folders": []}))


@pytest.mark.parametrize("spoil", [_of_another_file, _writable_by_others, _cut_short, _of_another_shape])
def test_what_the_agent_did_not_write_for_this_file_is_not_believed(path: Path, spoil: object) -> None:
    kept(path)
    assert find(path, {}) is not None
    spoil(path)  # type: ignore[operator]
    assert find(path, {}) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to give a file away")
def test_a_copy_that_belongs_to_another_user_is_not_believed(path: Path) -> None:
    kept(path)
    os.chown(place(path), 65534, 65534)
    assert find(path, {}) is None


def test_a_folder_that_is_gone_is_a_word_in_the_log_and_no_error(path: Path) -> None:
    config = load(path, TABLES, ENV)
    (path.parent / "conf.d" / "db.yaml").unlink()
    assert not keep(config)
