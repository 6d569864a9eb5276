"""Draining by commands: anything that a program can do, and the upstream files of nginx."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import Field

from agent.actions.haproxy import LONGEST
from agent.argv import AbsoluteArgv, run_argv
from agent.core.durations import format_duration
from agent.durations import Duration
from agent.ports import DrainType, NotDrained, Options
from agent.subprocesses import describe_exit

Argv = Sequence[str]


class CommandDrainOptions(Options):
    """Two programs, each the absolute path and the arguments one by one. The second one may be run more than once."""

    drain: AbsoluteArgv = Field(description="Takes the replica out; exit code 0 when it is out")
    undrain: AbsoluteArgv = Field(description="Puts it back; exit code 0 when it is back, or was never out")
    wait: Annotated[Duration, Ge(timedelta(0)), Le(LONGEST)] = Field(
        default=timedelta(0), description="How long to wait after `drain`, for what is under way to end"
    )
    timeout: Annotated[Duration, Gt(timedelta(0)), Le(LONGEST)] = Field(
        default=timedelta(seconds=10), description="How long each may take; then it is ended with all that it started"
    )

    @property
    def programs(self) -> Iterator[str]:
        """Every program that may be run."""
        yield from (self.drain[0], self.undrain[0])


class NginxOptions(CommandDrainOptions):
    """Two programs that change the file with nginx's upstream, each followed by nginx's own test and a reload. Where
    the test fails, `undrain` is run and nothing is reloaded. nginx tells nobody how many requests a server still has:
    give them time by `wait`."""

    test: AbsoluteArgv = Field(default=("/usr/sbin/nginx", "-t", "-q"), description="Says whether nginx would take it")
    reload: AbsoluteArgv = Field(default=("/usr/sbin/nginx", "-s", "reload"), description="Puts it in force")

    @property
    def programs(self) -> Iterator[str]:
        yield from (self.drain[0], self.undrain[0], self.test[0], self.reload[0])


class CommandDrain:
    """Runs the program that takes it out, and the one that puts it back."""

    def __init__(self, options: CommandDrainOptions) -> None:
        self._options = options

    async def held(self) -> str:
        return ""  # a program that knows better fails

    async def drain(self) -> str:
        options = self._options
        await self._run(options.drain)
        await asyncio.sleep(options.wait.total_seconds())
        waited = f", {format_duration(options.wait)} ago" if options.wait else ""
        return f"drained by {Path(options.drain[0]).name}{waited}"

    async def undrain(self) -> str:
        await self._run(self._options.undrain)
        return f"put back by {Path(self._options.undrain[0]).name}"

    async def _run(self, argv: Argv) -> None:
        timeout = self._options.timeout
        result = await run_argv(argv, timeout=timeout.total_seconds(), limit=4096)
        program = Path(argv[0]).name
        if result.error:
            raise NotDrained(result.message)
        if result.timed_out:
            raise NotDrained(f"{program} did not end within {format_duration(timeout)}")
        if result.exit_code != 0:
            code = result.exit_code if result.exit_code is not None else -(result.signal or 0)
            said = " ".join((result.stderr or result.stdout).decode("utf-8", "replace").split())[:300]
            raise NotDrained(f"{program}: {describe_exit(code)}" + (f": {said}" if said else ""))


class NginxDrain(CommandDrain):
    """The same, with nginx told of it."""

    def __init__(self, options: NginxOptions) -> None:
        super().__init__(options)
        self._nginx = options

    async def drain(self) -> str:
        await self._run(self._nginx.drain)
        try:
            await self._run(self._nginx.test)
        except NotDrained as trouble:
            await self._run(self._nginx.undrain)
            raise NotDrained(f"nginx would not take it, so it was undone: {trouble}") from None
        await self._run(self._nginx.reload)
        await asyncio.sleep(self._nginx.wait.total_seconds())
        return f"taken out of nginx by {Path(self._nginx.drain[0]).name} and a reload"

    async def undrain(self) -> str:
        for argv in (self._nginx.undrain, self._nginx.test, self._nginx.reload):
            await self._run(argv)
        return f"put back into nginx by {Path(self._nginx.undrain[0]).name} and a reload"


COMMAND_DRAIN = DrainType(
    name="command",
    options=CommandDrainOptions,
    build=CommandDrain,
    about="Runs a program that takes the replica out, and one that puts it back.",
)
NGINX = DrainType(
    name="nginx",
    options=NginxOptions,
    build=NginxDrain,
    about="Runs a program that changes nginx's upstream, tests the result, and has nginx reload.",
)
