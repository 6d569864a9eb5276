from dataclasses import fields
from pathlib import Path

import pytest

from agent.config.diff import NEEDS_RESTART, Changed, Changes, changes
from agent.config.model import AgentSpec, Config
from tests.config.reading import read

BASE = """
agent: {name: me, listen: "127.0.0.1:1", store: "sqlite://"}
services:
  - {name: web, checks: [{http: "http://127.0.0.1/"}, host], page: [out], restart: {process: hello}}
  - {name: db, checks: [{tcp: "127.0.0.1:5432"}]}
processes: {hello: {command: [/bin/true]}}
channels: {out: {type: webhook, url: "https://hooks.internal/", secret: one}, quiet: {type: console}}
logs: [{units: web.service, service: web}]
"""


def config(folder: Path, *edits: tuple[str, str]) -> Config:
    text = BASE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return read(folder, text)


ROWS = [
    pytest.param([], Changes(), id="the same text is no change"),
    pytest.param([("name: web,", "name: web ,")], Changes(), id="nor is another way to write it"),
    pytest.param(
        [("/bin/true", "/bin/false")], Changes(processes=Changed(changed=("hello",))), id="a process's command"
    ),
    pytest.param(
        [("secret: one", "secret: two")], Changes(channels=Changed(changed=("out",))), id="a channel's secret"
    ),
    pytest.param(
        [("quiet: {", "loud: {")], Changes(channels=Changed(added=("loud",), removed=("quiet",))), id="a name"
    ),
    pytest.param([("units: web.service", "units: db.service")], Changes(logs=True), id="a log source"),
    pytest.param(
        [("http://127.0.0.1/", "http://127.0.0.2/")],
        Changes(services=Changed(changed=("web",)), checks_changed=(("web", "http"),)),
        id="a check's option changes the check and its service",
    ),
    pytest.param(
        [('"http://127.0.0.1/"}', '"http://127.0.0.1/", misses: 3}')],
        Changes(services=Changed(changed=("web",)), checks_changed=(("web", "http"),)),
        id="so does when its misses count",
    ),
    pytest.param(
        [("restart: {process: hello}", "remind: 1h")],
        Changes(services=Changed(changed=("web",))),
        id="how a service is restarted changes no check",
    ),
    pytest.param(
        [(", host]", ", agent]")],
        Changes(
            services=Changed(changed=("web",)), checks_added=(("web", "agent"),), checks_removed=(("web", "host"),)
        ),
        id="one check for another",
    ),
    pytest.param(
        [("name: db", "name: database")],
        Changes(
            services=Changed(added=("database",), removed=("db",)),
            checks_added=(("database", "tcp"),),
            checks_removed=(("db", "tcp"),),
        ),
        id="a service under another name is another one",
    ),
    pytest.param([("name: me", "name: you")], Changes(agent=("name",)), id="an agent's setting"),
]


@pytest.mark.parametrize(("edits", "expected"), ROWS)
def test_a_change_of_the_text_is_told_as_what_it_means(
    edits: list[tuple[str, str]], expected: Changes, tmp_path: Path
) -> None:
    found = changes(config(tmp_path), config(tmp_path, *edits))
    assert found == expected
    assert bool(found) == (expected != Changes())


def test_the_way_back_is_the_same_with_what_came_and_went_exchanged(tmp_path: Path) -> None:
    old, new = config(tmp_path), config(tmp_path, ("name: db", "name: database"))
    there, back = changes(old, new), changes(new, old)
    assert (there.services.added, there.checks_added) == (back.services.removed, back.checks_removed)
    assert (there.services.removed, there.checks_removed) == (back.services.added, back.checks_added)


def test_what_only_a_restart_puts_in_force_is_told(tmp_path: Path) -> None:
    new = config(
        tmp_path,
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("sqlite://", "sqlite:////tmp/x.db"),
        ("name: me", "name: u, log_size: 5MB, restarts: 1 per 1h"),
    )
    found = changes(config(tmp_path), new)
    assert set(found.agent) == {"name", "listen", "store", "log_size", "restarts_at_most"}
    assert set(found.needs_restart) == {"name", "listen", "store", "log_size"}


def test_of_every_setting_it_is_known_whether_a_reload_puts_it_in_force() -> None:
    """A new one that agent/reload.py does not know, nor NEEDS_RESTART, would be an option that does nothing."""
    by_reload = {"tokens", "concurrency", "per_host", "control", "retention", "ping", "page"}
    by_reload |= {"restarts_at_most", "restarts_per", "fleet_at_most", "fleet_per"}
    when_read = {"allow"}
    known = [*by_reload, *when_read, *NEEDS_RESTART]
    assert sorted(known) == sorted(field.name for field in fields(AgentSpec))
