"""codeblue doctor without systemd: what the agent itself needs. With systemd and polkit: tests/systemd."""

import os
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from agent.commands.doctor import diagnose
from agent.commands.findings import Finding, State, from_rows, rows
from agent.config.model import ConfigError
from agent.tables import TABLES
from tests.servers import free_port
from tests.systemd.machine import as_text

ME = "root" if os.geteuid() == 0 else os.environ.get("USER", "")


def look(folder: Path, **more: Any) -> dict[str, Finding]:
    agent = {"listen": f"127.0.0.1:{free_port()}", **more.pop("agent", {})}
    service = {"name": "web", "checks": [{"tcp": "127.0.0.1:1"}, *more.pop("checks", [])]}
    path = folder / "config.yaml"
    path.write_text(as_text({"agent": agent, "services": [service], **more}))
    return {finding.subject: finding for finding in diagnose(path, ME, TABLES)}


def test_a_port_that_another_program_holds_is_missing_and_a_free_one_is_fine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        held = look(tmp_path, agent={"listen": address})[f"listen {address}"]
    assert held.state is State.MISSING
    assert "agent.listen" in held.remedy
    assert look(tmp_path, agent={"listen": address})[f"listen {address}"].state is State.OK


def test_a_store_in_a_folder_that_is_not_there_is_missing(tmp_path: Path) -> None:
    found = look(tmp_path, agent={"store": f"sqlite:///{tmp_path}/none/codeblue.db"})
    assert found["store"].state is State.MISSING
    assert look(tmp_path)["store"].state is State.OK


def test_more_checks_at_a_time_than_files_may_be_open_is_worth_a_warning(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
    try:
        found = look(tmp_path, agent={"concurrency": 900})["descriptors"]
        fine = look(tmp_path, agent={"concurrency": 100})["descriptors"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.state, "LimitNOFILE" in found.remedy) == (State.WARN, True)
    assert fine.state is State.OK


def test_processes_are_looked_for_as_the_agent_would(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    processes = {
        "ours": {"command": ["python", "-m", "x"]},
        "known": {"command": ["sleep", "1"]},
        "unknown": {"command": ["no-such-program"]},
        "shut": {"command": [str(script)]},
    }
    found = look(tmp_path, processes=processes)
    states = {name: found[f"process {name}"].state for name in processes}
    assert states == {"ours": State.OK, "known": State.OK, "unknown": State.MISSING, "shut": State.MISSING}
    assert "chmod +x" in found["process shut"].remedy


def test_logs_that_are_not_there_yet_are_worth_a_warning(tmp_path: Path) -> None:
    found = look(tmp_path, logs=[{"service": "web", "files": [str(tmp_path / "*.log")]}])
    assert found[f"log {tmp_path}/*.log"].state is State.WARN


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
def test_a_unit_on_a_host_without_systemd_is_missing(tmp_path: Path) -> None:
    found = look(tmp_path, checks=[{"systemd": "nginx"}])["unit nginx.service"]
    assert found.state is State.MISSING
    assert "not been booted with systemd" in found.text


def test_a_bad_configuration_is_no_diagnosis(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("services: 7")
    with pytest.raises(ConfigError):
        diagnose(path, ME, TABLES)


def test_findings_survive_the_way_from_one_users_process_to_anothers() -> None:
    found = [Finding("a", State.WARN, "[text]", "remedy"), Finding("b", State.OK, "")]
    assert from_rows(rows(found)) == found
    with pytest.raises(TypeError):
        from_rows([{"state": "ok"}])
