"""The dependencies action: restarts what a service depends on, in order, and then the service itself."""

import asyncio
from dataclasses import replace

from agent.core.commands import Outcome, Restart
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options, Reach, Remediator

LONGEST = 540.0  # seconds for all of it: an order is given up after ten minutes


class DependenciesOptions(Options):
    """Nothing to say: `depends_on` says what there is, and each restart is that of its own service."""


class DependenciesRestart:
    """Each dependency that may be restarted, the topmost first and the next only when its checks pass, then the service
    itself by the first plain restart of its ladder. A dependency that may not be restarted now ends it."""

    def __init__(self, options: DependenciesOptions, children: ChildProcesses) -> None:  # noqa: ARG002 - ActionType.build
        self._reach: Reach | None = None
        self._own: Remediator | None = None

    def use(self, reach: Reach, own: Remediator | None) -> None:
        self._reach, self._own = reach, own

    async def perform(self, order: Restart) -> ActionOutcome:
        if self._reach is None or self._own is None:
            return ActionOutcome(outcome=Outcome.FAILED, detail="the ladder has no restart of the service itself")
        try:
            async with asyncio.timeout(LONGEST):
                upstream = await self._reach.restart_upstream(order)
        except TimeoutError:
            return ActionOutcome(outcome=Outcome.TIMEOUT, detail=f"not all were well within {LONGEST:g} s")
        if upstream.outcome is not Outcome.DONE:
            return upstream
        own = await self._own.perform(order)
        return replace(own, evidence={**upstream.evidence, **own.evidence})


DEPENDENCIES = ActionType(
    name="dependencies",
    options=DependenciesOptions,
    build=DependenciesRestart,
    reaches=True,
    about="A step of a ladder: restarts what the service depends on, in order and each verified, then the service.",
)
