"""The processes that the agent supervises. They are started at boot, restarted on order, and stopped with the agent.

None is restarted because it ended: that is decided by checks, like everything else.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

import structlog

from agent.actions.child import Child, Ended, OnLine
from agent.actions.guarding import Guard
from agent.core.commands import Outcome
from agent.ports import ActionOutcome, ProcessSpec
from agent.subprocesses import NotStarted

log = structlog.get_logger()

SETTLE = 0.25  # seconds that a new process must live for its restart to be done


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    """One process: its id while it runs, how it ended last, and why it could not be started last."""

    pid: int | None
    ended: Ended | None
    trouble: str = ""


class Children:
    """See `agent.ports.ChildProcesses`. `on_line(name, stream, text)` gets every line that they print; it must be
    quick. To be used from one event loop, in a thread that lives as long as the agent."""

    def __init__(self, specs: Mapping[str, ProcessSpec], on_line: OnLine) -> None:
        self._on_line = on_line
        self._guard = Guard()
        self._children = {name: Child(spec, on_line, self._guard) for name, spec in specs.items()}
        self._trouble: dict[str, str] = {}

    def pid(self, name: str) -> int | None:
        child = self._children.get(name)
        return None if child is None else child.pid

    def evidence(self, name: str) -> Mapping[str, str]:
        """How a process stands ("process") and the last lines that it printed ("output"); empty for an unknown one."""
        child = self._children.get(name)
        return {} if child is None else child.evidence()

    def status(self) -> Mapping[str, ChildStatus]:
        """Every process by name."""
        return {
            name: ChildStatus(pid=child.pid, ended=child.ended, trouble=self._trouble.get(name, ""))
            for name, child in self._children.items()
        }

    async def start_all(self) -> None:
        """Start what does not run. One that can't be started is logged and left to its checks."""
        await asyncio.gather(*(self._start(child) for child in self._children.values()))

    async def settle(self, seconds: float) -> None:
        """Wait until each process that runs has printed something, that long at most: a service needs a moment between
        its start and its first answer, and a check within it would count as a missed beat."""
        await asyncio.gather(*(child.settles(seconds) for child in self._children.values()))

    async def stop_all(self) -> None:
        """Stop everything, each within its `stop_timeout` and a second. None of them runs afterwards."""
        await asyncio.gather(*(self._stop(child) for child in self._children.values()))
        await self._guard.end()

    async def reconfigure(self, specs: Mapping[str, ProcessSpec]) -> None:
        """Stop what is no longer named, restart what is described differently, start what is new. What is described
        as before is not touched."""
        old = self._children
        same = {name: child for name, child in old.items() if specs.get(name) == child.spec}
        fresh = {name: Child(spec, self._on_line, self._guard) for name, spec in specs.items() if name not in same}
        self._children = same | fresh
        self._trouble = {name: text for name, text in self._trouble.items() if name in same}
        await asyncio.gather(*(self._stop(child) for name, child in old.items() if name not in same))
        await asyncio.gather(*(self._start(child) for child in fresh.values()))

    async def restart(self, name: str, *, timeout: float) -> ActionOutcome:
        """Take evidence (5 s at most, besides `timeout`), stop it if it runs, start it, and see that it lives. DONE
        says no more than that: a new process lives, as the old one was reaped before."""
        child = self._children.get(name)
        if child is None:
            known = ", ".join(sorted(self._children)) or "none"
            return ActionOutcome(outcome=Outcome.FAILED, detail=f"there is no process {name} (there are: {known})")
        evidence = await _evidence(child)
        try:
            async with asyncio.timeout(timeout), child.lock:
                outcome, detail, more = await self._replace(child, min(child.spec.stop_timeout, timeout / 2))
        except TimeoutError:
            outcome, more = Outcome.TIMEOUT, {}
            detail = f"{name} was not restarted within {timeout:g} s"
        return ActionOutcome(outcome=outcome, detail=detail, evidence={**more, **evidence})

    async def _replace(self, child: Child, grace: float) -> tuple[Outcome, str, Mapping[str, str]]:
        before = child.pid
        await child.stop(grace)
        if child.pid is not None:  # uninterruptible sleep: a second one beside it would make things worse
            return Outcome.FAILED, f"process {child.pid} can't be stopped: it does not die of SIGKILL", {}
        try:
            await child.start()
        except NotStarted as failure:
            self._trouble[child.spec.name] = str(failure)
            return Outcome.FAILED, str(failure), {}
        self._trouble.pop(child.spec.name, None)
        if await child.lives(SETTLE):
            was = "it was not running" if before is None else f"it was {before}"
            return Outcome.DONE, f"{child.spec.name} is process {child.pid} now, {was}", {}
        said = f": {child.last_line()}" if child.last_line() else ""
        return Outcome.FAILED, f"the new {child.ended}{said}", {"output after the restart": child.output()}

    async def _start(self, child: Child) -> None:
        async with child.lock:
            if child.pid is not None:
                return
            try:
                await child.start()
                self._trouble.pop(child.spec.name, None)
            except NotStarted as failure:
                self._trouble[child.spec.name] = str(failure)
                log.error("process_not_started", process=child.spec.name, reason=failure.reason, error=str(failure))

    async def _stop(self, child: Child) -> None:
        async with child.lock:
            await child.stop(child.spec.stop_timeout)


async def _evidence(child: Child) -> Mapping[str, str]:
    """How it stands, and what is to be seen of its processes; of one that has ended, what is left to see."""
    from agent.evidence import add_processes  # half a MiB that only an agent with processes of its own needs

    began = monotonic()
    pid = child.pid or (child.ended.pid if child.ended else None)
    pids = [] if pid is None else [pid]
    return await add_processes(child.evidence(), pids, began=began, paths=child.spec.command)
