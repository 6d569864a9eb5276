"""Restarting by a program."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from agent.actions import ACTIONS
from agent.core.commands import Outcome
from agent.ports import ActionOutcome
from tests.actions.orders import ORDER, NoChildren
from tests.processes import alive, eventually, marked, nothing_left, script

COMMAND = ACTIONS["command"]


@pytest.fixture
def mark() -> Iterator[str]:
    text = f"mark-{uuid4().hex}"
    with nothing_left(text):
        yield text


async def restart(*argv: str, **options: Any) -> ActionOutcome:
    made = COMMAND.options.model_validate({"argv": argv, **options})
    return await COMMAND.build(made, NoChildren()).perform(ORDER)


async def test_exit_code_0_is_done_with_the_output_as_evidence() -> None:
    outcome = await restart(*script("print('stopping'); print('started')"))
    assert outcome.outcome is Outcome.DONE
    assert outcome.detail.endswith(": exit code 0: started")
    assert outcome.evidence == {"command output": "stopping\nstarted\n"}


async def test_the_program_is_told_the_order() -> None:
    code = "import os; print(*(f'{k}={v}' for k, v in sorted(os.environ.items()) if k.startswith('CODEBLUE_')))"
    outcome = await restart(*script(code), env={"CODEBLUE_SERVICE": "another"})
    assert outcome.evidence["command output"].split() == [
        "CODEBLUE_ATTEMPT=2",
        "CODEBLUE_INCIDENT=photos-17",
        "CODEBLUE_ORDER=restart:photos:17:1",
        "CODEBLUE_SERVICE=photos",
    ]


async def test_it_runs_with_its_own_environment_and_directory_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    code = "import os; print(os.getcwd(), os.environ['REALM'], 'SLACK_BOT_TOKEN' in os.environ)"
    outcome = await restart(*script(code), env={"REALM": "eu"}, cwd=str(tmp_path))
    assert outcome.evidence["command output"] == f"{tmp_path} eu False\n"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        pytest.param("import sys; sys.exit(3)", "exit code 3", id="an exit code"),
        pytest.param("import sys; sys.exit('no such unit')", "exit code 1: no such unit", id="with words on stderr"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL", id="a signal"),
    ],
)
async def test_any_other_end_is_failed_and_says_how(code: str, detail: str) -> None:
    outcome = await restart(*script(code))
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.endswith(f": {detail}")


async def test_a_missing_program_is_failed() -> None:
    outcome = await restart("/nowhere/restart-it")
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "there is no program /nowhere/restart-it")


async def test_a_program_that_does_not_end_is_killed_with_what_it_started(mark: str) -> None:
    deaf = "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    code = f"import subprocess,sys; subprocess.run([sys.executable, '-I', '-S', '-c', {deaf!r}])"
    outcome = await restart(*script(code), timeout="400ms", env={"M": mark})
    assert outcome.outcome is Outcome.TIMEOUT
    assert outcome.detail.endswith("did not end within 400ms")
    await eventually(lambda: not marked(mark))


@pytest.mark.parametrize(
    ("redirect", "warned"),
    [pytest.param("subprocess.DEVNULL", False, id="redirected"), pytest.param("None", True, id="holding the output")],
)
async def test_a_daemon_that_it_starts_stays(redirect: str, warned: bool, mark: str) -> None:
    code = f"import subprocess; o = {redirect}; print(subprocess.Popen(['/bin/sleep', '60'], stdout=o, stderr=o).pid)"
    outcome = await restart(*script(code), env={"M": mark})
    assert outcome.outcome is Outcome.DONE
    daemon = int(outcome.evidence["command output"])
    assert alive(daemon)
    assert ("redirect it" in outcome.detail) is warned
    os.kill(daemon, signal.SIGKILL)
    await eventually(lambda: not alive(daemon))


async def test_evidence_is_bounded() -> None:
    outcome = await restart(*script("import sys; print('x' * 2_000_000); print('y' * 2_000_000, file=sys.stderr)"))
    assert outcome.outcome is Outcome.DONE
    assert sum(len(text) for text in outcome.evidence.values()) <= 262_144
    assert len(outcome.detail) < 400


async def test_cancelling_it_leaves_no_process(mark: str) -> None:
    task = asyncio.create_task(restart("/bin/sleep", "60", env={"M": mark}))
    await eventually(lambda: marked(mark))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"argv": ["systemctl", "restart", "x"]}, id="a relative path"),
        pytest.param({"argv": "/bin/true"}, id="a string, as for a shell"),
        pytest.param({"argv": ["/bin/true"], "timeout": "0s"}, id="no time at all"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        COMMAND.options.model_validate(options)


async def test_the_process_action_asks_for_its_process_within_its_time() -> None:
    children = NoChildren()
    process = ACTIONS["process"]
    made = process.options.model_validate({"name": "hello", "timeout": "5s"})
    outcome = await process.build(made, children).perform(ORDER)
    assert (outcome.outcome, children.asked) == (Outcome.FAILED, [("hello", 5.0)])


def test_every_action_is_in_the_table_under_its_own_name_and_has_a_short_form_that_exists() -> None:
    modules = {path.stem for path in (Path(__file__).parents[2] / "agent" / "actions").glob("*.py")}
    assert set(ACTIONS) <= modules
    assert {"command", "docker", "hook", "kubernetes", "process", "supervisord", "systemd"} <= set(ACTIONS)
    for name, action in ACTIONS.items():
        assert action.name == name
        assert action.short is None or action.short in action.options.model_fields
        assert action.about.endswith(".")
