"""Programs are run with a timeout, in bounded memory, and leave nothing behind."""

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
import uvloop

from agent.argv import ArgvResult, run_argv
from agent.subprocesses import clean_environment, describe_exit, exited_by_polling, start
from tests.processes import alive, descriptors, eventually, executable, marked, nothing_left, script

STUBBORN = (
    "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


@pytest.fixture
def mark() -> Iterator[str]:
    """A text in the environment of every program of one test, to find what it left."""
    text = f"mark-{uuid4().hex}"
    with nothing_left(text):
        yield text


async def test_a_program_gives_its_exit_code_and_both_outputs(mark: str) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    result = await run_argv(script(code), timeout=10, env={"M": mark})
    assert (result.exit_code, result.signal, result.stdout, result.stderr) == (3, None, b"out\n", b"err\n")
    assert (result.timed_out, result.truncated, result.held, result.error) == (False, False, False, "")
    assert 0 < result.took < 10


async def test_a_program_that_dies_of_a_signal_says_which(mark: str) -> None:
    result = await run_argv(script("import os; os.kill(os.getpid(), 11)"), timeout=10, env={"M": mark})
    assert (result.exit_code, result.signal) == (None, signal.SIGSEGV)


async def test_arguments_reach_the_program_as_they_are_and_no_shell_reads_them(mark: str) -> None:
    odd = ["$HOME", "a b", "; touch /nowhere", "`id`", "*", "ü", ""]
    result = await run_argv([*script("import sys; print(sys.argv[1:])"), *odd], timeout=10, env={"M": mark})
    assert result.stdout.decode().strip() == repr(odd)


async def test_input_is_what_the_program_reads_and_without_it_stdin_is_empty(mark: str) -> None:
    echo = script("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())")
    given = bytes(range(256)) * 4000  # far more than a pipe holds
    fed = await run_argv(echo, timeout=10, env={"M": mark}, input=given, limit=2_000_000)
    assert fed.stdout == given
    assert (await run_argv(echo, timeout=10, env={"M": mark})).stdout == b""


async def test_the_environment_is_clean_so_that_no_secret_of_the_agent_reaches_a_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    show = script("import os; print(sorted(os.environ))")
    clean = await run_argv(show, timeout=10, env={"EXTRA": "1"})
    names = set(eval(clean.stdout))
    assert {"PATH", "HOME", "LANG", "EXTRA"} <= names
    assert "SLACK_BOT_TOKEN" not in names
    assert b"SLACK_BOT_TOKEN" in (await run_argv(show, timeout=10, clean_env=False)).stdout
    assert clean_environment()["LANG"] == "C.UTF-8"


async def test_a_program_runs_in_its_working_directory(tmp_path: Path) -> None:
    result = await run_argv(script("import os; print(os.getcwd())"), timeout=10, cwd=str(tmp_path))
    assert result.stdout.decode().strip() == str(tmp_path)


async def test_a_timeout_ends_a_program_that_listens_to_sigterm(mark: str) -> None:
    code = "import signal,sys,time; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(60)"
    result = await run_argv(script(code), timeout=0.5, grace=5, env={"M": mark})
    assert (result.timed_out, result.exit_code, result.stdout) == (True, 7, b"up\n")
    assert result.took < 3


async def test_a_timeout_kills_a_program_that_is_deaf_to_sigterm(mark: str) -> None:
    result = await run_argv(script(STUBBORN), timeout=0.5, grace=0.2, env={"M": mark})
    assert (result.timed_out, result.signal, result.stdout) == (True, signal.SIGKILL, b"deaf\n")
    assert result.took < 3


async def test_a_timeout_kills_the_grandchildren_too(mark: str) -> None:
    code = f"import subprocess,sys; subprocess.run([sys.executable, '-I', '-S', '-c', {STUBBORN!r}])"
    result = await run_argv(script(code), timeout=0.7, grace=0.2, env={"M": mark})
    assert result.timed_out
    assert result.stdout == b"deaf\n"
    await eventually(lambda: not marked(mark))


async def test_a_grandchild_that_holds_the_output_open_is_not_waited_for(mark: str) -> None:
    code = f"import subprocess,sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', {STUBBORN!r}]); print('bye')"
    result = await run_argv(script(code), timeout=20, env={"M": mark})
    assert (result.exit_code, result.timed_out) == (0, False)
    assert b"bye" in result.stdout
    assert result.took < 5
    await eventually(lambda: not marked(mark))


async def test_a_script_that_starts_a_daemon_may_leave_it_running(mark: str) -> None:
    code = f"import subprocess,sys; print(subprocess.Popen([sys.executable, '-I', '-S', '-c', {STUBBORN!r}]).pid)"
    result = await run_argv(script(code), timeout=20, env={"M": mark}, keep_group=True)
    daemon = int(result.stdout.split()[0])
    assert result.held
    assert alive(daemon)
    os.kill(daemon, signal.SIGKILL)
    await eventually(lambda: not alive(daemon))


async def test_cancelling_kills_the_whole_group(mark: str) -> None:
    code = f"import subprocess,sys; subprocess.run([sys.executable, '-I', '-S', '-c', {STUBBORN!r}])"
    task = asyncio.create_task(run_argv(script(code), timeout=60, grace=0.1, env={"M": mark}))
    await eventually(lambda: len(marked(mark)) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not marked(mark))


async def test_cancelling_twice_still_kills_it(mark: str) -> None:
    task = asyncio.create_task(run_argv(script(STUBBORN), timeout=60, grace=30, env={"M": mark}))
    await eventually(lambda: marked(mark))
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    await eventually(lambda: not marked(mark))


async def test_a_megabyte_of_output_is_read_to_its_end_and_cut(mark: str) -> None:
    code = "import sys; sys.stdout.write('x' * 1_048_576); print('end', file=sys.stderr)"
    result = await run_argv(script(code), timeout=10, limit=1000, env={"M": mark})
    assert (result.exit_code, result.stdout, result.stderr, result.truncated) == (0, b"x" * 1000, b"end\n", True)


async def test_output_of_exactly_the_limit_is_not_cut() -> None:
    result = await run_argv(script("print('x' * 99)"), timeout=10, limit=100)
    assert (len(result.stdout), result.truncated) == (100, False)


async def test_endless_output_takes_neither_memory_nor_the_agents_time(mark: str) -> None:
    before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sum(os.times()[:2])
    lag = asyncio.create_task(_worst_lag(0.8))
    result = await run_argv(["/usr/bin/yes"], timeout=0.8, env={"M": mark})
    assert (result.timed_out, result.truncated, len(result.stdout)) == (True, True, 65_536)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4_096  # KiB
    assert sum(os.times()[:2]) - cpu < 0.4
    assert await lag < 0.2


async def _worst_lag(seconds: float) -> float:
    end, worst = monotonic() + seconds, 0.0
    while (now := monotonic()) < end:
        await asyncio.sleep(0.01)
        worst = max(worst, monotonic() - now - 0.01)
    return worst


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        pytest.param(["/nowhere/at/all"], "missing", id="no such program"),
        pytest.param(["surely-not-on-the-path"], "missing", id="not on the PATH"),
        pytest.param(["/etc/passwd"], "not_executable", id="a file without the x bit"),
        pytest.param(["/etc"], "not_executable", id="a directory"),
        pytest.param(["/etc/passwd/x"], "missing", id="below a file"),
        pytest.param(["/bin/echo", "a\0b"], "invalid", id="NUL in an argument"),
        pytest.param(["/bin/echo", "x" * 3_000_000], "invalid", id="longer than the kernel takes"),
    ],
)
async def test_what_cannot_be_started_says_why(argv: list[str], error: str) -> None:
    before = descriptors()
    result = await run_argv(argv, timeout=5)
    assert (result.error, result.exit_code, result.signal) == (error, None, None)
    assert result.message
    assert descriptors() == before


