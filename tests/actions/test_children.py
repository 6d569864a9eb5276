"""Supervised processes: they start, are listened to, are restarted, and never outlive the agent."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from agent.actions.children import Children
from agent.core.commands import Outcome
from agent.ports import ProcessSpec
from tests.processes import alive, descriptors, eventually, marked, nothing_left, script

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal,time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
FAMILY = f"import subprocess,sys; subprocess.run([sys.executable, '-I', '-S', '-c', {DEAF!r}])"

Heard = list[tuple[str, str, str]]


def spec(code: str, name: str = "web", **more: object) -> ProcessSpec:
    return ProcessSpec(name=name, command=tuple(script(code)), **more)  # type: ignore[arg-type]


class Supervised:
    """Children whose lines are kept, and which are stopped and gone at the end of the test."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.heard: Heard = []

    @asynccontextmanager
    async def run(self, *specs: ProcessSpec) -> AsyncIterator[Children]:
        children = Children(self.named(*specs), lambda *line: self.heard.append(line))
        try:
            await children.start_all()
            yield children
        finally:
            await children.stop_all()

    def named(self, *specs: ProcessSpec) -> dict[str, ProcessSpec]:
        return {
            one.name: ProcessSpec(
                name=one.name,
                command=one.command,
                cwd=one.cwd,
                env={**one.env, "M": self.mark},
                stop_timeout=one.stop_timeout,
            )
            for one in specs
        }

    def texts(self) -> list[str]:
        return [text for _, _, text in self.heard]


@pytest.fixture
async def supervised() -> AsyncIterator[Supervised]:
    mark = f"mark-{uuid4().hex}"
    with nothing_left(mark):
        yield Supervised(mark)
        await eventually(lambda: not marked(mark))


@pytest.mark.parametrize(
    ("code", "allowed", "least"),
    [
        pytest.param(f"import time; time.sleep(0.3); {SLEEP}", 20.0, 0.25, id="it prints after a while"),
        pytest.param("import time; time.sleep(0.3)", 20.0, 0.25, id="it ends"),
        pytest.param("import time; time.sleep(60)", 0.5, 0.49, id="it never says a word: as long as is allowed"),
    ],
)
async def test_a_fresh_process_gets_a_moment_before_it_is_looked_at(
    supervised: Supervised, code: str, allowed: float, least: float
) -> None:
    began = monotonic()
    async with supervised.run(spec(code, "slow"), spec(SLEEP, "quick")) as children:
        await children.settle(allowed)
        assert least < monotonic() - began < 10.0


async def test_there_is_nothing_to_wait_for_where_nothing_runs(supervised: Supervised) -> None:
    async with supervised.run(ProcessSpec(name="web", command=("/nowhere/web",))) as children:
        async with asyncio.timeout(1.0):
            await children.settle(60.0)


async def test_processes_are_started_and_stopped_with_the_agent(supervised: Supervised) -> None:
    async with supervised.run(spec(SLEEP, "a"), spec(SLEEP, "b")) as children:
        await eventually(lambda: len(supervised.heard) == 2)
        pids = [children.pid("a"), children.pid("b")]
        assert all(pid is not None and alive(pid) for pid in pids)
        assert children.pid("c") is None
    assert not any(pid is not None and alive(pid) for pid in pids)
    assert [children.pid("a"), children.pid("b")] == [None, None]


async def test_every_line_is_heard_with_its_stream(supervised: Supervised) -> None:
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.stdout.write('no end')"
    async with supervised.run(spec(code)):
        await eventually(lambda: len(supervised.heard) == 3)
    assert sorted(supervised.heard) == [("web", "stderr", "two"), ("web", "stdout", "no end"), ("web", "stdout", "one")]


