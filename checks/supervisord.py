"""The supervisord check: is the program running, in supervisord's own words?"""

from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType
from agent.supervisor_api import NoProgram, Program, SupervisordTarget, info

_FAILED = frozenset({"STOPPED", "BACKOFF", "EXITED", "FATAL"})
_PASSING_BY = frozenset({"STARTING", "STOPPING"})


async def run(options: SupervisordTarget, ctx: CheckContext) -> CheckResult:
    """PASS: RUNNING. WARN: STARTING or STOPPING. FAIL: BACKOFF, FATAL, EXITED, STOPPED, or no such program. UNKNOWN:
    no supervisord to ask, or it does not know."""
    try:
        program = await info(options, 0.9 * ctx.timeout)
    except NoProgram as trouble:
        if trouble.reason == "not_found":
            return ctx.failed("not_found", f"supervisord has no program {options.program}")
        return ctx.unknown(trouble.reason, str(trouble))
    return judge(program, ctx)


def judge(program: Program, ctx: CheckContext) -> CheckResult:
    """What a program's state means."""
    text, values = program.describe(), _values(program)
    if program.state == "RUNNING":
        return ctx.passed(text, values=values)
    if program.state in _PASSING_BY:
        return ctx.warned(program.state.lower(), text, values=values)
    if program.state in _FAILED:
        return ctx.failed(program.state.lower(), text, values=values)
    return ctx.unknown("state", f"{text}: a state that this check does not know", values=values)


def _values(program: Program) -> dict[str, float]:
    """uptime in seconds of one that runs, exit_status of one that ended by itself."""
    if program.state == "RUNNING":
        return {"uptime": program.uptime.total_seconds()}
    return {"exit_status": float(program.exit_status)} if program.state in ("EXITED", "BACKOFF", "FATAL") else {}


SUPERVISORD = CheckType(
    name="supervisord",
    options=SupervisordTarget,
    run=run,
    short="program",
    about="Asks supervisord whether a program is running, and how it ended if not.",
    keeps_time=True,
    local=True,
)
