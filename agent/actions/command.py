"""The command action: restarts a service by running a program."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from annotated_types import Gt
from pydantic import Field

from agent.argv import AbsoluteArgv, ArgvResult, run_argv
from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.durations import Duration
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options
from agent.subprocesses import describe_exit

LIMIT = 65_536  # bytes of each output that are kept as evidence


class CommandOptions(Options):
    """A program and how it is run. It gets a clean environment (PATH, HOME, LANG=C.UTF-8 and the like) and the order:
    CODEBLUE_ORDER (its key, the same if it were ever run twice), CODEBLUE_SERVICE, CODEBLUE_INCIDENT and
    CODEBLUE_ATTEMPT (1 for an incident's first)."""

    argv: AbsoluteArgv = Field(
        description="The program's absolute path, and its arguments one by one; no shell reads them"
    )
    env: Mapping[str, str] = Field(default_factory=dict, description="Added to the clean environment")
    cwd: str | None = Field(default=None, description="Its working directory; the agent's own if there is none")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30), description="How long it may take; then it is ended with all that it started"
    )


class CommandRestart:
    """Runs the program; exit code 0 is DONE. What it leaves running in the background is left alone, but must not hold
    its output: that has no reader once the program has ended, and a writer of it dies of SIGPIPE."""

    def __init__(self, options: CommandOptions, children: ChildProcesses) -> None:  # noqa: ARG002 - ActionType.build
        self._options = options

    async def perform(self, order: Restart) -> ActionOutcome:
        options = self._options
        result = await run_argv(
            options.argv,
            timeout=options.timeout.total_seconds(),
            cwd=options.cwd,
            env={**options.env, **order_facts(order)},
            limit=LIMIT,
            keep_group=True,
        )
        outcome, detail = self._judge(result)
        return ActionOutcome(outcome=outcome, detail=detail, evidence=_outputs(result))

    def _judge(self, result: ArgvResult) -> tuple[Outcome, str]:
        program = Path(self._options.argv[0]).name
        if result.error:
            return Outcome.FAILED, result.message
        if result.timed_out:
            return Outcome.TIMEOUT, f"{program} did not end within {format_duration(self._options.timeout)}"
        code = result.exit_code if result.exit_code is not None else -(result.signal or 0)
        said = last_line(result.stderr) or last_line(result.stdout)
        detail = f"{program}: {describe_exit(code)}" + (f": {said}" if said else "")
        if code != 0:
            return Outcome.FAILED, detail
        if result.held:
            detail += " (what it left running still has its output open and may die of that: redirect it)"
        return Outcome.DONE, detail


def order_facts(order: Restart) -> Mapping[str, str]:
    """What a program is told of the order, in its environment."""
    return {
        "CODEBLUE_ORDER": order.key,
        "CODEBLUE_SERVICE": order.service,
        "CODEBLUE_INCIDENT": order.incident,
        "CODEBLUE_ATTEMPT": str(order.attempt),
    }


def last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


def _outputs(result: ArgvResult) -> Mapping[str, str]:
    texts = {"command output": result.stdout, "command stderr": result.stderr}
    return {name: text.decode("utf-8", "replace") for name, text in texts.items() if text.strip()}


COMMAND = ActionType(
    name="command",
    options=CommandOptions,
    build=CommandRestart,
    short="argv",
    about="Restarts a service by running a program.",
)