async def test_long_lines_are_cut_and_binary_noise_is_heard_as_text(supervised: Supervised) -> None:
    code = "import sys; o = sys.stdout.buffer; o.write(b'x' * 1_000_000 + b'\\n\\xff\\x00\\xfe\\r\\nlast\\n')"
    async with supervised.run(spec(code)):
        await eventually(lambda: "last" in supervised.texts())
    long, noise, last = supervised.texts()
    assert long == "x" * 16_384 + " … (cut)"
    assert (noise, last) == ("\ufffd\x00\ufffd", "last")


async def test_a_flood_of_lines_loses_none_and_leaves_the_event_loop_free(supervised: Supervised) -> None:
    async with supervised.run(spec("for n in range(20_000): print(n)")):
        worst = await _worst_lag_until(lambda: len(supervised.heard) == 20_000)
    assert supervised.texts() == [str(number) for number in range(20_000)]
    assert worst < 0.25


async def _worst_lag_until(condition: Callable[[], bool]) -> float:
    end, worst = monotonic() + 10, 0.0
    while not condition():
        now = monotonic()
        assert now < end
        await asyncio.sleep(0.005)
        worst = max(worst, monotonic() - now - 0.005)
    return worst


async def test_a_listener_that_fails_does_not_stop_the_process(supervised: Supervised) -> None:
    def broken(name: str, stream: str, text: str) -> None:
        raise RuntimeError("no room")

    many = "for n in range(20_000): print('x' * 50)\nprint('end', flush=True)\nimport time; time.sleep(60)"
    children = Children(supervised.named(spec(many)), broken)
    await children.start_all()
    await eventually(lambda: children.evidence("web").get("output", "").endswith("end"))
    await children.stop_all()


async def test_an_end_is_noticed_with_code_and_time_and_nothing_restarts_it(supervised: Supervised) -> None:
    async with supervised.run(spec("import sys; print('bad config'); sys.exit(3)")) as children:
        await eventually(lambda: children.status()["web"].ended)
        ended = children.status()["web"].ended
        assert ended is not None
        assert ended.returncode == 3
        assert ended.uptime.total_seconds() < 5
        await asyncio.sleep(0.1)
        assert children.pid("web") is None
        said = children.evidence("web")
        assert re.search(r"^process \d+ ended at [\d:]{8} UTC after \S+: exit code 3$", said["process"])
        assert said["output"] == "bad config"


async def test_a_restart_replaces_the_process_and_keeps_the_evidence_of_the_old_one(supervised: Supervised) -> None:
    async with supervised.run(spec(SLEEP)) as children:
        await eventually(lambda: supervised.heard)
        old = children.pid("web")
        outcome = await children.restart("web", timeout=10)
        new = children.pid("web")
        assert (outcome.outcome, outcome.detail) == (Outcome.DONE, f"web is process {new} now, it was {old}")
        assert outcome.evidence["process"].startswith(f"process {old} is running, up ")
        assert outcome.evidence["output"] == "up"
        assert outcome.evidence["processes"].splitlines()[1].split()[0] == str(old)
        assert f"{old} python" in outcome.evidence["sockets and files"]
        assert old is not None
        assert not alive(old)


async def test_a_killed_process_is_restarted_with_its_last_words_as_evidence(supervised: Supervised) -> None:
    async with supervised.run(spec("for n in range(80): print('line', n)\n" + SLEEP)) as children:
        await eventually(lambda: "up" in supervised.texts())
        pid = children.pid("web")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: children.pid("web") is None)
        outcome = await children.restart("web", timeout=10)
    assert outcome.outcome is Outcome.DONE
    assert re.search(rf"^process {pid} ended at .* UTC after \S+: killed by SIGKILL$", outcome.evidence["process"])
    assert outcome.evidence["output"].splitlines()[-2:] == ["line 79", "up"]
    assert len(outcome.evidence["output"].splitlines()) == 50


