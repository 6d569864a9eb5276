"""The docker check: is the container running and healthy, in Docker's own words?"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from agent.containers import Container, ContainerName
from agent.core.durations import format_duration
from agent.core.result import CheckResult
from agent.docker_api import SOCKET, NoContainer, inspect
from agent.local_http import DaemonAddress
from agent.ports import CheckContext, CheckType, Options


class DockerOptions(Options):
    """A container and where to ask for it."""

    container: ContainerName = Field(description="The container's name or id", examples=["photos-api"])
    host: DaemonAddress = Field(
        default=SOCKET,
        validate_default=True,
        description="The daemon's unix socket, or http://host:port of a proxy before it",
    )
    crash_loop: Annotated[int, Field(ge=0)] = Field(
        default=5,
        description="Fails when Docker waits to restart the container and has done so this many times already; "
        "0: never",
    )


async def run(options: DockerOptions, ctx: CheckContext) -> CheckResult:
    """PASS: running, and healthy where it has a health check. WARN: its health check is still starting, or Docker
    restarts it. FAIL: not running, unhealthy, crashing over and over, or not there. UNKNOWN: no Docker to ask."""
    try:
        container = await inspect(options.host, options.container, 0.9 * ctx.timeout)
    except NoContainer as trouble:
        if trouble.reason == "not_found":
            return ctx.failed("not_found", f"there is no container {options.container}")
        return ctx.unknown(trouble.reason, str(trouble))
    return judge(container, options.crash_loop, ctx)


def judge(container: Container, crash_loop: int, ctx: CheckContext) -> CheckResult:
    """What a container's state means."""
    text, values = container.describe(), _values(container, ctx)
    evidence = {"health check": container.health_output} if container.health_output else {}
    match container.status:
        case "running" if container.health == "unhealthy":
            said = container.health_output.splitlines()
            text += f": {said[-1][:200]}" if said else ""
            return ctx.failed("unhealthy", text, values=values, evidence=evidence)
        case "running" if container.health == "starting":
            return ctx.warned("starting", text, values=values, evidence=evidence)
        case "running":
            up = format_duration(timedelta(seconds=round(values.get("uptime", 0.0))))
            return ctx.passed(f"{text}, up {up}", values=values)
        case "restarting" if 0 < crash_loop <= container.restarts:
            return ctx.failed("crash_loop", text, values=values)
        case "restarting":
            return ctx.warned("restarting", text, values=values)
        case "exited" if container.oom_killed:
            return ctx.failed("oom", text, values=values)
        case "exited" | "dead" | "created" | "paused" | "removing" as status:
            return ctx.failed(status, text, values=values)
        case _:
            return ctx.unknown("state", f"{text}: a state that this check does not know", values=values)


def _values(container: Container, ctx: CheckContext) -> dict[str, float]:
    """restarts (by Docker, since it was last started by somebody); uptime in seconds of one that runs, exit_status of
    one that ended."""
    values = {"restarts": float(container.restarts)}
    if container.running and container.started_at:
        values["uptime"] = max(0.0, (ctx.started - container.started_at).total_seconds())
    if container.status in ("exited", "dead", "restarting"):
        values["exit_status"] = float(container.exit_code)
    return values


DOCKER = CheckType(
    name="docker",
    options=DockerOptions,
    run=run,
    short="container",
    about="Asks Docker whether a container is running and healthy, and how it ended if not.",
    keeps_time=True,
    local=True,
)
