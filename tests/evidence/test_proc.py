"""Who is who among processes, and who belongs to whom."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.evidence import (
    Identity,
    container_pids,
    identity,
    program_pids,
    same_process,
    unit_files,
    unit_pids,
    unit_process,
)
from agent.evidence.proc import TICKS, family, read_process
from tests.evidence.fakeproc import FakeProc
from tests.processes import script


def test_a_name_with_blanks_and_brackets_does_not_shift_the_fields(tmp_path: Path) -> None:
    fake = FakeProc(tmp_path)
    fake.process(7, ppid=3, name="a) S 1 (b", state="D")
    process = read_process(7, fake.host)
    assert process is not None
    assert (process.name, process.state, process.ppid, process.cpu, process.threads) == ("a) S 1 (b", "D", 3, 12.5, 3)


def test_a_family_is_every_descendant_once_and_no_stranger(tmp_path: Path) -> None:
    fake = FakeProc(tmp_path)
    for pid, ppid in ((1, 0), (10, 1), (11, 10), (12, 11), (13, 10), (20, 1)):
        fake.process(pid, ppid=ppid)
    assert [process.pid for process in family([10, 12, 99], fake.host)] == [10, 11, 12, 13]


def test_a_process_is_itself_for_as_long_as_it_lives() -> None:
    one, other = identity(os.getpid()), identity(os.getppid())
    assert same_process(one, identity(os.getpid()))
    assert not same_process(one, other)


def test_a_restarted_program_is_another_process() -> None:
    seen = []
    for _ in range(2):
        with subprocess.Popen(script("input()"), stdin=subprocess.PIPE) as child:
            seen.append(identity(child.pid))
    assert None not in seen
    assert not same_process(*seen)


def test_a_zombie_is_nobody() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identity(child.pid) is None


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        pytest.param(Identity(7, 40), Identity(7, 40), True, id="same number, same start"),
        pytest.param(Identity(7, 40), Identity(7, 41), False, id="the number was given to another one"),
        pytest.param(Identity(7, 40), Identity(8, 40), False, id="two that were started together"),
        pytest.param(None, Identity(7, 40), False, id="there was none before"),
        pytest.param(None, None, False, id="nothing is known"),
    ],
)
def test_only_number_and_start_together_are_the_same_process(
    before: Identity | None, after: Identity | None, same: bool
) -> None:
    assert same_process(before, after) is same


USER = f"/user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"


@pytest.mark.parametrize(
    ("groups", "scope", "found"),
    [
        pytest.param("0::/system.slice/photos.service\n", "system", True, id="its cgroup"),
        pytest.param("0::/system.slice/photos.service/worker\n", "system", True, id="a cgroup below"),
        pytest.param("0::/shop.slice/shop-web.slice/photos.service\n", "system", True, id="in slices"),
        pytest.param("4:memory:/\n1:name=systemd:/system.slice/photos.service\n0::/\n", "system", True, id="version 1"),
        pytest.param("1:name=systemd:/\n0::/system.slice/photos.service\n", "system", True, id="version 2 beside 1"),
        pytest.param("0::/system.slice/other-photos.service\n", "system", False, id="another unit"),
        pytest.param("0::/docker/abc/system.slice/photos.service\n", "system", False, id="one in a container"),
        pytest.param(f"0::{USER}/app.slice/photos.service\n", "system", False, id="a user's, asked for the system's"),
        pytest.param(f"0::{USER}/app.slice/photos.service\n", "user", True, id="a user's"),
        pytest.param("0::/system.slice/photos.service\n", "user", False, id="the system's, asked for a user's"),
        pytest.param("garbage\n", "system", False, id="garbage"),
    ],
)
async def test_a_units_processes_are_those_in_its_cgroup(tmp_path: Path, groups: str, scope: str, found: bool) -> None:
    fake = FakeProc(tmp_path)
    fake.process(7, cgroup=groups)
    fake.process(8, cgroup="0::/system.slice/cron.service\n")
    assert await unit_pids("photos.service", "user" if scope == "user" else "system", fake.host) == [7] * found


def test_a_main_process_counts_only_in_its_units_cgroup(tmp_path: Path) -> None:
    fake = FakeProc(tmp_path)
    fake.process(7, cgroup="0::/system.slice/photos.service\n", started=400)
    fake.process(8, cgroup="0::/system.slice/cron.service\n")
    assert unit_process(7, "photos.service", host=fake.host) == Identity(7, 400 * TICKS)
    assert unit_process(8, "photos.service", host=fake.host) is None
    assert unit_process(0, "photos.service", host=fake.host) is None


def test_the_files_of_an_instance_are_those_of_its_template_too() -> None:
    files = unit_files("worker@1.service")
    assert "/etc/systemd/system/worker@1.service.d" in files
    assert "/usr/lib/systemd/system/worker@.service" in files


async def test_a_containers_processes_are_found_by_its_whole_id_only(tmp_path: Path) -> None:
    fake, id = FakeProc(tmp_path), "4f2c" * 16
    fake.process(7, cgroup=f"0::/system.slice/docker-{id}.scope\n")
    fake.process(8, cgroup=f"3:memory:/docker/{id}\n0::/\n")
    fake.process(9, cgroup="3:memory:/docker/other\n")
    assert await container_pids(id, fake.host) == [7, 8]
    assert await container_pids("docker", fake.host) == []


def test_a_supervisors_process_number_counts_only_where_the_start_agrees(tmp_path: Path) -> None:
    fake, now = FakeProc(tmp_path), datetime(2026, 1, 2, tzinfo=UTC)
    fake.process(7, started=400.0)  # 600 s ago
    assert program_pids(7, now - timedelta(seconds=601), now, fake.host) == [7]
    assert program_pids(7, now - timedelta(seconds=30), now, fake.host) == []
    assert program_pids(7, None, now, fake.host) == []
    assert program_pids(0, now, now, fake.host) == []