async def test_a_process_that_ends_at_once_is_no_done_restart(supervised: Supervised, tmp_path: Path) -> None:
    code = f"import os,sys\nif os.path.exists({str(tmp_path / 'broken')!r}): sys.exit('no such database')\n{SLEEP}"
    async with supervised.run(spec(code)) as children:
        (tmp_path / "broken").touch()
        outcome = await children.restart("web", timeout=10)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.endswith(": exit code 1: no such database")
    assert next(iter(outcome.evidence)) == "output after the restart"
    assert outcome.evidence["output after the restart"] == "no such database"


async def test_a_process_that_is_deaf_to_sigterm_is_killed_after_its_stop_timeout(supervised: Supervised) -> None:
    async with supervised.run(spec(DEAF, stop_timeout=0.3)) as children:
        await eventually(lambda: supervised.heard)
        old, began = children.pid("web"), monotonic()
        assert (await children.restart("web", timeout=10)).outcome is Outcome.DONE
        assert 0.3 < monotonic() - began < 4
        assert old is not None
        assert not alive(old)


async def test_the_whole_group_is_stopped_not_only_its_leader(supervised: Supervised) -> None:
    async with supervised.run(spec(FAMILY)):
        await eventually(lambda: supervised.texts() == ["deaf"])
        assert len(marked(supervised.mark)) == 2
    await eventually(lambda: not marked(supervised.mark))


async def test_what_a_dead_process_leaves_in_its_group_ends_with_it(supervised: Supervised) -> None:
    async with supervised.run(spec(FAMILY)) as children:
        await eventually(lambda: supervised.texts() == ["deaf"])
        pid = children.pid("web")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not marked(supervised.mark))


@pytest.mark.parametrize(
    ("command", "cwd", "text"),
    [
        pytest.param(("/nowhere/web",), None, "there is no program /nowhere/web", id="no such program"),
        pytest.param(("/etc/passwd",), None, "/etc/passwd can't be executed: Permission denied", id="no program"),
        pytest.param(
            ("/bin/true",), "/nowhere", "can't work in /nowhere: No such file or directory", id="no directory"
        ),
        pytest.param(("/bin/echo", "a\0b"), None, "/bin/echo can't be run: NUL in an argument", id="NUL"),
    ],
)
async def test_what_cannot_be_started_is_said_and_stops_nothing_else(
    supervised: Supervised, command: tuple[str, ...], cwd: str | None, text: str
) -> None:
    bad = ProcessSpec(name="bad", command=command, cwd=cwd)
    async with supervised.run(bad, spec(SLEEP, "good")) as children:
        assert children.pid("good") is not None
        assert children.status()["bad"].trouble == text
        outcome = await children.restart("bad", timeout=5)
        assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, text)


async def test_a_name_that_config_does_not_know_is_a_failed_restart(supervised: Supervised) -> None:
    async with supervised.run(spec(SLEEP)) as children:
        outcome = await children.restart("wbe", timeout=5)
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "there is no process wbe (there are: web)")


async def test_a_restart_that_takes_too_long_says_so(supervised: Supervised) -> None:
    async with supervised.run(spec(SLEEP)) as children:
        outcome = await children.restart("web", timeout=0.02)
        assert (outcome.outcome, outcome.detail) == (Outcome.TIMEOUT, "web was not restarted within 0.02 s")


async def test_restarts_of_one_process_at_the_same_time_leave_one_process(supervised: Supervised) -> None:
    async with supervised.run(spec(SLEEP)) as children:
        outcomes = await asyncio.gather(*(children.restart("web", timeout=20) for _ in range(3)))
        assert [one.outcome for one in outcomes] == [Outcome.DONE] * 3
        assert marked(supervised.mark) == [children.pid("web")]


