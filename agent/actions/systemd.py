"""The systemd action: restarts a unit, unless systemd or an operator has better reasons.

It never fights an operator: a masked unit is not touched, nor one that somebody stopped, nor one that is still
starting or stopping. Who ended a unit is told by systemd's journal, as its properties don't say it: a unit that was
stopped may be "failed" (a Java program ends with 143), or as good as unknown (systemd forgets what nothing needs).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal, Self

from annotated_types import Gt
from pydantic import Field, model_validator

from agent.actions.refusal import Refusal, too_young
from agent.argv import ArgvResult, run_argv
from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.durations import Duration
from agent.evidence import Identity, add_processes, same_process, unit_files, unit_pids, unit_process
from agent.evidence.proc import HOST, Host
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options
from agent.systemctl import (
    JOURNALCTL,
    SYSTEMCTL,
    Job,
    Scope,
    bus_environment,
    complaint,
    last_job,
    order_argv,
    show_unit,
    systemctl,
)
from agent.units import NoUnit, Unit, UnitName

LOOK = 2.0  # seconds that the evidence may take
LINES = 20


class SystemdOptions(Options):
    """A unit and how it is restarted."""

    unit: UnitName = Field(description="The unit's name; .service is added where there is no type")
    scope: Scope = Field(default="system", description="The system's manager, or that of the agent's own user")
    verb: Literal["restart", "reload", "start", "stop", "reset-failed"] = Field(
        default="restart", description="What is asked of systemd"
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30), description="How long systemctl may take; the unit's own job goes on after it"
    )
    when_stopped: Literal["leave", "start"] = Field(
        default="leave",
        description="What to do with a unit that ended in good order or is disabled, as after `systemctl stop`: "
        "leave it to people, or start it all the same",
    )
    sudo: str = Field(
        default="",
        description="Where sudo is (/usr/bin/sudo), for hosts without polkit: the order, and nothing else, is given "
        "through it; `codeblue install --sudo` writes the sudoers lines",
    )
    systemctl: str = Field(default=SYSTEMCTL, description="Where systemctl is")
    journalctl: str = Field(default=JOURNALCTL, description="Where journalctl is")

    @model_validator(mode="after")
    def _sudo_knows_what_it_allows(self) -> Self:
        if self.sudo and not all(Path(program).is_absolute() for program in (self.sudo, self.systemctl)):
            raise ValueError("with sudo, both it and systemctl must be absolute paths, as in /usr/bin/sudo")
        if self.sudo and self.scope == "user":
            raise ValueError("sudo is for units of the system: a user's own need no leave")
        return self


class SystemdRestart:
    """`systemctl restart`, with the unit's state and its last journal lines taken before."""

    def __init__(
        self,
        options: SystemdOptions,
        children: ChildProcesses,  # noqa: ARG002 - ActionType.build
        host: Host = HOST,
    ) -> None:
        self._options = options
        self._host = host

    async def perform(self, order: Restart) -> ActionOutcome:
        """Look, take evidence (5 s with the look), look again, as an operator may have been quicker, restart and look:
        `timeout` + 2 * `LOOK` + 5 seconds at most, usually hardly more than systemctl itself takes."""
        began = monotonic()
        before, job, journal = await asyncio.gather(self._look(), self._last_job(), self._journal())
        evidence = {"unit": before.describe() if isinstance(before, Unit) else str(before)}
        if journal:
            evidence["journal"] = journal
        if isinstance(before, Unit) and (no := refusal(before, job, self._options.when_stopped, order.grace)):
            return ActionOutcome(outcome=no.outcome, detail=no.why, evidence=evidence)
        evidence = await self._processes(evidence, began)
        before, job = await asyncio.gather(self._look(), self._last_job())
        if isinstance(before, Unit) and (no := refusal(before, job, self._options.when_stopped, order.grace)):
            return ActionOutcome(outcome=no.outcome, detail=no.why, evidence=evidence)
        outcome, detail = await self._restart(before)
        return ActionOutcome(outcome=outcome, detail=detail, evidence=evidence)

    async def _processes(self, evidence: Mapping[str, str], began: float) -> dict[str, str]:
        unit, scope = self._options.unit, self._options.scope
        pids, paths = await unit_pids(unit, scope, self._host), unit_files(unit, scope)
        return await add_processes(evidence, pids, began=began, cgroup=unit, paths=paths, host=self._host)

    async def _restart(self, before: Unit | NoUnit) -> tuple[Outcome, str]:
        options = self._options
        old = self._main(before)
        arguments, timeout = order_argv(options.verb, options.unit), options.timeout.total_seconds()
        result = await systemctl(options.systemctl, options.scope, *arguments, timeout=timeout, sudo=options.sudo)
        if result.error:
            return Outcome.FAILED, result.message
        after = await self._look()
        state = after.describe() if isinstance(after, Unit) else str(after)
        if result.timed_out:
            waited = format_duration(options.timeout)
            return Outcome.TIMEOUT, f"systemctl did not end within {waited}, its job may go on; {state}"
        if result.exit_code == 0 and options.verb == "restart" and same_process(old, self._main(after)):
            return Outcome.FAILED, f"the process was not replaced, it is still {old.pid if old else '?'}; {state}"
        if result.exit_code == 0:
            return Outcome.DONE, state
        return Outcome.FAILED, failure(result, after, state)

    def _main(self, unit: Unit | NoUnit) -> Identity | None:
        """The unit's main process; None where it has none, or one that /proc does not show as its own."""
        pid = unit.main_pid if isinstance(unit, Unit) else 0
        return unit_process(pid, self._options.unit, self._options.scope, self._host)

    async def _look(self) -> Unit | NoUnit:
        options = self._options
        try:
            return await show_unit(options.unit, scope=options.scope, program=options.systemctl, timeout=LOOK)
        except NoUnit as trouble:
            return trouble

    async def _last_job(self) -> Job | NoUnit | None:
        options = self._options
        return await last_job(options.unit, scope=options.scope, program=options.journalctl, timeout=LOOK)

    async def _journal(self) -> str:
        """The unit's last journal lines; empty where there is no journal to read."""
        options = self._options
        unit = "--user-unit" if options.scope == "user" else "--unit"
        argv = [options.journalctl, f"{unit}={options.unit}", f"--lines={LINES}", "--no-pager", "--quiet"]
        result = await run_argv(
            [*argv, "--output=short-iso"], timeout=LOOK, grace=0.1, env=bus_environment(options.scope)
        )
        return result.stdout.decode("utf-8", "replace").strip()


