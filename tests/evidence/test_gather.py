"""Evidence of real processes: everything in one go, within its time and size whatever hangs."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.evidence import add_processes, gather
from agent.evidence.proc import family
from agent.evidence.stacks import catches_quit, find_tool, java_threads, python_stacks
from agent.evidence.trimming import trim, weight
from tests.evidence.fakeproc import FakeProc
from tests.processes import alive, eventually, executable, marked

THREADS = """
import socket, subprocess, sys, threading
def wait_for_the_database(lock): lock.acquire()
lock = threading.Lock(); lock.acquire()
for number in range(3): threading.Thread(target=wait_for_the_database, args=[lock], daemon=True).start()
server = socket.create_server(("127.0.0.1", 0))
child = subprocess.Popen(["sleep", "60"])
print(server.getsockname()[1], child.pid, flush=True)
sys.stdin.read()
child.kill()
"""


class Service:
    """A Python program with threads that wait for a lock, a listening socket, a child, and a password as argument."""

    def __init__(self, held: ExitStack) -> None:
        argv = [sys.executable, "-c", THREADS, "--password", "hunter2"]
        self.process = held.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert self.process.stdout is not None
        self.port, self.child = map(int, self.process.stdout.readline().split())
        self.pid = self.process.pid


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with ExitStack() as held:
        service = Service(held)
        yield service
        service.process.communicate(b"")


async def test_everything_of_a_real_service_is_there_within_its_time(service: Service) -> None:
    evidence = await gather([service.pid])
    assert "not finished" not in str(evidence)
    rows = {line.split()[0]: line for line in evidence["processes"].splitlines()[1:]}
    assert set(rows) >= {str(service.pid), str(service.child)}
    assert rows[str(service.child)].endswith("sleep 60")
    assert f"LISTEN 127.0.0.1:{service.port} (pid {service.pid})" in evidence["sockets and files"]
    assert f"{service.pid} python" in evidence["sockets and files"]
    assert "4 threads" in evidence["threads"]


async def test_no_part_tells_a_password_of_the_command_line(service: Service) -> None:
    evidence = await gather([service.pid])
    assert "--password ***" in evidence["processes"]
    assert "hunter2" not in "".join(evidence.values())


@pytest.mark.skipif(find_tool("py-spy") is None, reason="needs py-spy")
async def test_the_stacks_of_python_say_where_every_thread_waits(service: Service) -> None:
    stacks = (await gather([service.pid]))["python stacks"]
    assert stacks.count("    wait_for_the_database (") == 3
    assert "hunter2" not in stacks


async def test_no_program_is_run_where_no_stacks_are_wanted(service: Service) -> None:
    assert "python stacks" not in await gather([service.pid], stacks=False)


JAVA = """
public class Photos {
    public static void main(String[] arguments) throws Exception {
        Object lock = new Object();
        Thread worker = new Thread(() -> { synchronized (lock) { System.out.println("in"); } }, "waits-for-the-lock");
        synchronized (lock) { worker.start(); System.out.println("up"); System.in.read(); }
    }
}
"""


@pytest.mark.skipif(not (shutil.which("java") and find_tool("jcmd")), reason="needs a JDK")
async def test_the_threads_of_java_are_printed_by_jcmd(tmp_path: Path) -> None:
    (tmp_path / "Photos.java").write_text(JAVA)
    argv = ["java", "-XX:TieredStopAtLevel=1", str(tmp_path / "Photos.java")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as java:  # noqa: ASYNC220
        assert java.stdout is not None
        assert await asyncio.to_thread(java.stdout.readline) == b"up\n"
        evidence = await gather([java.pid])
        assert java.poll() is None
        java.communicate(b"\n")
    assert '"waits-for-the-lock"' in evidence["java threads"]
    assert "BLOCKED" in evidence["java threads"]


async def test_a_java_that_would_die_of_sigquit_is_left_alone(tmp_path: Path) -> None:
    copy = tmp_path / "java"  # no Java, or one that has not come up: nothing in it handles the signal
    shutil.copy("/bin/sleep", copy)
    knock = executable(tmp_path / "jcmd", "#!/bin/sh\nkill -QUIT $1\n")
    with subprocess.Popen([copy, "60"]) as process:  # noqa: ASYNC220
        assert not catches_quit(process.pid)
        assert await java_threads(family([process.pid]), seconds=1, tool=str(knock)) == ""
        assert process.poll() is None
        process.kill()


def test_a_process_that_handles_sigquit_is_known() -> None:
    before = signal.signal(signal.SIGQUIT, lambda *_: None)
    try:
        assert catches_quit(os.getpid())
    finally:
        signal.signal(signal.SIGQUIT, before)


async def test_a_py_spy_that_hangs_is_ended_in_time_and_said_to_be_unfinished(service: Service, tmp_path: Path) -> None:
    says = "Process 1: app\\n--password\\nx\\nPython v3.11.2 (/usr/bin/python)\\n"
    hangs = f"#!/bin/sh\ntrap '' TERM\nprintf '{says}'\nwhile :; do sleep 0.1; done\n"
    tool = executable(tmp_path / "py-spy", hangs)
    async with asyncio.timeout(30):  # it would hang for ever
        said = await python_stacks(family([service.pid]), seconds=2, tool=str(tool))
    assert said == f"{service.pid}: py-spy: not finished within 2 s; so far:\nPython v3.11.2 (/usr/bin/python)"
    await eventually(lambda: marked(str(tool)) == [])


async def test_a_py_spy_that_fails_is_quoted(service: Service, tmp_path: Path) -> None:
    tool = executable(tmp_path / "py-spy", "#!/bin/sh\necho 'Error: Permission Denied' >&2\nexit 1\n")
    said = f"{service.pid}: py-spy: Error: Permission Denied"
    assert await python_stacks(family([service.pid]), seconds=1, tool=str(tool)) == said


async def test_parts_that_hang_are_named_and_the_others_are_told(tmp_path: Path) -> None:
    fake = FakeProc(tmp_path)
    fake.process(7, command="/usr/bin/photos", open_files=("/srv/a",))
    fake.thread(7, 7, name="photos", state="D")
    (fake.proc / "7/task/7/wchan").unlink()
    os.mkfifo(fake.proc / "7/task/7/wchan")
    wanted = asyncio.create_task(gather([7], seconds=2, host=fake.host))
    others = 0
    async with asyncio.timeout(30):
        while not wanted.done():  # were the event loop blocked by what hangs, nothing would go on beside it
            await asyncio.sleep(0.05)
            others += 1
    evidence = wanted.result()
    assert others > 3
    assert evidence["threads"] == "not finished within 2 s"
    assert "/usr/bin/photos" in evidence["processes"]
    assert "1 of 1024 open files" in evidence["sockets and files"]
    (fake.proc / "7/task/7/wchan").open("w").close()


async def test_of_a_process_that_is_gone_what_is_left_is_taken(tmp_path: Path) -> None:
    fake = FakeProc(tmp_path)
    fake.host.kernel_log.write_text(
        "6,1,1000000,-;oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/system.slice/photos.service,task=photos,pid=7,uid=3\n"
    )
    evidence = await gather([7], cgroup="photos.service", host=fake.host)
    assert "not finished" not in str(evidence)
    assert evidence["processes"] == "process 7 is gone"
    assert evidence["memory"].startswith("the kernel killed photos (pid 7) for lack of memory")


async def test_of_no_process_and_no_change_there_is_no_evidence(tmp_path: Path) -> None:
    fake = FakeProc(tmp_path)
    fake.host.kernel_log.write_text("")
    assert await gather([], host=fake.host) == {}


async def test_an_actions_own_evidence_stays_and_the_whole_keeps_the_limit(service: Service) -> None:
    own = {"unit": "photos.service is failed", "journal": "ü" * 130_000}
    evidence = await add_processes(own, [service.pid], began=monotonic())
    assert list(evidence)[:2] == ["unit", "journal"]
    assert evidence["unit"] == own["unit"]
    assert "processes" in evidence
    assert weight(evidence) <= 262_144


async def test_an_action_that_used_up_its_time_still_gets_the_short_looks(service: Service) -> None:
    evidence = await add_processes({}, [service.pid], began=monotonic() - 60)
    assert str(service.pid) in evidence["processes"]


async def test_evidence_that_is_cancelled_leaves_nothing_running(service: Service) -> None:
    task = asyncio.ensure_future(gather([service.pid]))
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert alive(service.pid)


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=400), max_size=8), st.integers(0, 2000))
def test_what_is_trimmed_fits_and_what_fits_is_not_trimmed(texts: dict[str, str], limit: int) -> None:
    cut = trim(texts, limit)
    assert weight(cut) <= limit
    said = {name: text for name, text in texts.items() if text}
    if weight(said) <= limit:
        assert cut == said
    for name, text in cut.items():
        assert texts[name].startswith(text.removesuffix("\n… cut"))


def test_small_parts_stay_whole_beside_a_large_one() -> None:
    cut = trim({"large": "ä" * 10_000, "small": "x" * 50}, 1_000)
    assert cut["small"] == "x" * 50
    assert cut["large"].endswith("ä\n… cut")
    assert 900 < weight(cut) <= 1_000


async def test_what_is_no_java_is_not_asked_as_one(service: Service) -> None:
    assert await java_threads(family([service.pid]), seconds=1, tool="/nowhere/jcmd") == ""
