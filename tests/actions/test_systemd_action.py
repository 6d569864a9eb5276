"""Restarting a systemd unit: what is asked of systemctl, and what is never asked."""

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions import ACTIONS
from agent.actions.systemd import SystemdRestart
from agent.core.commands import Outcome
from agent.ports import ActionOutcome
from tests.actions.orders import ORDER, NoChildren
from tests.evidence.fakeproc import FakeProc, stat
from tests.processes import executable
from tests.systemd_texts import shown, stand_in

SYSTEMD = ACTIONS["systemd"]


class Host:
    """A host with a stand-in for systemctl and journalctl, and processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fake = FakeProc(folder)
        self.fake.host.kernel_log.write_text("")
        self.job = "exit 0"  # what journalctl does when asked for the last job
        self.journal = "echo 2026-01-02T03:04:05+0000 web photos[7]: no space left on device"

    async def restart(
        self,
        state: str,
        *,
        restart: str = "exit 0",
        more: str = "",
        grace: timedelta = timedelta(0),
        **options: Any,
    ) -> ActionOutcome:
        program = stand_in(self.folder, show=shown(state) + more, restart=restart)
        lines = f"echo $@ > {self.folder}/asked; {self.journal}"
        text = f'#!/bin/sh\ncase "$*" in *JOB_TYPE*) {self.job} ;; *) {lines} ;; esac\n'
        journal = executable(self.folder / "journalctl", text)
        made = SYSTEMD.options.model_validate(
            {"unit": "photos", "systemctl": str(program), "journalctl": str(journal), **options}
        )
        return await SystemdRestart(made, NoChildren(), self.fake.host).perform(replace(ORDER, grace=grace))

    def restarts(self) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if " restart " in line]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_a_failed_unit_is_restarted_with_its_state_and_journal_as_evidence(host: Host) -> None:
    becomes_active = f"cat > {host.folder}/show <<'E'\n{shown('running')}E\n"
    outcome = await host.restart("failed", restart=becomes_active)
    assert (outcome.outcome, outcome.detail) == (Outcome.DONE, "photos.service is active (running)")
    assert outcome.evidence == {
        "unit": "photos.service is failed: exit-code, exit code 3",
        "journal": "2026-01-02T03:04:05+0000 web photos[7]: no space left on device",
    }
    assert host.restarts() == ["--system restart --no-ask-password -- photos.service"]
    asked = (host.folder / "asked").read_text()
    assert asked == "--unit=photos.service --lines=20 --no-pager --quiet --output=short-iso\n"


async def test_a_users_unit_is_restarted_by_the_users_manager(host: Host) -> None:
    await host.restart("failed", scope="user")
    assert host.restarts() == ["--user restart --no-ask-password -- photos.service"]
    assert (host.folder / "asked").read_text().startswith("--user-unit=photos.service ")


async def test_through_sudo_the_order_is_the_same_and_only_the_order_goes_through_it(host: Host) -> None:
    note = f'printf "%s\\n" "$*" >>{host.folder}/sudone'
    sudo = executable(host.folder / "sudo", f'#!/bin/sh\n{note}\nshift\nexec "$@"\n')
    assert (await host.restart("failed", sudo=str(sudo))).outcome is Outcome.DONE
    assert host.restarts() == ["--system restart --no-ask-password -- photos.service"]
    asked = (host.folder / "sudone").read_text().splitlines()
    assert [line.partition(" --system")[2] for line in asked] == [" restart --no-ask-password -- photos.service"]
    assert asked[0].startswith("-n /usr/bin/timeout -k 1 31 /")


@pytest.mark.parametrize(
    "state", ["failed", "killed", "oom", "running", "crash_loop", "never_started", "reloading", "condition"]
)
async def test_a_unit_that_broke_or_hangs_is_restarted(host: Host, state: str) -> None:
    assert (await host.restart(state)).outcome is Outcome.DONE
    assert len(host.restarts()) == 1


@pytest.mark.parametrize(
    ("state", "why"),
    [
        pytest.param("masked", "is masked: an operator wants it off", id="masked"),
        pytest.param("masked_running", "is masked: an operator wants it off", id="masked while it runs"),
        pytest.param("stopped", "stopped in good order, so left alone", id="stopped, and the journal was rotated"),
        pytest.param("disabled", "disabled, so left alone", id="disabled"),
    ],
)
async def test_an_operators_stop_is_never_fought(host: Host, state: str, why: str) -> None:
    outcome = await host.restart(state)
    assert outcome.outcome is Outcome.REFUSED
    assert outcome.detail.startswith("photos.service is ")
    assert why in outcome.detail
    assert outcome.evidence["unit"]
    assert host.restarts() == []


@pytest.mark.parametrize(
    ("state", "why"),
    [
        pytest.param("starting", "it is still starting", id="still starting"),
        pytest.param("stopping", "it is still stopping", id="still stopping, perhaps to be started again"),
        pytest.param("start_queued", "systemd is about to start it", id="its start waits for others"),
    ],
)
async def test_what_ends_by_itself_is_waited_for(host: Host, state: str, why: str) -> None:
    outcome = await host.restart(state)
    assert outcome.outcome is Outcome.LATER
    assert why in outcome.detail
    assert host.restarts() == []


async def test_a_unit_that_somebody_started_a_moment_ago_is_given_the_time_of_a_restart(host: Host) -> None:
    young = f"ActiveEnterTimestampMonotonic={int((monotonic() - 5) * 1e6)}\n"
    outcome = await host.restart("running", more=young, grace=timedelta(minutes=1))
    assert outcome.outcome is Outcome.LATER
    assert outcome.detail == "photos.service is active (running): started 5s ago: it is given 1m"
    assert host.restarts() == []
    assert (await host.restart("running", more=young, grace=timedelta(seconds=1))).outcome is Outcome.DONE


def job(kind: str) -> str:
    return f"""echo '{{"JOB_TYPE":"{kind}","__REALTIME_TIMESTAMP":"1767323045000000"}}'"""


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("stopped", id="in good order"),
        pytest.param("stopped_java", id="failed, as its program ends with 143 on SIGTERM"),
        pytest.param("forgotten", id="forgotten by systemd, as nothing needs it"),
    ],
)
async def test_a_stop_that_somebody_asked_for_is_known_from_the_journal(host: Host, state: str) -> None:
    host.job = job("stop")
    outcome = await host.restart(state)
    assert outcome.outcome is Outcome.REFUSED
    assert "stopped on request at 2026-01-02 03:04:05 UTC, so left alone" in outcome.detail
    assert host.restarts() == []


@pytest.mark.parametrize("state", ["stopped", "stopped_java", "forgotten"])
async def test_a_unit_that_ended_by_itself_is_restarted_in_whatever_order_it_ended(host: Host, state: str) -> None:
    host.job = job("start")
    assert (await host.restart(state)).outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("state", "restarts"),
    [
        pytest.param("stopped", 0, id="perhaps a stop"),
        pytest.param("forgotten", 0, id="perhaps a stop, perhaps it never ran"),
        pytest.param("never_started", 1, id="enabled, and never ran"),
        pytest.param("failed", 1, id="a failure is a failure"),
    ],
)
async def test_without_a_readable_journal_whatever_may_have_been_a_stop_counts_as_one(
    host: Host, state: str, restarts: int
) -> None:
    host.job = "echo No journal files were opened due to insufficient permissions. >&2; exit 1"
    outcome = await host.restart(state)
    assert len(host.restarts()) == restarts
    assert restarts or "insufficient permissions" in outcome.detail


async def test_garbage_for_a_job_is_no_job(host: Host) -> None:
    host.job = "echo '[1, {'"
    assert (await host.restart("forgotten")).outcome is Outcome.DONE


async def test_a_stopped_unit_is_started_where_config_asks_for_it_but_never_a_masked_one(host: Host) -> None:
    assert (await host.restart("stopped", when_stopped="start")).outcome is Outcome.DONE
    assert (await host.restart("masked", when_stopped="start")).outcome is Outcome.REFUSED
    assert len(host.restarts()) == 1


async def test_a_refused_restart_says_why_in_systemds_words(host: Host) -> None:
    said = "Failed to restart photos.service: Access denied"
    outcome = await host.restart("failed", restart=f"echo '{said}' >&2; exit 4")
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail == f"{said}; photos.service is failed: exit-code, exit code 3"


async def test_systemds_own_start_limit_is_recognised(host: Host) -> None:
    said = "Job for photos.service failed. See journalctl -xeu photos.service for details."
    outcome = await host.restart("start_limit", restart=f"echo '{said}' >&2; exit 1")
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.startswith("systemd's own start limit is hit")
    assert "reset-failed" in outcome.detail
    assert said in outcome.detail


async def test_a_restart_that_hangs_is_given_up_after_its_timeout(host: Host) -> None:
    began = monotonic()
    outcome = await host.restart("failed", restart="exec sleep 60", timeout="300ms")
    assert outcome.outcome is Outcome.TIMEOUT
    assert outcome.detail.startswith("systemctl did not end within 300ms, its job may go on; photos.service is failed")
    assert monotonic() - began < 3


async def test_a_journal_that_hangs_does_not_hold_up_the_restart(host: Host) -> None:
    host.journal = "echo first; exec sleep 60"
    began = monotonic()
    outcome = await host.restart("failed")
    assert outcome.outcome is Outcome.DONE
    assert outcome.evidence["journal"] == "first"
    assert monotonic() - began < 3.5


async def test_without_a_journal_the_restart_goes_on_without_that_evidence(host: Host) -> None:
    outcome = await host.restart("failed", journalctl="/nowhere/journalctl")
    assert outcome.outcome is Outcome.DONE
    assert set(outcome.evidence) == {"unit"}


async def test_a_missing_systemctl_is_a_failed_restart(host: Host) -> None:
    outcome = await host.restart("failed", systemctl="/nowhere/systemctl")
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "there is no program /nowhere/systemctl")


OURS = "0::/system.slice/photos.service\n"


async def test_the_units_processes_are_told_as_they_were_before_the_restart(host: Host) -> None:
    host.fake.process(714, cgroup=OURS, command="/usr/bin/photos --token abc", open_files=("/srv/a",))
    host.fake.process(715, cgroup=OURS, name="worker")
    host.fake.process(900, cgroup="0::/system.slice/other.service\n", command="/usr/bin/other")
    outcome = await host.restart("running", restart=f"rm -r {host.fake.proc}/714")
    assert outcome.outcome is Outcome.DONE
    assert "/usr/bin/photos --token ***" in outcome.evidence["processes"]
    assert "[worker]" in outcome.evidence["processes"]
    assert "other" not in outcome.evidence["processes"]
    assert "714 photos: 1 of 1024 open files" in outcome.evidence["sockets and files"]


async def test_a_restart_that_leaves_the_same_process_is_a_failed_one(host: Host) -> None:
    host.fake.process(714, cgroup=OURS)
    outcome = await host.restart("running")
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail == "the process was not replaced, it is still 714; photos.service is active (running)"


async def test_a_new_process_of_the_same_number_is_a_new_one(host: Host) -> None:
    host.fake.process(714, cgroup=OURS, started=400)
    later = stat(714, 1, "photos", "S", 999.0)
    outcome = await host.restart("running", restart=f"printf '{later}' > {host.fake.proc}/714/stat")
    assert outcome.outcome is Outcome.DONE


async def test_a_reload_is_to_leave_the_same_process(host: Host) -> None:
    host.fake.process(714, cgroup=OURS)
    assert (await host.restart("running", verb="reload")).outcome is Outcome.DONE


async def opened_by_a_reader(pipe: Path) -> int:
    """The writing end of a named pipe, once somebody reads it."""
    ends = monotonic() + 5
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert monotonic() < ends, "nobody reads it"
            await asyncio.sleep(0.01)


async def test_an_operator_who_stops_the_unit_while_evidence_is_taken_is_respected(host: Host) -> None:
    host.fake.process(714, cgroup=OURS)
    slow = host.fake.proc / "714/cmdline"  # evidence takes its time
    slow.unlink()
    os.mkfifo(slow)
    task = asyncio.ensure_future(host.restart("running"))
    pipe = await opened_by_a_reader(slow)
    (host.folder / "show").write_text(shown("masked_running"))
    (host.folder / "cmdline").write_text("/usr/bin/photos")
    (host.folder / "cmdline").replace(slow)
    os.close(pipe)
    outcome = await task
    assert outcome.outcome is Outcome.REFUSED
    assert "masked" in outcome.detail
    assert "processes" in outcome.evidence
    assert host.restarts() == []


@pytest.mark.skipif(not Path("/usr/bin/systemctl").exists(), reason="needs systemctl")
@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
async def test_the_real_systemctl_of_a_host_that_runs_no_systemd() -> None:
    made = SYSTEMD.options.model_validate({"unit": "surely-no-such-unit"})
    outcome = await SYSTEMD.build(made, NoChildren()).perform(ORDER)
    assert outcome.outcome is Outcome.FAILED
    assert "not been booted with systemd" in outcome.detail
    assert "journal" not in outcome.evidence


@pytest.mark.parametrize(
    "options",
    [{}, {"unit": "a b"}, {"unit": "a@.service"}, {"unit": "a", "scope": "all"}, {"unit": "a", "timeout": "0s"}],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SYSTEMD.options.model_validate(options)