async def test_reconfiguring_touches_only_what_changed(supervised: Supervised) -> None:
    named = supervised.named
    async with supervised.run(spec(SLEEP, "same"), spec(SLEEP, "changed"), spec(SLEEP, "gone")) as children:
        same, changed, gone = (children.pid(name) for name in ("same", "changed", "gone"))
        await children.reconfigure(
            named(spec(SLEEP, "same"), spec(DEAF, "changed", stop_timeout=0.2), spec(SLEEP, "new"))
        )
        assert children.pid("same") == same
        assert children.pid("changed") not in (None, changed)
        assert children.pid("new") is not None
        assert set(children.status()) == {"same", "changed", "new"}
        assert gone is not None
        assert not alive(gone)


async def test_a_bare_python_is_the_agents_own_interpreter(supervised: Supervised) -> None:
    for word in ("python", "python3"):
        supervised.heard.clear()
        command = (word, "-c", "import sys; print(sys.executable)")
        async with supervised.run(ProcessSpec(name="web", command=command)):
            await eventually(lambda: supervised.heard)
        assert supervised.texts() == [sys.executable]


async def test_a_process_gets_its_own_environment_and_directory_and_no_secret(
    supervised: Supervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    code = "import os; print(os.getcwd(), os.environ['REALM'], 'SLACK_BOT_TOKEN' in os.environ, flush=True)"
    async with supervised.run(spec(code, cwd=str(tmp_path), env={"REALM": "eu"})):
        await eventually(lambda: supervised.heard)
    assert supervised.texts() == [f"{tmp_path} eu False"]


async def test_a_process_dies_of_sigpipe_like_any_other_though_python_ignores_it(supervised: Supervised) -> None:
    command = ("/bin/sh", "-c", "yes | head -n 1; grep SigIgn /proc/self/status; sleep 60")
    async with supervised.run(ProcessSpec(name="web", command=command)):
        await eventually(lambda: len(supervised.heard) == 2)
    assert supervised.texts()[0] == "y"
    ignored = int(supervised.texts()[1].split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1))


async def test_restarting_again_and_again_leaks_nothing(supervised: Supervised) -> None:
    async with supervised.run(spec(SLEEP)) as children:
        before = descriptors()
        for _ in range(3):
            await children.restart("web", timeout=10)
        assert descriptors() == before


async def test_the_example_service_is_supervised_as_config_names_it(supervised: Supervised) -> None:
    root = str(Path(__file__).parents[2])
    hello = ProcessSpec(name="hello", command=("python", "-m", "examples.hello", "--port", "0"), cwd=root)
    async with supervised.run(hello) as children:
        await eventually(lambda: "listening" in "".join(supervised.texts()))
        pid = children.pid("hello")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: children.pid("hello") is None)
        outcome = await children.restart("hello", timeout=10)
        assert outcome.outcome is Outcome.DONE
        assert '"message": "listening"' in outcome.evidence["output"]
        await eventually(lambda: "".join(supervised.texts()).count("listening") == 2)
    assert '"message": "stopped"' in supervised.texts()[-1]


AGENT = """
import asyncio, sys
from agent.actions.children import Children
from agent.ports import ProcessSpec

async def main():
    script = "sleep 60 & echo $!; wait"  # a worker, as of a web server
    spec = ProcessSpec(name="web", command=("/bin/sh", "-c", script), env={"M": sys.argv[1]})
    children = Children({"web": spec}, lambda name, stream, line: print("PID", children.pid("web"), line, flush=True))
    await children.start_all()
    await asyncio.sleep(60)

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_process_and_what_it_has_started_die_with_an_agent_that_is_killed(loop: str) -> None:
    mark = f"mark-{uuid4().hex}"
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", AGENT, mark, loop], stdout=subprocess.PIPE, cwd=root) as agent:
        assert agent.stdout is not None
        pids = next([int(pid) for pid in line.split()[1:]] for line in agent.stdout if line.startswith(b"PID"))
        assert [alive(pid) for pid in pids] == [True, True]
        agent.kill()
    asyncio.run(eventually(lambda: not any(map(alive, pids))))
    asyncio.run(eventually(lambda: not marked(mark)))
