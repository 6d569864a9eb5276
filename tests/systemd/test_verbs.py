"""Every verb of the systemd action, on a real systemd: what it does, and what it leaves as it was."""

import json
from collections.abc import Iterator

import pytest

from tests.systemd.host import SLEEP, UNITS, WANTED, Host

_ORDER = """import asyncio, json, sys
from datetime import UTC, datetime
from agent.actions import ACTIONS
from agent.core.commands import Restart
action = ACTIONS["systemd"]
options = action.options.model_validate(json.loads(sys.argv[1]))
order = Restart(key="k", service="mine", incident="i", action="systemd", attempt=1, at=datetime.now(UTC))
outcome = asyncio.run(action.build(options, None).perform(order))
print(json.dumps([outcome.outcome, outcome.detail]))
"""
LIMITED = """[Unit]
StartLimitIntervalSec=1h
StartLimitBurst=2
[Service]
ExecStart=/bin/sh -c 'test -e /run/limited-may-run || exit 1; exec sleep infinity'
"""


@pytest.fixture(scope="module")
def units(host: Host) -> Iterator[Host]:
    reload = "ExecReload=/bin/touch /run/turning-was-reloaded"
    host.machine.write(f"{UNITS}/turning.service", f"[Service]\n{SLEEP}\n{reload}\n{WANTED}")
    host.machine.write(f"{UNITS}/limited.service", f"{LIMITED}{WANTED}")
    host.systemctl("daemon-reload")
    host.systemctl("enable", "-q", "turning", "limited")
    host.systemctl("start", "turning")
    yield host
    host.systemctl("disable", "-q", "--now", "turning", "limited")


def order(host: Host, unit: str, verb: str, **options: str) -> tuple[str, str]:
    written = json.dumps({"unit": unit, "verb": verb, **options})
    outcome, detail = json.loads(host.machine.run("/opt/codeblue/bin/python", "-c", _ORDER, written))
    return outcome, detail


def test_a_reload_runs_the_units_own_and_keeps_its_process(units: Host) -> None:
    pid = units.machine.show("turning.service", "MainPID")
    assert order(units, "turning", "reload") == ("done", "turning.service is active (running)")
    assert units.machine.show("turning.service", "MainPID") == pid
    assert units.machine.code("test", "-e", "/run/turning-was-reloaded") == 0


def test_a_restart_that_is_done_is_a_new_process(units: Host) -> None:
    pid = units.machine.show("turning.service", "MainPID")
    assert order(units, "turning", "restart")[0] == "done"
    assert units.machine.show("turning.service", "MainPID") not in ("0", pid)


def test_stop_stops_and_start_starts_only_where_config_says_so(units: Host) -> None:
    assert order(units, "turning", "stop")[0] == "done"
    assert units.state("turning") == "inactive"
    outcome, detail = order(units, "turning", "start")
    assert (outcome, units.state("turning")) == ("refused", "inactive")
    assert "stopped on request at" in detail
    assert order(units, "turning", "start", when_stopped="start")[0] == "done"
    assert units.state("turning") == "active"


def test_a_start_limit_is_said_and_lifted_by_reset_failed_as_a_step_of_its_own(units: Host) -> None:
    for _ in range(3):
        units.machine.run("systemctl", "start", "limited", check=False)
    units.machine.write("/run/limited-may-run", "")
    outcome, detail = order(units, "limited", "restart")
    assert outcome == "failed", "what it lacked is there, but systemd starts it no more"
    assert "systemd's own start limit is hit" in detail
    assert order(units, "limited", "reset-failed")[0] == "done"
    assert order(units, "limited", "restart") == ("done", "limited.service is active (running)")
