"""A procedure: programs in order, with conditions between them. Every program is a real one."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions import ACTIONS
from agent.actions.procedure import Procedure
from agent.core.commands import Outcome, Restart
from agent.core.result import Verdict
from agent.ports import ActionOutcome
from tests.actions.orders import ORDER, NoChildren
from tests.processes import alive, eventually, executable

PROCEDURE = ACTIONS["procedure"]


class Checks:
    """The service's checks, as they answer one after the other."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = [*verdicts]
        self.asked: list[tuple[str, str]] = []

    async def verdict(self, service: str, check: str) -> Verdict:
        self.asked.append((service, check))
        return self.verdicts.pop(0)

    async def restart_upstream(self, order: Restart) -> ActionOutcome:
        raise AssertionError("a procedure restarts nothing else")


async def run(*steps: dict[str, Any], reach: Checks | None = None, **options: Any) -> ActionOutcome:
    made = Procedure(PROCEDURE.options.model_validate({"steps": steps, **options}), NoChildren())  # type: ignore[arg-type]
    if reach is not None:
        made.use(reach, None)
    return await made.perform(ORDER)


def step(folder: Path, called: str, text: str = "", **more: Any) -> dict[str, Any]:
    """A step whose program notes that it ran."""
    program = executable(folder / called, f"#!/bin/sh\necho {called} >> {folder}/ran\n{text}\n")
    return {"command": [str(program)], **more}


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


async def test_the_steps_run_in_order_and_the_evidence_has_a_line_of_each(tmp_path: Path) -> None:
    outcome = await run(
        step(tmp_path, "stop", "echo stopped two workers"),
        step(tmp_path, "clean", "echo freed 3 GiB >&2", name="free the disk"),
        step(tmp_path, "start"),
    )
    assert (outcome.outcome, outcome.detail) == (Outcome.DONE, "3 of 3 steps were run")
    assert ran(tmp_path) == ["stop", "clean", "start"]
    lines = outcome.evidence["procedure"].splitlines()
    assert [line.rpartition(" (")[0] for line in lines] == [
        "1. stop: exit code 0: stopped two workers",
        "2. free the disk: exit code 0: freed 3 GiB",
        "3. start: exit code 0",
    ]
    assert outcome.evidence["1. stop: output"] == "stopped two workers"
    assert outcome.evidence["2. free the disk: errors"] == "freed 3 GiB"


async def test_the_first_failure_ends_it(tmp_path: Path) -> None:
    outcome = await run(step(tmp_path, "a"), step(tmp_path, "b", "echo no lock >&2; exit 3"), step(tmp_path, "c"))
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "2. b: exit code 3: no lock")
    assert ran(tmp_path) == ["a", "b"]
    assert outcome.evidence["procedure"].endswith("1 more not begun")


async def test_a_failure_that_may_happen_does_not(tmp_path: Path) -> None:
    outcome = await run(step(tmp_path, "a", "exit 3", on_failure="go_on"), step(tmp_path, "b"))
    assert outcome.outcome is Outcome.DONE
    assert ran(tmp_path) == ["a", "b"]
    assert "1. a: exit code 3" in outcome.evidence["procedure"]


async def test_a_step_that_hangs_is_killed_with_its_group_and_told(tmp_path: Path) -> None:
    hangs = step(tmp_path, "a", f"sleep 60 & echo $! >{tmp_path}/pid\nwait", timeout="400ms")
    outcome = await run(hangs, step(tmp_path, "b"))
    assert (outcome.outcome, outcome.detail) == (Outcome.TIMEOUT, "1. a: did not end within 400ms, and was killed")
    assert ran(tmp_path) == ["a"]
    pid = int((tmp_path / "pid").read_text())
    await eventually(lambda: not alive(pid))  # what is killed still has to die


