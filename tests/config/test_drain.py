"""drain: beside a restart."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError, DrainSpec
from agent.tables import TABLES


def read(folder: Path, drain: str, restart: str = "systemd: web@1") -> DrainSpec | None:
    path = folder / "config.yaml"
    check = "{tcp: '127.0.0.1:1'}"
    text = f"services:\n  - name: web-1\n    checks: [{check}]\n    restart: {{{restart}, drain: {drain}}}\n"
    path.write_text(text)
    return load(path, TABLES, {}).services["web-1"].drain


def test_the_short_form_names_the_server(tmp_path: Path) -> None:
    drain = read(tmp_path, "{haproxy: web/web-1}")
    assert drain is not None
    assert (drain.type.name, drain.options.model_dump()["server"], drain.stays_out) == ("haproxy", "web/web-1", False)


def test_it_may_stay_out_when_it_was_given_up(tmp_path: Path) -> None:
    drain = read(tmp_path, "{haproxy: {server: web/web-1, wait: 5s}, when_given_up: leave}")
    assert drain is not None
    assert drain.stays_out


def test_a_ladder_has_one_drain(tmp_path: Path) -> None:
    ladder = "steps: [{systemd: {unit: web@1, verb: reload}}, {systemd: web@1}]"
    assert read(tmp_path, "{command: {drain: [/bin/out], undrain: [/bin/in]}}", ladder) is not None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param("{haproxi: web/web-1}", "unknown drain type 'haproxi': did you mean 'haproxy'?", id="a typo"),
        pytest.param("{haproxy: web-1}", "expected BACKEND/SERVER", id="no backend"),
        pytest.param("{haproxy: web/web-1, when_given_up: maybe}", "when_given_up", id="a choice that is none"),
        pytest.param("{command: {drain: [/bin/out]}}", "undrain", id="no way back"),
        pytest.param("{haproxy: {server: web/web-1, wait: 6m}}", "wait", id="longer than a restart may take"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, written)
    assert said in str(caught.value)
    assert "restart.drain" in str(caught.value)
