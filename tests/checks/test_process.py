"""Processes, found in a made-up proc and in the real one."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, Tools
from checks._procfs import PAGE, TICKS, parse_stat, processes
from checks.process import PROCESS, ProcessOptions
from tests.processes import eventually

PASS, WARN, FAIL, UNKNOWN = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN
NOW = 10_000.0  # seconds since the boot


class Proc:
    """A proc of our own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path / "uptime").write_text(f"{NOW:.2f} 20000.00\n")
        (path / "self").mkdir()

    def add(self, pid: int, name: str, *argv: str, state: str = "S", age: float = 3600, rss: int = 10 * PAGE) -> None:
        folder = self.path / str(pid)
        folder.mkdir()
        fields = ["0"] * 50
        fields[0], fields[11], fields[12], fields[17] = state, str(2 * TICKS), str(TICKS), "4"
        fields[19], fields[21] = str(int((NOW - age) * TICKS)), str(rss // PAGE)
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
        (folder / "cmdline").write_bytes(b"".join(argument.encode() + b"\0" for argument in argv))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    tree = Proc(tmp_path / "proc")
    tree.add(1, "init", "/sbin/init")
    tree.add(2, "kthreadd")
    tree.add(50, "nginx", "nginx: master process /usr/sbin/nginx", age=7200)
    tree.add(51, "nginx", "nginx: worker process", age=3600, rss=300 * 1024 * 1024)
    tree.add(60, "python3", "/usr/bin/python3", "-m", "photos.worker", "--queue", "mail", age=20)
    tree.add(70, "odd) (name", "odd")
    tree.add(80, "dead", state="Z")
    tree.add(90, "very-long-progr", "/opt/very-long-program-name", "--x")
    tree.add(91, "very-long-progr", "/opt/very-long-program-other")
    tree.add(92, "very-long-scrip", "/usr/bin/python3", "/opt/very-long-script-name", "--x")
    return tree


async def run(within: float = 5.0, **options: Any) -> CheckResult:
    ctx = CheckContext("web", "process", within, cast(Tools, SimpleNamespace()))
    return await PROCESS.run(ProcessOptions(**options), ctx)


CASES = [
    ("one by its name", {"name": "init"}, PASS, "ok", "1 process of init, up 1h, 0.0 MiB"),
    ("several by their name", {"name": "nginx"}, PASS, "ok", "2 processes of nginx, up 1h, 300.0 MiB"),
    ("a name with parentheses", {"name": "odd) (name"}, PASS, "ok", "1 process of odd) (name, up 1h, 0.0 MiB"),
    ("a kernel thread", {"name": "kthreadd"}, PASS, "ok", "1 process of kthreadd, up 1h, 0.0 MiB"),
    ("no such name", {"name": "mysqld"}, FAIL, "missing", "mysqld does not run"),
    ("a part of a name", {"name": "ngin"}, FAIL, "missing", "ngin does not run"),
    ("a long name, all of which counts", {"name": "very-long-program-name"}, PASS, "ok",
     "1 process of very-long-program-name, up 1h, 0.0 MiB"),
    ("a long name of a script", {"name": "very-long-script-name"}, PASS, "ok",
     "1 process of very-long-script-name, up 1h, 0.0 MiB"),
    ("arguments", {"cmdline": r"photos\.worker.*--queue mail"}, PASS, "ok",
     r"1 process of /photos\.worker.*--queue mail/, up 20s, 0.0 MiB"),
    ("name and arguments", {"name": "nginx", "cmdline": "master"}, PASS, "ok", "1 process of nginx, up 2h, 0.0 MiB"),
    ("the wrong arguments", {"name": "nginx", "cmdline": "mail"}, FAIL, "missing", "nginx does not run"),
    ("too few", {"name": "nginx", "min": 3}, FAIL, "missing", "2 processes of nginx, wanted at least 3"),
    ("too many", {"name": "nginx", "max": 1}, FAIL, "too_many", "2 processes of nginx, wanted at most 1 (50, 51)"),
    ("none wanted, none there", {"name": "mysqld", "min": 0, "max": 0}, PASS, "ok", "mysqld does not run, as wanted"),
    ("none wanted, one there", {"name": "init", "min": 0, "max": 0}, FAIL, "too_many",
     "1 process of init, wanted at most 0 (1)"),
    ("only a zombie", {"name": "dead"}, FAIL, "zombie", "dead is dead and nobody has fetched its end (zombie 80)"),
    ("too large", {"name": "nginx", "max_rss": "200MiB"}, FAIL, "memory",
     "process 51 of nginx holds 300.0 MiB, allowed are 200.0 MiB"),
    ("large enough", {"name": "nginx", "max_rss": "1G"}, PASS, "ok", "2 processes of nginx, up 1h, 300.0 MiB"),
    ("still starting", {"name": "python3", "min_uptime": "1m"}, WARN, "starting",
     "1 process of python3, up 20s, 0.0 MiB: not yet 1m old"),
    ("old enough", {"name": "python3", "min_uptime": "10s"}, PASS, "ok", "1 process of python3, up 20s, 0.0 MiB"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "verdict", "reason", "summary"), [row[1:] for row in CASES], ids=[r[0] for r in CASES]
)
async def test_processes_are_matched_and_counted(
    proc: Proc, options: dict[str, Any], verdict: Verdict, reason: str, summary: str
) -> None:
    result = await run(proc=proc.path, **options)
    assert (result.verdict, result.reason, result.summary) == (verdict, reason, summary)


async def test_the_figures_are_count_memory_threads_cpu_and_the_youngest_ones_uptime(proc: Proc) -> None:
    result = await run(proc=proc.path, name="nginx")
    assert result.values == {
        "count": 2, "zombies": 0, "rss": 300 * 1024 * 1024 + 10 * PAGE, "threads": 8, "cpu_seconds": 6, "uptime": 3600,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        pytest.param("50\n", {}, "ok", id="names a running process"),
        pytest.param("50", {"name": "nginx"}, "ok", id="of the right name"),
        pytest.param("51\n", {"name": "postgres"}, "other", id="the number belongs to another program now"),
        pytest.param("80\n", {}, "zombie", id="a zombie"),
        pytest.param("4444\n", {}, "stale_pidfile", id="a process that is gone"),
        pytest.param("", {}, "bad_pidfile", id="empty"),
        pytest.param("-1\n", {}, "bad_pidfile", id="negative"),
        pytest.param("0\n", {}, "bad_pidfile", id="zero"),
        pytest.param("nginx\n", {}, "bad_pidfile", id="a word"),
        pytest.param("9" * 5000, {}, "bad_pidfile", id="far too long"),
        pytest.param("\x00\x01ü", {}, "bad_pidfile", id="garbage"),
        pytest.param(None, {}, "no_pidfile", id="no file"),
    ],
)
async def test_a_pidfile_is_believed_only_if_it_names_such_a_process(
    proc: Proc, tmp_path: Path, text: str | None, more: dict[str, Any], reason: str
) -> None:
    pidfile = tmp_path / "daemon.pid"
    if text is not None:
        pidfile.write_text(text)
    result = await run(proc=proc.path, pidfile=pidfile, **more)
    assert result.reason == reason
    assert result.verdict is (PASS if reason == "ok" else FAIL)


