"""The procedure action: several programs in order, with conditions between them, as a page of a runbook has them."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from annotated_types import Gt
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from agent.actions.command import last_line, order_facts
from agent.argv import AbsoluteArgv, ArgvResult, run_argv
from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.core.result import Verdict
from agent.durations import Duration
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options, Reach, Remediator
from agent.subprocesses import describe_exit

LIMIT = 4_096  # bytes of each output that are kept as evidence
MOST = 20  # steps
LONGEST = timedelta(minutes=9)  # of all steps together: an order is given up after ten minutes
ASK = 10.0  # seconds that a program of a condition may take


def _absolute(path: str) -> str:
    if not Path(path).is_absolute() or "\0" in path:
        raise ValueError(f"{path!r} is no absolute path")
    return path


def _codes(value: object) -> object:
    return [value] if isinstance(value, int) else value


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
ExitCodes = Annotated[
    tuple[Annotated[int, Field(ge=0, le=255)], ...],
    BeforeValidator(_codes),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
]


class Condition(Options):
    """When a step is run: all that is said here must be so."""

    file_exists: AbsolutePath | None = Field(default=None, description="There is such a file or folder")
    file_missing: AbsolutePath | None = Field(default=None, description="There is none")
    exit_code: ExitCodes | None = Field(
        default=None, description="The last step that ran ended with it, or with one of them"
    )
    check_fails: str | None = Field(default=None, description="This check of the service fails when it is run now")
    check_passes: str | None = Field(default=None, description="It passes when it is run now")
    command_fails: AbsoluteArgv | None = Field(default=None, description="This program ends with another code than 0")
    command_succeeds: AbsoluteArgv | None = Field(default=None, description="This program ends with 0, within 10 s")


class ProcedureStep(Options):
    """One program of a procedure."""

    command: AbsoluteArgv = Field(description="The program's absolute path, and its arguments one by one")
    name: str = Field(default="", description="What it is for, in the evidence; the program's name otherwise")
    when: Condition = Field(
        default=Condition(), alias="if", description="Run only if all of this is so; else it is left out"
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30), description="How long it may take; then it is ended with all that it started"
    )
    on_failure: Literal["stop", "go_on"] = Field(
        default="stop", description="Another exit code than 0 ends the procedure, which has failed, or does not"
    )


class ProcedureOptions(Options):
    """The steps, in order. Each program gets a clean environment and what the command action's gets of the order."""

    steps: tuple[ProcedureStep, ...] = Field(
        min_length=1, max_length=MOST, description="At most 20, and at most 9 minutes together"
    )
    cwd: str | None = Field(default=None, description="Where they run; the agent's own folder if there is none")
    env: Mapping[str, str] = Field(default_factory=dict, description="Added to the clean environment")

    @model_validator(mode="after")
    def _short_enough(self) -> Self:
        asked = sum(bool(argv) for step in self.steps for argv in (step.when.command_fails, step.when.command_succeeds))
        longest = sum((step.timeout for step in self.steps), timedelta(seconds=asked * ASK))
        if longest > LONGEST:
            raise ValueError(
                f"its steps may take {format_duration(longest)} together: expected at most {format_duration(LONGEST)}"
            )
        if self.steps[0].when.exit_code is not None:
            raise ValueError("the first step can't depend on an exit_code: nothing has run before it")
        return self

    @property
    def checks_named(self) -> Iterator[str]:
        """The checks that conditions ask for."""
        for step in self.steps:
            yield from (name for name in (step.when.check_fails, step.when.check_passes) if name)

    @property
    def programs(self) -> Iterator[str]:
        """Every program that may be run."""
        for step in self.steps:
            for argv in (step.when.command_fails, step.when.command_succeeds, step.command):
                if argv:
                    yield argv[0]


@dataclass(slots=True)
class _Protocol:
    """What has been done so far: a line for each step, and what each said."""

    lines: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)
    ran: int = 0
    last: int | None = None  # exit code of the last step that ran

    def finish(self, outcome: Outcome, detail: str) -> ActionOutcome:
        return ActionOutcome(
            outcome=outcome, detail=detail, evidence={"procedure": "\n".join(self.lines), **self.evidence}
        )


