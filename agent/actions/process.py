"""The process action: restarts a process that the agent supervises itself."""

from datetime import timedelta
from typing import Annotated

from annotated_types import Gt
from pydantic import Field

from agent.core.commands import Restart
from agent.durations import Duration
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options


class ProcessOptions(Options):
    """Which of the supervised processes."""

    name: str = Field(min_length=1, description="Its name under `processes`")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30), description="How long stopping and starting it may take together"
    )


class ProcessRestart:
    """Stops the process with its whole group, starts it, and sees that it does not end at once."""

    def __init__(self, options: ProcessOptions, children: ChildProcesses) -> None:
        self._options = options
        self._children = children

    async def perform(self, order: Restart) -> ActionOutcome:  # noqa: ARG002 - the order says when, config says what
        return await self._children.restart(self._options.name, timeout=self._options.timeout.total_seconds())


PROCESS = ActionType(
    name="process",
    options=ProcessOptions,
    build=ProcessRestart,
    short="name",
    about="Restarts a process that the agent supervises.",
)
