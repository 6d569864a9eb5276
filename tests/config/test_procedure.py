"""restart: procedure."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError, ServiceSpec
from agent.tables import TABLES


def read(folder: Path, restart: str) -> ServiceSpec:
    path = folder / "config.yaml"
    path.write_text(f"services:\n  - name: api\n    checks: [{{tcp: '127.0.0.1:1'}}]\n    restart: {restart}\n")
    return load(path, TABLES, {}).services["api"]


def test_a_list_of_steps_is_its_short_form_and_it_may_be_a_step_of_a_ladder(tmp_path: Path) -> None:
    steps = "[{command: [/bin/true]}, {command: [/bin/false], if: {check_fails: tcp}}]"
    assert read(tmp_path, f"{{procedure: {steps}}}").actions[0].type.name == "procedure"
    ladder = read(tmp_path, f"{{steps: [{{procedure: {steps}, verify: 5s}}, {{systemd: api}}]}}")
    assert [action.type.name for action in ladder.actions] == ["procedure", "systemd"]


def test_the_link_of_a_service_for_people_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "services:\n  - name: api\n    checks: [{tcp: '127.0.0.1:1'}]\n    runbook: https://wiki/api\n"
        "    restart: {procedure: [{command: [/bin/true]}]}\n"
    )
    assert load(path, TABLES, {}).services["api"].policy.runbook == "https://wiki/api"


def test_a_check_that_the_service_does_not_have_is_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"restart: there is no check 'tcpp' of this service: did you mean 'tcp'"):
        read(tmp_path, "{procedure: [{command: [/bin/true], if: {check_fails: tcpp}}]}")