async def test_a_proc_that_cannot_be_read_says_nothing_about_the_target(tmp_path: Path) -> None:
    result = await run(proc=tmp_path / "nothing", name="nginx")
    assert (result.verdict, result.reason) == (UNKNOWN, "proc")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="nothing to look for"),
        pytest.param({"cmdline": "("}, id="no regular expression"),
        pytest.param({"name": ""}, id="an empty name"),
        pytest.param({"name": "a", "min": 2, "max": 1}, id="max below min"),
        pytest.param({"name": "a", "min": -1}, id="negative"),
        pytest.param({"name": "a", "max_rss": "lots"}, id="no size"),
        pytest.param({"name": "a", "max_rss": 0}, id="no memory at all"),
        pytest.param({"name": "a", "min_uptime": 10}, id="a duration without a unit"),
        pytest.param({"name": "a", "child": "hello"}, id="an unknown option"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProcessOptions.model_validate(options)


@given(st.text())
def test_any_text_in_place_of_a_stat_is_no_error(text: str) -> None:
    assert parse_stat(text) is None
    assert parse_stat(f"{text} ({text}) S " + " ".join([text] * 30)) is None or text.strip().isdecimal()


# ------------------------------------------------------------------------------------------ the real proc


@contextmanager
def running(*argv: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(argv)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_real_process_is_found_until_it_dies_and_is_a_zombie_until_it_is_fetched() -> None:
    seconds = str(600 + os.getpid() / 1e6)
    pattern = rf"^/bin/sleep {seconds}$"
    with running("/bin/sleep", seconds) as process:
        found = await run(cmdline=pattern, name="sleep")
        assert (found.verdict, found.values["count"]) == (PASS, 1)
        assert 0 <= found.values["uptime"] < 5
        assert found.values["rss"] > 100_000
        process.kill()
        await eventually(lambda: any(one.pid == process.pid and one.zombie for one in processes(Path("/proc"))))
        assert (await run(cmdline=pattern)).reason == "missing"
    assert (await run(cmdline=pattern, name="sleep")).reason == "missing"


async def test_a_real_zombie_named_by_its_pidfile_is_a_failure(tmp_path: Path) -> None:
    with running("/bin/sleep", "600") as process:
        (tmp_path / "pid").write_text(f"{process.pid}\n")
        assert (await run(pidfile=tmp_path / "pid")).verdict is PASS
        process.kill()
        await eventually(lambda: any(one.pid == process.pid and one.zombie for one in processes(Path("/proc"))))
        assert (await run(pidfile=tmp_path / "pid")).reason == "zombie"


ROOT = Path(__file__).parents[2]
LOOKING_FOR_ITS_ARGUMENTS = """
import asyncio, sys
from tests.checks.test_process import run
print(asyncio.run(run(cmdline=sys.argv[1])).reason)
"""


def test_the_agent_does_not_find_itself_by_its_arguments(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", LOOKING_FOR_ITS_ARGUMENTS, str(tmp_path)]

    def look() -> str:
        return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout

    assert look() == "missing\n"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path)]) as other:
        found = look()
        other.kill()
    assert found == "ok\n", "another one with the same arguments is found"


