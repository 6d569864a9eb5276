"""The command check: runs a program and reads it as a Nagios plugin.

Any of the plugins of monitoring-plugins.org and the thousands written like them will do, and any program that ends
with 0 for good, 1 for a warning, 2 for bad.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from agent.argv import AbsoluteArgv, ArgvResult, run_argv
from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType, Options
from agent.subprocesses import describe_exit
from checks.command_output import PluginOutput, parse_output, values_of

LIMIT = 262_144  # bytes of output that are read for figures
LONGEST_SUMMARY = 500
LONGEST_EVIDENCE = 4_096


class CommandOptions(Options):
    """A program and how it is run. It gets a clean environment (PATH, HOME, LANG=C.UTF-8 and the like)."""

    argv: AbsoluteArgv = Field(
        description="The program's absolute path, and its arguments one by one; no shell reads them"
    )
    env: Mapping[str, str] = Field(default_factory=dict, description="Added to the clean environment")
    cwd: str | None = Field(default=None, description="Its working directory; the agent's own if there is none")
    timeout_is: Literal["fail", "unknown"] = Field(
        default="fail",
        description="What a program that does not end in time says of its target: that it is bad, or nothing",
    )


async def run(options: CommandOptions, ctx: CheckContext) -> CheckResult:
    """Exit codes 0, 1 and 2 are PASS, WARN and FAIL; 3, any other code, a signal and a program that can't be started
    are UNKNOWN: they say nothing about the target. The first line up to a `|` is the summary, the performance data
    become values in seconds, bytes and ratios. A program that takes more than nine tenths of the check's time (or all
    of it but a second) is ended with all that it started: that too must be done in time."""
    grace = min(0.5, ctx.timeout / 20)
    result = await run_argv(
        options.argv, timeout=ctx.timeout - 2 * grace, grace=grace, cwd=options.cwd, env=options.env, limit=LIMIT
    )
    if result.error:
        return ctx.unknown(result.error, result.message)
    output = parse_output(result.stdout.decode("utf-8", "replace"))
    return _judge(options, ctx, result, output)


def _judge(options: CommandOptions, ctx: CheckContext, result: ArgvResult, output: PluginOutput) -> CheckResult:
    program = Path(options.argv[0]).name
    errors = result.stderr.decode("utf-8", "replace").strip()
    said = output.summary or next(iter(errors.splitlines()), "").strip() or f"{program} printed nothing"
    said = said[:LONGEST_SUMMARY]
    evidence = {"output": output.details[:LONGEST_EVIDENCE], "stderr": errors[:LONGEST_EVIDENCE]}
    more: dict[str, Mapping[str, Any]] = {"evidence": {name: text for name, text in evidence.items() if text}}
    if result.timed_out:
        text = f"{program} did not end within {result.took:.1f} s"
        return (ctx.failed if options.timeout_is == "fail" else ctx.unknown)("timeout", text, **more)
    more["values"] = values_of(output.data)
    if result.signal is not None:
        return ctx.unknown("signal", f"{program} was {describe_exit(-result.signal)}: {said}", **more)
    match result.exit_code:
        case 0:
            return ctx.passed(said, **more)
        case 1:
            return ctx.warned("warning", said, **more)
        case 2:
            return ctx.failed("critical", said, **more)
        case 3:
            return ctx.unknown("unknown", said, **more)
        case 126 | 127:
            return ctx.unknown(
                "not_run", f"{program} could not run what it needs (exit code {result.exit_code}): {said}", **more
            )
        case code:
            return ctx.unknown("exit_code", f"{program} ended with {code}, which means nothing: {said}", **more)


COMMAND = CheckType(
    name="command",
    options=CommandOptions,
    run=run,
    short="argv",
    about="Runs a program and reads its exit code and output as those of a Nagios plugin.",
    keeps_time=True,
)