async def test_a_missing_working_directory_is_not_a_missing_program() -> None:
    result = await run_argv(["/bin/true"], timeout=5, cwd="/nowhere/at/all")
    assert (result.error, result.message) == ("directory", "can't work in /nowhere/at/all: No such file or directory")


async def test_a_file_that_is_no_program_is_not_executable(tmp_path: Path) -> None:
    result = await run_argv([str(executable(tmp_path / "noise", "\x00\x01\x02"))], timeout=5)
    assert result.error == "not_executable"


async def test_running_out_of_descriptors_is_our_own_trouble_and_leaks_none() -> None:
    before = descriptors()
    seen: list[ArgvResult] = []
    with all_descriptors_taken() as taken:
        for _ in range(12):  # so that it fails at each of those that it needs
            seen.append(await run_argv(["/bin/true"], timeout=5))
            os.close(taken.pop())
    assert [result.error for result in seen[:5]] == ["resources"] * 5
    assert {result.error for result in seen} == {"resources", ""}
    assert all(result.exit_code == 0 for result in seen if not result.error)
    assert descriptors() == before


@contextmanager
def all_descriptors_taken() -> Iterator[list[int]]:
    """Every descriptor that the limit allows is open; those in the list are ours to close."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(name) for name in os.listdir("/proc/self/fd")) + 16, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


async def test_an_old_kernels_process_is_awaited_by_polling() -> None:
    null = subprocess.DEVNULL
    nap = script("import time; time.sleep(0.1)")
    process = start(nap, stdin=null, stdout=null, stderr=null, cwd=None, env=clean_environment())
    await asyncio.wait_for(exited_by_polling(process), 5)
    assert process.returncode is None  # ended and not reaped
    assert process.poll() == 0


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_it_works_the_same_on_both_event_loops(loop_factory: object) -> None:
    async def both() -> tuple[ArgvResult, ArgvResult]:
        return await run_argv(script("print(1)"), timeout=10), await run_argv(script(STUBBORN), timeout=0.3, grace=0.1)

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]
        plain, killed = runner.run(both())
    assert (plain.exit_code, plain.stdout) == (0, b"1\n")
    assert (killed.timed_out, killed.signal) == (True, signal.SIGKILL)


async def test_many_at_once_each_get_their_own_result(mark: str) -> None:
    results = await asyncio.gather(
        *(run_argv(["/bin/echo", str(number)], timeout=20, env={"M": mark}) for number in range(50))
    )
    assert [int(result.stdout) for result in results] == list(range(50))


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-40, "killed by signal 40")],
)
def test_an_exit_is_described_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text