@pytest.mark.parametrize(
    ("when", "runs", "said"),
    [
        pytest.param({"file_exists": "{here}/there"}, True, "", id="the file is there"),
        pytest.param({"file_exists": "{here}/gone"}, False, "there is no {here}/gone", id="the file is not there"),
        pytest.param({"file_missing": "{here}/gone"}, True, "", id="the file is missing"),
        pytest.param({"file_missing": "{here}/there"}, False, "{here}/there is there", id="the file is not missing"),
        pytest.param({"exit_code": 3}, True, "", id="the code before"),
        pytest.param({"exit_code": [0, 3]}, True, "", id="one of several codes"),
        pytest.param({"exit_code": 0}, False, "the last exit code was 3", id="another code"),
        pytest.param({"command_fails": ["/bin/false"]}, True, "", id="a program that fails"),
        pytest.param({"command_fails": ["/bin/true"]}, False, "true succeeded", id="one that does not"),
        pytest.param({"command_succeeds": ["/bin/true"]}, True, "", id="a program that succeeds"),
        pytest.param({"command_succeeds": ["/bin/false"]}, False, "false failed", id="one that fails"),
        pytest.param({"command_fails": ["/no/such"]}, False, "there is no program /no/such", id="who can't tell"),
        pytest.param(
            {"exit_code": 3, "file_exists": "{here}/gone"}, False, "there is no {here}/gone", id="both must be so"
        ),
    ],
)
async def test_a_step_is_left_out_unless_its_condition_is_met(
    tmp_path: Path, when: dict[str, Any], runs: bool, said: str
) -> None:
    (tmp_path / "there").touch()
    filled = {key: value.format(here=tmp_path) if isinstance(value, str) else value for key, value in when.items()}
    first = step(tmp_path, "a", "exit 3", on_failure="go_on")
    outcome = await run(first, step(tmp_path, "b", **{"if": filled}))
    assert outcome.outcome is Outcome.DONE
    assert ("b" in ran(tmp_path)) is runs
    if said:
        assert f"2. b: left out, as {said.format(here=tmp_path)}" in outcome.evidence["procedure"]


@pytest.mark.parametrize(
    ("when", "verdict", "runs"),
    [
        pytest.param({"check_fails": "http"}, Verdict.FAIL, True, id="it fails"),
        pytest.param({"check_fails": "http"}, Verdict.PASS, False, id="it passes again"),
        pytest.param({"check_passes": "http"}, Verdict.WARN, True, id="a warning passes"),
        pytest.param({"check_fails": "http"}, Verdict.UNKNOWN, False, id="nobody can tell: nothing more is done"),
        pytest.param({"check_passes": "http"}, Verdict.UNKNOWN, False, id="nobody can tell whether it passes"),
    ],
)
async def test_a_check_of_the_service_is_run_anew_between_the_steps(
    tmp_path: Path, when: dict[str, str], verdict: Verdict, runs: bool
) -> None:
    checks = Checks(verdict)
    await run(step(tmp_path, "a"), step(tmp_path, "b", **{"if": when}), reach=checks)
    assert ("b" in ran(tmp_path)) is runs
    assert checks.asked == [("photos", "http")]


async def test_where_nothing_was_to_be_done_it_has_failed_so_that_the_next_step_of_the_ladder_is_tried(
    tmp_path: Path,
) -> None:
    outcome = await run(step(tmp_path, "a", **{"if": {"file_exists": f"{tmp_path}/gone"}}))
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "nothing was done: no step's condition was met")


async def test_each_program_knows_the_order_and_no_secret_of_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-secret")
    outcome = await run(step(tmp_path, "a", "env"), env={"COLOUR": "blue"})
    said = outcome.evidence["1. a: output"]
    assert "CODEBLUE_SERVICE=photos" in said
    assert "COLOUR=blue" in said
    assert "xoxb" not in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param({"steps": []}, "at least 1", id="no step"),
        pytest.param({"steps": [{"command": ["ls"]}]}, "no absolute path", id="a relative path"),
        pytest.param({"steps": [{"command": "/bin/ls -l"}]}, "tuple", id="a text for a shell"),
        pytest.param({"steps": [{"command": ["/bin/ls"], "if": {"exit_code": 0}}]}, "first step", id="a code of none"),
        pytest.param(
            {"steps": [{"command": ["/bin/ls"], "timeout": "5m"}] * 2}, "10m together", id="longer than an order lives"
        ),
        pytest.param({"steps": [{"command": ["/bin/ls"], "if": {"file_exists": "x"}}]}, "absolute", id="some file"),
    ],
)
def test_what_could_not_be_meant_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PROCEDURE.options.model_validate(written)