async def test_a_look_at_proc_does_not_stop_the_event_loop() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await run(cmdline="no process has such arguments, not even one")
    ticking.cancel()
    assert ticks > 1


def test_min_uptime_is_a_duration() -> None:
    assert ProcessOptions(name="a", min_uptime=cast(Any, "90s")).min_uptime == timedelta(seconds=90)


async def test_a_pidfile_that_hangs_holds_up_only_its_own_check(tmp_path: Path) -> None:
    """Nobody writes to this one; a file of a dead NFS server is the same. All other blocking calls of the agent share a
    pool of a few threads, which such checks must not use up."""

    def hanging() -> int:
        return len([thread for thread in threading.enumerate() if "processes of web/process" in thread.name])

    os.mkfifo(tmp_path / "pid")
    try:
        for _ in range(12):
            result = await run(0.05, pidfile=tmp_path / "pid")
            assert (result.verdict, result.reason) == (UNKNOWN, "slow")
            assert "/pid could not be read" in result.summary
        assert hanging() == 1
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10) == "free"
    finally:
        (tmp_path / "pid").write_text("1\n")
        await eventually(lambda: hanging() == 0)


async def test_an_expression_that_takes_years_on_somebodys_arguments_is_unknown(proc: Proc) -> None:
    proc.add(99, "evil", "a" * 4000 + "!")
    result = await run(proc=proc.path, cmdline="(a|aa)+$")
    assert (result.verdict, result.reason) == (UNKNOWN, "expression")
    assert "avoid repeats within repeats" in result.summary