def refusal(unit: Unit, job: Job | NoUnit | None, when_stopped: str, grace: timedelta) -> Refusal | None:
    """Why a unit in this state, after this last job, is not restarted now; None when it may be."""
    if unit.masked:
        return Refusal(f"{unit.name} is masked: an operator wants it off")
    if unit.active == "activating" and unit.sub != "auto-restart":
        return Refusal(f"{unit.describe()}: it is still starting", passing=True)
    if unit.active == "deactivating":
        return Refusal(f"{unit.describe()}: it is still stopping", passing=True)
    if unit.active == "inactive" and unit.job:
        return Refusal(f"{unit.describe()}: systemd is about to start it", passing=True)
    if when_stopped == "leave" and unit.active in ("inactive", "failed") and (why := _stopped(unit, job)):
        return Refusal(f"{unit.describe()}: {why}, so left alone (when_stopped: start changes that)")
    age = None if unit.active_since is None else timedelta(seconds=monotonic() - unit.active_since)
    young = too_young(age, grace)
    return replace(young, why=f"{unit.describe()}: {young.why}") if young else None


def _stopped(unit: Unit, job: Job | NoUnit | None) -> str:
    """How somebody stopped the unit; empty if it ended by itself. Where the journal can't be read, anything that may
    have been a stop counts as one."""
    if unit.file_state == "disabled" and unit.active == "inactive":
        return "disabled"
    if isinstance(job, Job):
        return f"stopped on request at {job.at:%Y-%m-%d %H:%M:%S} UTC" if job.type == "stop" else ""
    if isinstance(job, NoUnit):
        if unit.stopped:
            return f"stopped in good order ({job})"
        if unit.forgotten and unit.file_state not in ("enabled", "enabled-runtime"):
            return f"perhaps stopped ({job})"
    elif unit.stopped:
        return "stopped in good order"
    return ""


def failure(result: ArgvResult, after: Unit | NoUnit, state: str) -> str:
    """What is known about a restart that systemd refused or that broke."""
    said = complaint(result)
    if isinstance(after, Unit) and after.start_limit_hit:
        return (
            f"systemd's own start limit is hit, it starts {after.name} no more until `systemctl reset-failed`; {said}"
        )
    return said if state == said else f"{said}; {state}"


SYSTEMD = ActionType(
    name="systemd",
    options=SystemdOptions,
    build=SystemdRestart,
    short="unit",
    about="Restarts a systemd unit, unless it is masked, starting, or stopped in good order.",
)
