"""systemd units: every state that systemd knows, and hosts without it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, Tools
from agent.units import NoUnit, parse_show, unit_name
from checks.systemd import SYSTEMD, SystemdOptions, judge
from tests.systemd_texts import STATES, shown, stand_in

PASS, WARN, FAIL, UNKNOWN = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN


def context(timeout: float = 5) -> CheckContext:
    return CheckContext("photos", "unit", timeout, cast(Tools, SimpleNamespace()))


async def run(timeout: float = 5, **options: Any) -> CheckResult:
    return await SYSTEMD.run(SystemdOptions(**options), context(timeout))


MEANINGS = [
    ("running", PASS, "ok", "photos.service is active (running)"),
    ("done", PASS, "ok", "photos.service is active (exited)"),
    ("masked_running", WARN, "masked", "photos.service is active (running): masked: it will not start again"),
    ("starting", WARN, "starting", "photos.service is activating (start): it says: replaying the log"),
    ("waits_to_restart", WARN, "starting",
     "photos.service is activating (auto-restart): exit-code, exit code 1, 2 restarts by systemd"),
    ("crash_loop", FAIL, "crash_loop",
     "photos.service is activating (auto-restart): signal, killed by SIGSEGV, 5 restarts by systemd"),
    ("reloading", WARN, "reloading", "photos.service is reloading (reload)"),
    ("stopping", WARN, "stopping", "photos.service is deactivating (stop-sigterm)"),
    ("failed", FAIL, "failed", "photos.service is failed: exit-code, exit code 3"),
    ("killed", FAIL, "failed", "photos.service is failed: signal, killed by SIGKILL"),
    ("oom", FAIL, "failed", "photos.service is failed: oom-kill, killed by SIGKILL"),
    ("start_limit", FAIL, "failed",
     "photos.service is failed: exit-code, exit code 1, start limit hit, 5 restarts by systemd"),
    ("start_limit_of_successes", FAIL, "failed",
     "photos.service is failed: start-limit-hit, exit code 0, 5 restarts by systemd"),
    ("stopped", FAIL, "inactive", "photos.service is inactive (dead): killed by SIGTERM"),
    ("stopped_java", FAIL, "failed", "photos.service is failed: exit-code, exit code 143"),
    ("forgotten", FAIL, "inactive", "photos.service is inactive (dead)"),
    ("start_queued", FAIL, "inactive", "photos.service is inactive (dead)"),
    ("never_started", FAIL, "inactive", "photos.service is inactive (dead)"),
    ("disabled", FAIL, "inactive", "photos.service is inactive (dead)"),
    ("condition", FAIL, "inactive", "photos.service is inactive (dead): a condition of it is not met"),
    ("masked", UNKNOWN, "masked", "photos.service is inactive (dead): masked: an operator wants it off"),
    ("not_found", FAIL, "not_found", "photos.service is not installed"),
    ("bad_setting", FAIL, "not_loaded",
     "photos.service is inactive (dead): bad-setting Unit photos.service has a bad unit file setting."),
    ("maintenance", UNKNOWN, "state",
     "photos.service is maintenance (cleaning): a state that this check does not know"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "verdict", "reason", "summary"), MEANINGS, ids=[row[0] for row in MEANINGS])
def test_a_units_state_has_a_meaning(state: str, verdict: Verdict, reason: str, summary: str) -> None:
    result = judge(parse_show(shown(state)), 5, context())
    assert (result.verdict, result.reason, result.summary) == (verdict, reason, summary)


def test_every_recorded_state_is_judged() -> None:
    assert {row[0] for row in MEANINGS} == set(STATES)


def test_a_unit_that_is_starting_never_fails() -> None:
    for crash_loop in (0, 1, 5):
        assert judge(parse_show(shown("starting")), crash_loop, context()).verdict is WARN
    assert judge(parse_show(shown("crash_loop")), 0, context()).verdict is WARN


def test_the_figures_are_restarts_exit_status_and_memory() -> None:
    assert judge(parse_show(shown("running")), 5, context()).values == {"restarts": 0, "memory": 7331840}
    assert judge(parse_show(shown("failed")), 5, context()).values == {"restarts": 0, "exit_status": 3}


@pytest.mark.parametrize(
    ("state", "stopped"),
    [("stopped", True), ("disabled", True), ("never_started", False), ("failed", False), ("condition", False),
     ("masked", False), ("running", False), ("not_found", False)],
)  # fmt: skip
def test_a_stop_in_good_order_is_told_from_a_breakdown(state: str, stopped: bool) -> None:
    assert parse_show(shown(state)).stopped is stopped


def test_a_start_limit_is_told_from_other_failures_even_where_systemd_keeps_their_result() -> None:
    hit = {state for state in STATES if parse_show(shown(state)).start_limit_hit}
    assert hit == {"start_limit", "start_limit_of_successes"}


@pytest.mark.parametrize("text", ["", "garbage", "ActiveState=\nLoadState=", "=\n=x", "\x00" * 1000])
def test_a_text_without_a_state_is_no_unit(text: str) -> None:
    with pytest.raises(NoUnit):
        parse_show(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx", "nginx.service"),
        ("nginx.service", "nginx.service"),
        ("data.mount", "data.mount"),
        ("worker@1", "worker@1.service"),
        ("worker@eu-1.service", "worker@eu-1.service"),
        (r"dev-disk\x2dby", r"dev-disk\x2dby.service"),
        ("com.example.app", "com.example.app.service"),
    ],
)
def test_a_unit_name_is_completed(text: str, name: str) -> None:
    assert unit_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a b", id="a blank"),
        pytest.param("a;reboot", id="a semicolon"),
        pytest.param("--force", id="an option"),
        pytest.param("../etc", id="a path"),
        pytest.param("*.service", id="a pattern"),
        pytest.param("worker@.service", id="a template"),
        pytest.param("a@b@c", id="two instances"),
        pytest.param("ü", id="not ASCII"),
        pytest.param("x" * 256, id="too long"),
        pytest.param("a\n", id="a line feed"),
    ],
)
def test_what_is_no_unit_name_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        SystemdOptions(unit=text)


async def test_systemctl_is_asked_about_the_unit_in_its_scope(tmp_path: Path) -> None:
    program = str(stand_in(tmp_path, show=shown("failed")))
    result = await run(unit="photos", scope="user", systemctl=program)
    assert (result.verdict, result.reason) == (FAIL, "failed")
    call = (tmp_path / "calls").read_text()
    assert call.startswith("--user show --no-pager --property=Id,LoadState,")
    assert call.endswith(" -- photos.service\n")


async def test_a_host_without_systemd_says_nothing_about_the_unit(tmp_path: Path) -> None:
    said = "System has not been booted with systemd as init system (PID 1). Can't operate.\n"
    result = await run(unit="photos", systemctl=str(stand_in(tmp_path, stderr=said, exit_code=1)))
    assert (result.verdict, result.reason, result.summary) == (UNKNOWN, "no_systemd", said.strip())


async def test_another_complaint_of_systemctl_is_passed_on(tmp_path: Path) -> None:
    said = "Failed to get properties: Access denied\n"
    result = await run(unit="photos", systemctl=str(stand_in(tmp_path, stderr=said, exit_code=1)))
    assert (result.verdict, result.reason, result.summary) == (UNKNOWN, "systemctl", said.strip())


async def test_a_missing_systemctl_says_nothing_about_the_unit() -> None:
    result = await run(unit="photos", systemctl="/nowhere/systemctl")
    assert (result.verdict, result.reason) == (UNKNOWN, "missing")


async def test_a_systemd_that_hangs_says_nothing_about_the_unit(tmp_path: Path) -> None:
    program = stand_in(tmp_path)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    result = await run(unit="photos", systemctl=str(program), timeout=1)
    assert (result.verdict, result.reason) == (UNKNOWN, "timeout")
    assert result.took.total_seconds() < 1.1


@pytest.mark.skipif(not Path("/usr/bin/systemctl").exists(), reason="needs systemctl")
@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
async def test_the_real_systemctl_of_a_host_that_runs_no_systemd() -> None:
    result = await run(unit="photos")
    assert (result.verdict, result.reason) == (UNKNOWN, "no_systemd")
