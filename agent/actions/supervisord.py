"""The supervisord action: restarts a program, unless somebody stopped it or it is still starting."""

import asyncio
from datetime import datetime, timedelta
from time import monotonic
from typing import Annotated, Literal

from annotated_types import Gt
from pydantic import Field

from agent.actions.refusal import Refusal, too_young
from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.durations import Duration
from agent.evidence import add_processes, program_pids
from agent.ports import ActionOutcome, ActionType, ChildProcesses
from agent.supervisor_api import NoProgram, Program, SupervisordTarget, call, info, last_lines

LOOK = 2.0  # seconds that each look at the program may take
LINES = 20
_ALIVE = ("RUNNING", "BACKOFF")  # to be stopped before they are started


class SupervisordOptions(SupervisordTarget):
    """A program and how it is restarted."""

    verb: Literal["restart", "reload", "start", "stop"] = Field(
        default="restart",
        description="What is asked of supervisord; reload sends SIGHUP. A step after one that stops it needs "
        "`when_stopped: start`",
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30),
        description="How long stopping and starting it may take together: more than its stopwaitsecs and startsecs",
    )
    when_stopped: Literal["leave", "start"] = Field(
        default="leave",
        description="What to do with a program that is STOPPED, as after `supervisorctl stop` or with autostart=false: "
        "leave it to people, or start it all the same",
    )


class SupervisordRestart:
    """`supervisorctl restart`, with the program's state and the last lines of its logs taken before. supervisord has
    no such order, so it is told to stop and then to start; an agent that dies between the two leaves it STOPPED, and
    the order after the interrupted one starts it."""

    def __init__(self, options: SupervisordOptions, children: ChildProcesses) -> None:  # noqa: ARG002 - ActionType.build
        self._options = options
        self._stopped: datetime | None = None  # the life (by its start) that we stopped and did not start again

    async def perform(self, order: Restart) -> ActionOutcome:
        """Look, take evidence (5 s with the look), look again, as an operator may have been quicker, restart and look:
        `timeout` + 2 * `LOOK` + 5 seconds at most, usually hardly more than supervisord itself takes."""
        began = monotonic()
        evidence: dict[str, str] = {}
        try:
            before = await info(self._options, LOOK)
            evidence = {"program": before.describe()} | await self._logs()
            if not self._refusal(before, order):
                pids = program_pids(before.pid, before.started, before.now)
                evidence = await add_processes(evidence, pids, began=began)
                before = await info(self._options, LOOK)
        except NoProgram as trouble:
            outcome = Outcome.TIMEOUT if trouble.reason == "timeout" else Outcome.FAILED
            return ActionOutcome(outcome=outcome, detail=f"not restarted: {trouble}", evidence=evidence)
        if no := self._refusal(before, order):
            return ActionOutcome(outcome=no.outcome, detail=f"{before.describe()}: {no.why}", evidence=evidence)
        outcome, detail = await self._restart(before)
        return ActionOutcome(outcome=outcome, detail=detail, evidence=evidence)

    def _refusal(self, program: Program, order: Restart) -> Refusal | None:
        """Why a program in this state is not restarted now; None when it may be."""
        match program.state:
            case "STARTING":
                return Refusal("it is still starting", passing=True)
            case "STOPPING":
                return Refusal("it is being stopped", passing=True)
            case "STOPPED" if self._options.when_stopped == "leave" and not self._ours(program, order):
                return Refusal("stopped on purpose or never started, so left alone (when_stopped: start changes that)")
            case "RUNNING":
                return too_young(program.uptime, order.grace)
            case "BACKOFF" | "EXITED" | "FATAL" | "STOPPED":
                return None
            case _:
                return Refusal("supervisord itself does not know its state")

    def _ours(self, program: Program, order: Restart) -> bool:
        """Whether it was stopped for a restart of ours that did not come to its end: in this life of the agent, or
        (supervisord counts whole seconds) after an order that a kill of the agent interrupted."""
        if self._stopped is not None and self._stopped == program.started:
            return True
        began = order.interrupted_at
        return began is not None and program.ended is not None and program.ended >= began.replace(microsecond=0)

    async def _restart(self, before: Program) -> tuple[Outcome, str]:
        ends = monotonic() + self._options.timeout.total_seconds()
        verb, alive = self._options.verb, before.state in _ALIVE
        try:
            if verb in ("restart", "stop") and alive:
                self._stopped = before.started if verb == "restart" else None
                await self._tell("stopProcess", ends)
            if verb == "restart" or (verb == "start" and not alive):
                await self._tell("startProcess", ends)
            if verb == "reload":
                await self._signal("HUP", ends)
        except NoProgram as trouble:
            state = await self._state()
            if trouble.reason != "timeout":
                return Outcome.FAILED, f"{trouble}; {state}"
            waited = format_duration(self._options.timeout)
            return Outcome.TIMEOUT, f"supervisord did not {verb} it within {waited}; {state}"
        self._stopped = None
        try:
            after = await info(self._options, LOOK)
        except NoProgram as trouble:
            return Outcome.DONE, str(trouble)
        if verb == "restart" and after.pid and (after.pid, after.started) == (before.pid, before.started):
            return Outcome.FAILED, f"the process was not replaced; {after.describe()}"
        return Outcome.DONE, after.describe()

    async def _tell(self, method: str, ends: float) -> None:
        """Give an order and wait until it is carried out, for as long as there is time."""
        await call(self._options, method, self._options.program, True, timeout=max(0.0, ends - monotonic()))

    async def _signal(self, name: str, ends: float) -> None:
        await call(self._options, "signalProcess", self._options.program, name, timeout=max(0.0, ends - monotonic()))

    async def _state(self) -> str:
        try:
            return (await info(self._options, LOOK)).describe()
        except NoProgram as trouble:
            return str(trouble)

    async def _logs(self) -> dict[str, str]:
        """The last lines of both logs; nothing where there is no log to read."""
        out, err = await asyncio.gather(self._log("Stdout"), self._log("Stderr"))
        return ({"program stdout": out} if out else {}) | ({"program stderr": err} if err else {})

    async def _log(self, stream: str) -> str:
        try:
            return (await last_lines(self._options, stream, LINES, LOOK)).strip()
        except NoProgram:
            return ""


SUPERVISORD = ActionType(
    name="supervisord",
    options=SupervisordOptions,
    build=SupervisordRestart,
    short="program",
    about="Restarts a program that supervisord runs, unless it was stopped on purpose or is still starting.",
)