class Procedure:
    """Runs the steps in order, leaves out those whose condition is not met, and stops at the first that fails, unless
    that one says otherwise. DONE says that the last was reached and at least one was run."""

    def __init__(self, options: ProcedureOptions, children: ChildProcesses) -> None:  # noqa: ARG002 - ActionType.build
        self._options = options
        self._reach: Reach | None = None

    def use(self, reach: Reach, own: Remediator | None) -> None:  # noqa: ARG002 - ports.Reaching
        self._reach = reach

    async def perform(self, order: Restart) -> ActionOutcome:
        so_far = _Protocol()
        for number, step in enumerate(self._options.steps, 1):
            name = f"{number}. {step.name or Path(step.command[0]).name}"
            if unmet := await self._unmet(step.when, so_far, order):
                so_far.lines.append(f"{name}: left out, as {unmet}")
                continue
            result = await self._run(step.command, step.timeout.total_seconds(), order)
            so_far.ran += 1
            so_far.last = result.exit_code
            ended, how = _ended(result, step)
            so_far.lines.append(f"{name}: {how} ({result.took:.1f} s)")
            _keep(so_far, name, result)
            if ended is not Outcome.DONE and step.on_failure == "stop":
                left = len(self._options.steps) - number
                so_far.lines += [f"{left} more not begun"] if left else []
                return so_far.finish(ended, f"{name}: {how}")
        if not so_far.ran:
            return so_far.finish(Outcome.FAILED, "nothing was done: no step's condition was met")
        return so_far.finish(Outcome.DONE, f"{so_far.ran} of {len(self._options.steps)} steps were run")

    async def _unmet(self, when: Condition, so_far: _Protocol, order: Restart) -> str:
        """Why a step is left out; empty when it is to be run. The cheap conditions come first."""
        if when.file_exists and not await _there(when.file_exists):
            return f"there is no {when.file_exists}"
        if when.file_missing and await _there(when.file_missing):
            return f"{when.file_missing} is there"
        if when.exit_code is not None and so_far.last not in when.exit_code:
            return f"the last exit code was {so_far.last}" if so_far.last is not None else "no step has ended before it"
        for check, wanted in ((when.check_fails, False), (when.check_passes, True)):
            if check and (said := await self._check(order.service, check, wanted)):
                return said
        for argv, wanted in ((when.command_fails, False), (when.command_succeeds, True)):
            if argv and (said := await self._asked(argv, order, wanted)):
                return said
        return ""

    async def _check(self, service: str, check: str, wanted: bool) -> str:
        verdict = await self._reach.verdict(service, check) if self._reach else Verdict.UNKNOWN
        if verdict is Verdict.UNKNOWN:
            return f"{check} can't tell now"
        passes = verdict is not Verdict.FAIL
        return "" if passes is wanted else f"{check} {'passes' if passes else 'fails'}"

    async def _asked(self, argv: AbsoluteArgv, order: Restart, wanted: bool) -> str:
        result = await self._run(argv, ASK, order)
        program = Path(argv[0]).name
        if result.error or result.timed_out:
            return result.message or f"{program} did not say it within {ASK:g} s"
        return "" if (result.exit_code == 0) is wanted else f"{program} {'failed' if wanted else 'succeeded'}"

    async def _run(self, argv: AbsoluteArgv, timeout: float, order: Restart) -> ArgvResult:
        options = self._options
        env = {**options.env, **order_facts(order)}
        return await run_argv(argv, timeout=timeout, cwd=options.cwd, env=env, limit=LIMIT, keep_group=True)


async def _there(path: str) -> bool:
    return await asyncio.to_thread(os.path.exists, path)  # a file system that hangs must not hold up the agent


def _ended(result: ArgvResult, step: ProcedureStep) -> tuple[Outcome, str]:
    if result.error:
        return Outcome.FAILED, result.message
    if result.timed_out:
        return Outcome.TIMEOUT, f"did not end within {format_duration(step.timeout)}, and was killed"
    code = result.exit_code if result.exit_code is not None else -(result.signal or 0)
    said = last_line(result.stderr) or last_line(result.stdout)
    return Outcome.DONE if code == 0 else Outcome.FAILED, describe_exit(code) + (f": {said}" if said else "")


def _keep(so_far: _Protocol, name: str, result: ArgvResult) -> None:
    for stream, output in (("output", result.stdout), ("errors", result.stderr)):
        if output.strip():
            so_far.evidence[f"{name}: {stream}"] = output.decode("utf-8", "replace").strip()


PROCEDURE = ActionType(
    name="procedure",
    options=ProcedureOptions,
    build=Procedure,
    short="steps",
    reaches=True,
    about="Runs several programs in order, each on its condition, and stops at the first that fails.",
)
