"""The docker action: restarts a container, unless somebody stopped or paused it, or it is still starting."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Annotated, Literal, Self

from annotated_types import Gt
from pydantic import AfterValidator, Field, model_validator

from agent.actions.refusal import Refusal, too_young
from agent.containers import Container, ContainerEvent, ContainerName, is_being_stopped, operators_stop
from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.docker_api import SOCKET, NoContainer, Verb, events, inspect, last_lines, order
from agent.durations import Duration
from agent.evidence import add_processes, container_pids
from agent.local_http import DaemonAddress
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options

LOOK = 2.0  # seconds that each look at the container may take
SETTLE = 0.5  # seconds after the start: one that ends at once again has done so by then
LINES = 20


def _whole_seconds(value: timedelta) -> timedelta:
    if value < timedelta(0) or value % timedelta(seconds=1):
        raise ValueError("expected whole seconds: Docker knows no others")
    return value


class DockerOptions(Options):
    """A container and how it is restarted."""

    container: ContainerName = Field(description="The container's name or id", examples=["photos-api"])
    host: DaemonAddress = Field(
        default=SOCKET,
        validate_default=True,
        description="The daemon's unix socket, or http://host:port of a proxy before it. Who may write to the socket "
        "is root on this host: a proxy that lets through only what is needed is safer",
    )
    verb: Verb = Field(
        default="restart",
        description="What is asked of Docker; reload sends SIGHUP. A step after one that stops it needs "
        "`when_stopped: start`",
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30), description="How long stopping and starting it may take together"
    )
    stop_timeout: Annotated[Duration, AfterValidator(_whole_seconds)] | None = Field(
        default=None, description="How long it may take to stop before it is killed; the container's own time if unset"
    )
    when_stopped: Literal["leave", "start"] = Field(
        default="leave",
        description="What to do with a container that was stopped on purpose, as by `docker stop`: leave it to "
        "people, or start it all the same",
    )

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.stop_timeout is not None and self.stop_timeout >= self.timeout:
            raise ValueError(
                f"stop_timeout ({format_duration(self.stop_timeout)}) leaves no time to start it again within "
                f"timeout ({format_duration(self.timeout)})"
            )
        return self


class DockerRestart:
    """Restarts through the Engine API, with the container's state, its last health check and its last lines taken
    before. How an operator's stop is told from a crash: `agent.containers.operators_stop`."""

    def __init__(self, options: DockerOptions, children: ChildProcesses) -> None:  # noqa: ARG002 - ActionType.build
        self._options = options
        self._unfinished: datetime | None = None  # when a restart of ours began that may have stopped it only

    async def perform(self, order: Restart) -> ActionOutcome:
        """Look, take evidence (5 s with the look), look again, as an operator may have been quicker, restart and look:
        `timeout` + 3 * `LOOK` + 5 seconds at most, usually hardly more than Docker itself takes."""
        since = monotonic()
        evidence: dict[str, str] = {}
        try:
            before = await self._look()
            evidence, known = await asyncio.gather(self._evidence(before), self._events(before))
            if not self._refusal(before, known, order.grace):
                pids = await container_pids(before.id)
                evidence = await add_processes(evidence, pids, began=since, cgroup=before.id)
                before = await self._look()
                known = await self._events(before)
        except NoContainer as trouble:
            outcome = Outcome.TIMEOUT if trouble.reason == "timeout" else Outcome.FAILED
            return ActionOutcome(outcome=outcome, detail=f"not restarted: {trouble}", evidence=evidence)
        if no := self._refusal(before, known, order.grace):
            return ActionOutcome(outcome=no.outcome, detail=f"{before.describe()}: {no.why}", evidence=evidence)
        began = datetime.now(UTC)
        outcome, detail = await self._restart(before)
        self._unfinished = None if outcome is Outcome.DONE or self._options.verb != "restart" else began
        return ActionOutcome(outcome=outcome, detail=detail, evidence=evidence)

    def _refusal(self, container: Container, known: list[ContainerEvent], grace: timedelta) -> Refusal | None:
        """Why a container in this state is not restarted now; None when it may be."""
        if container.status == "paused":
            return Refusal("an operator paused it")
        if container.status == "removing":
            return Refusal("it is being removed")
        if container.running and container.health == "starting":
            return Refusal("its health check is still starting", passing=True)
        if self._unfinished and (container.running or _at_or_after(container.finished_at, self._unfinished)):
            return None  # it was our own restart that stops or stopped it and did not come to its end
        if container.running:
            now = datetime.now(UTC)
            if is_being_stopped(known, now):
                return Refusal("Docker was just asked to stop it", passing=True)
            return too_young(now - container.started_at if container.started_at else None, grace)
        if container.status not in ("exited", "created", "dead") or self._options.when_stopped == "start":
            return None
        why = operators_stop(container, known)
        return Refusal(f"{why}, so it is left alone (when_stopped: start changes that)") if why else None

    async def _restart(self, before: Container) -> tuple[Outcome, str]:
        options = self._options
        stop = None if options.stop_timeout is None else int(options.stop_timeout.total_seconds())
        try:
            timeout = options.timeout.total_seconds()
            await order(options.host, options.container, options.verb, stop_timeout=stop, timeout=timeout)
        except NoContainer as trouble:
            if trouble.reason != "timeout":
                return Outcome.FAILED, str(trouble)
            waited = format_duration(options.timeout)
            return (
                Outcome.TIMEOUT,
                f"Docker did not {options.verb} it within {waited} and may go on; {await self._state()}",
            )
        await asyncio.sleep(SETTLE)
        try:
            after = await self._look()
        except NoContainer as trouble:
            return Outcome.DONE, f"{options.verb} done; {trouble}"
        same = after.running and after.started_at is not None and after.started_at == before.started_at
        if options.verb == "restart" and same:
            return Outcome.FAILED, f"its process was not replaced; {after.describe()}"
        done = after.running is (options.verb != "stop")
        return (Outcome.DONE if done else Outcome.FAILED), after.describe()

    async def _state(self) -> str:
        try:
            return (await self._look()).describe()
        except NoContainer as trouble:
            return str(trouble)

    async def _look(self) -> Container:
        return await inspect(self._options.host, self._options.container, LOOK)

    async def _events(self, container: Container) -> list[ContainerEvent]:
        try:
            return await events(self._options.host, container, LOOK)
        except NoContainer:
            return []  # a proxy before the socket may not let them through: then the state has to do

    async def _evidence(self, container: Container) -> dict[str, str]:
        evidence = {"container": container.describe()}
        if container.health_output:
            evidence["health check"] = f"{container.health_failures} failed in a row: {container.health_output}"
        try:
            lines = await last_lines(self._options.host, container, LINES, LOOK)
        except NoContainer as trouble:
            lines = str(trouble)
        return evidence | ({"container log": lines[-65_536:]} if lines else {})


def _at_or_after(moment: datetime | None, other: datetime) -> bool:
    return moment is not None and moment >= other


DOCKER = ActionType(
    name="docker",
    options=DockerOptions,
    build=DockerRestart,
    short="container",
    about="Restarts a Docker container, unless it was stopped or paused on purpose or is still starting.",
)
