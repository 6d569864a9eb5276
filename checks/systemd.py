"""The systemd check: is the unit running, in systemd's own words?

A unit that is still starting is never a failure, and one that an operator has masked is none either: a restart
would fight systemd, or the operator.
"""

from typing import Annotated

from pydantic import Field

from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType, Options
from agent.systemctl import SYSTEMCTL, Scope, show_unit
from agent.units import NoUnit, Unit, UnitName


class SystemdOptions(Options):
    """A unit and where to look for it."""

    unit: UnitName = Field(description="The unit's name; .service is added where there is no type", examples=["nginx"])
    scope: Scope = Field(default="system", description="The system's manager, or that of the agent's own user")
    crash_loop: Annotated[int, Field(ge=0)] = Field(
        default=5,
        description="Fails when systemd waits to restart the unit and has done so this many times already; 0: never",
    )
    systemctl: str = Field(default=SYSTEMCTL, description="Where systemctl is")


async def run(options: SystemdOptions, ctx: CheckContext) -> CheckResult:
    """PASS: active. WARN: starting, reloading or stopping, or running though masked. FAIL: failed, inactive, not
    installed, or crashing over and over. UNKNOWN: masked by an operator, or no systemd to ask."""
    try:
        grace = min(0.5, ctx.timeout / 5)
        unit = await show_unit(
            options.unit, scope=options.scope, program=options.systemctl, timeout=ctx.timeout - 2 * grace
        )
    except NoUnit as failure:
        return ctx.unknown(failure.reason, str(failure))
    return judge(unit, options.crash_loop, ctx)


def judge(unit: Unit, crash_loop: int, ctx: CheckContext) -> CheckResult:
    """What a unit's state means."""
    text, values = unit.describe(), _values(unit)
    match unit.active:
        case "active" | "refreshing" if unit.masked:
            return ctx.warned("masked", f"{text}: it will not start again", values=values)
        case "active" | "refreshing":
            return ctx.passed(text, values=values)
        case "activating" if unit.sub == "auto-restart" and 0 < crash_loop <= unit.restarts:
            return ctx.failed("crash_loop", text, values=values)
        case "activating":
            return ctx.warned("starting", text, values=values)
        case "reloading":
            return ctx.warned("reloading", text, values=values)
        case "deactivating":
            return ctx.warned("stopping", text, values=values)
    if unit.masked:
        return ctx.unknown("masked", f"{text}: an operator wants it off", values=values)
    if unit.load == "not-found":
        return ctx.failed("not_found", f"{unit.name} is not installed", values=values)
    if unit.load != "loaded":
        return ctx.failed("not_loaded", f"{text}: {unit.load} {unit.load_error}".rstrip(), values=values)
    match unit.active:
        case "failed":
            return ctx.failed("failed", text, values=values)
        case "inactive":
            why = "" if unit.condition else ": a condition of it is not met"
            return ctx.failed("inactive", text + why, values=values)
        case _:
            return ctx.unknown("state", f"{text}: a state that this check does not know", values=values)


def _values(unit: Unit) -> dict[str, float]:
    """restarts (since it was last started by hand), exit_status, memory in bytes."""
    figures = {"restarts": unit.restarts, "exit_status": unit.exit_code, "memory": unit.memory}
    return {name: float(figure) for name, figure in figures.items() if figure is not None}


SYSTEMD = CheckType(
    name="systemd",
    options=SystemdOptions,
    run=run,
    short="unit",
    about="Asks systemd whether a unit is running, and how it ended if not.",
    keeps_time=True,
    local=True,
)
