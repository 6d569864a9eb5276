"""What is read from /proc and the kernel's log, part by part: real sockets and processes, or a /proc of the test's."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.evidence.background import in_background
from agent.evidence.descriptors import read_open_files
from agent.evidence.figures import size, span
from agent.evidence.memory import describe_memory
from agent.evidence.proc import HOST, Host, family
from agent.evidence.sockets import describe_sockets
from agent.evidence.table import process_table
from agent.evidence.tasks import describe_threads
from tests.evidence.fakeproc import FakeProc
from tests.processes import eventually, script


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


async def test_the_table_has_a_line_for_each_process_without_secrets(fake: FakeProc) -> None:
    fake.process(7, command="/usr/bin/photos --port 80 --password hunter2 --db postgres://u:pw@db/x")
    fake.process(8, ppid=7, state="D", name="worker")
    table = (await process_table(family([7], fake.host), seconds=1, host=fake.host)).splitlines()
    command = "/usr/bin/photos --port 80 --password *** --db postgres://u:***@db/x"
    assert table[1].split() == ["7", "1", "S", "10m", "12.50s", "100.0", "MiB", "3", *command.split()]
    assert table[2].split() == ["8", "7", "D", "10m", "12.50s", "100.0", "MiB", "3", "[worker]"]
    assert table[3] == "D: in uninterruptible sleep, which no signal ends"


async def test_a_command_line_that_hangs_is_named_and_the_rest_is_told(fake: FakeProc) -> None:
    fake.process(7, command="/usr/bin/photos")
    fake.process(8, name="stuck")
    (fake.proc / "8" / "cmdline").unlink()
    os.mkfifo(fake.proc / "8" / "cmdline")  # reading it blocks, as that of a process which hangs in its memory map
    table = await process_table(family([7, 8], fake.host), seconds=0.2, host=fake.host)
    assert "/usr/bin/photos" in table
    assert "[stuck]" in table
    assert "The command line of 8 could not be read in time" in table
    (fake.proc / "8" / "cmdline").open("w").close()  # let the thread go


def test_threads_are_grouped_and_the_uninterruptible_ones_come_first_with_their_stack(fake: FakeProc) -> None:
    fake.process(7)
    for number in range(7, 17):
        fake.thread(7, number, name=f"pool-{number}", state="S", place="futex_wait_queue")
    fake.thread(7, 17, name="flush", state="D", place="nfs_wait_bit_killable", stack="[<0>] rpc_wait+0x1/0x2\n")
    lines = describe_threads(family([7], fake.host), fake.host).splitlines()
    assert lines[0] == "7 photos: 11 threads"
    assert lines[1] == "  1 × D (uninterruptible: no signal ends it) in nfs_wait_bit_killable: flush (17)"
    assert lines[2] == "      [<0>] rpc_wait+0x1/0x2"
    assert lines[3].startswith("  10 × S in futex_wait_queue: pool-")
    assert lines[3].endswith(" and 4 more")


def test_the_threads_of_a_real_program_are_counted() -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    said = describe_threads([process for process in family([os.getpid()]) if process.pid == os.getpid()])
    stop.set()
    for thread in threads:
        thread.join()
    assert int(said.split(": ")[1].split()[0]) >= 6
    assert " × S" in said


def test_open_files_are_sorted_and_held_against_the_limit(fake: FakeProc) -> None:
    targets = (
        "socket:[41]",
        "socket:[42]",
        "pipe:[9]",
        "/dev/null",
        "/srv/a",
        "/srv/b (deleted)",
        "anon_inode:[eventpoll]",
    )
    fake.process(7, open_files=targets, limit=8)
    fake.process(8, open_files=targets, limit=7)
    found = read_open_files(family([7, 8], fake.host), fake.host)
    assert found.lines[0].startswith("7 photos: 7 of 8 open files (88 %): sockets 2, ")
    assert found.lines[1].startswith("8 photos: 7 of 7 open files (100 %, the limit is reached): ")
    assert all(kind in found.lines[0] for kind in ("pipes 1", "devices 1", "files 1", "deleted files 1", "eventpoll 1"))
    assert found.sockets == {41: 8, 42: 8}


def test_the_limit_of_a_real_process_is_its_own() -> None:
    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (37, 37))

    with subprocess.Popen(script("input()"), stdin=subprocess.PIPE, preexec_fn=low) as child:
        (line,) = read_open_files(family([child.pid])).lines
    assert " of 37 open files" in line


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: to become another user")
def test_another_users_files_are_said_to_be_hidden() -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from agent.evidence.descriptors import read_open_files
from agent.evidence.proc import family
os.setgid(65534), os.setuid(65534)
print(read_open_files([process for process in family([{os.getpid()}]) if process.pid == {os.getpid()}]).lines)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10)
    assert "only root may see them" in done.stdout, done.stderr


class Listener:
    """A server of this process that never accepts, and its clients."""

    def __init__(self, held: ExitStack, backlog: int) -> None:
        self.server = held.enter_context(socket.socket())
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(backlog)
        self.port = self.server.getsockname()[1]
        self._held = held

    def connect(self) -> socket.socket:
        client = self._held.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.port))
        return client


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def sockets_of_this_process() -> str:
    ours = [process for process in family([os.getpid()]) if process.pid == os.getpid()]
    return describe_sockets(read_open_files(ours).sockets)


async def test_a_listener_with_a_full_backlog_is_said_to_drop_connections(held: ExitStack) -> None:
    listener = Listener(held, backlog=2)
    for _ in range(4):
        listener.connect()
    full = f"LISTEN 127.0.0.1:{listener.port} (pid {os.getpid()}): 3 connections wait to be accepted, backlog 2: full"
    await eventually(lambda: full in sockets_of_this_process(), within=2)


async def test_a_listener_with_room_is_not_full(held: ExitStack) -> None:
    listener = Listener(held, backlog=5)
    listener.connect()
    roomy = f"LISTEN 127.0.0.1:{listener.port} (pid {os.getpid()}): 1 connections wait to be accepted, backlog 5\n"
    await eventually(lambda: roomy in sockets_of_this_process() + "\n", within=2)


async def test_connections_that_the_process_does_not_read_or_close_are_seen(held: ExitStack) -> None:
    listener = Listener(held, backlog=5)
    client = listener.connect()
    accepted = held.enter_context(listener.server.accept()[0])
    client.send(b"x" * 2048)
    client.close()
    await eventually(
        lambda: f"1 CLOSE_WAIT: clients of {accepted.getsockname()[0]}:{listener.port}" in sockets_of_this_process()
    )
    assert "2 KiB that the process has not read" in sockets_of_this_process()


def test_a_unix_listener_is_named_by_its_path(held: ExitStack, tmp_path: Path) -> None:
    server = held.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(tmp_path / "s"))
    server.listen()
    assert f"LISTEN {tmp_path / 's'} (pid {os.getpid()})" in sockets_of_this_process()


def test_addresses_of_version_6_and_mapped_ones_are_written_as_people_do(fake: FakeProc) -> None:
    fake.process(7, open_files=("socket:[41]", "socket:[42]"))
    mapped = "0000000000000000FFFF00000100007F"
    fake.network(
        7,
        "tcp6",
        f"0: {'0' * 24}01000000:1F90 {'0' * 32}:0000 0A 00000000:00000003 00:00000000 00000000 0 0 41 1",
        f"1: {mapped}:C350 {mapped}:1538 01 00000010:00000000 00:00000000 00000000 0 0 42 1",
        "2: garbage",
    )
    assert describe_sockets({41: 7, 42: 7}, fake.host).splitlines() == [
        "LISTEN [::1]:8080 (pid 7): 3 connections wait to be accepted",
        "tcp: 1 ESTABLISHED",
        "  1 with 16 B that the other side has not taken",
        "  1 ESTABLISHED: 127.0.0.1:5432",
    ]


OOM = (
    "6,1042,{at},-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
    "oom_memcg={group},task_memcg={group},task=photos worker,pid={pid},uid=33\n"
)


@pytest.mark.parametrize(
    ("group", "pid", "found"),
    [
        pytest.param("/system.slice/photos.service", 99, True, id="the unit's cgroup, though no process is left"),
        pytest.param("/system.slice/photos.service/worker", 99, True, id="a cgroup below"),
        pytest.param("/elsewhere", 7, True, id="the process itself"),
        pytest.param("/system.slice/videos.service", 99, False, id="another service"),
    ],
)
def test_oom_kills_are_found_in_the_kernels_log(fake: FakeProc, group: str, pid: int, found: bool) -> None:
    at = int((time.monotonic() - 720) * 1e6)
    fake.host.kernel_log.write_text(OOM.format(at=at, group=group, pid=pid))
    said = describe_memory([], [7], "photos.service", fake.host)
    expected = f"the kernel killed photos worker (pid {pid}) for lack of memory 12m ago, {group}"
    assert said == (expected if found else "")


def test_a_cgroup_tells_its_use_the_nearest_limit_and_its_kills(fake: FakeProc) -> None:
    fake.memory("/system.slice", memory_max="104857600\n")
    fake.memory(
        "/system.slice/photos.service",
        memory_current="99614720\n",
        memory_max="max\n",
        memory_events="low 0\nhigh 0\nmax 17\noom 3\noom_kill 3\n",
    )
    fake.process(7, cgroup="0::/system.slice/photos.service\n")
    assert describe_memory(family([7], fake.host), [7], "", fake.host).splitlines() == [
        "cgroup /system.slice/photos.service: 95.0 MiB in use of 100.0 MiB (95 %), the limit of system.slice",
        "  3 OOM kills since the cgroup was made",
        "  its limit was hit 17 times",
    ]


def test_where_the_kernels_log_is_closed_the_hosts_count_of_kills_is_told(fake: FakeProc) -> None:
    (fake.proc / "vmstat").write_text("nr_free_pages 7\noom_kill 2\n")
    said = describe_memory([], [7], "", fake.host)
    assert said == "2 OOM kills on this host since boot; the kernel's log can't be read (No such file or directory)"


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="needs the kernel's log: root")
def test_the_real_kernels_log_and_cgroup_are_read_without_complaint() -> None:
    said = describe_memory(family([os.getpid()])[:1], [os.getpid()], "", HOST)
    begins = ("cgroup /", "  ", "the kernel killed ")
    assert all(line.startswith(begins) for line in said.splitlines())


async def test_a_look_that_hangs_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")

    def hang() -> str:
        return (tmp_path / "hangs").read_text()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await in_background(hang)
    assert await in_background(lambda: 7) == 7
    (tmp_path / "hangs").open("w").close()


async def test_what_a_look_raises_is_raised_to_who_asked() -> None:
    with pytest.raises(FileNotFoundError):
        await in_background(lambda: Path("/nowhere/at/all").read_text())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (4.4, "4s"), (119, "1m59s"), (3_725, "1h2m"), (90_061, "1d1h"), (-3, "0s")],
)
def test_spans_have_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1024, "1 KiB"), (5 * 2**20, "5.0 MiB"), (3 * 2**30, "3.0 GiB")]
)
def test_sizes_are_binary(count: int, text: str) -> None:
    assert size(count) == text


def test_a_proc_that_is_not_there_is_no_process(tmp_path: Path) -> None:
    assert family([1], Host(proc=tmp_path / "none")) == []
