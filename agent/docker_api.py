"""Talking to Docker through its Engine API, with a timeout. Podman's service answers the same questions."""

import json
from time import time_ns
from typing import Literal
from urllib.parse import urlencode

from agent.containers import Container, ContainerEvent, parse_events, parse_inspect, plain_log
from agent.local_http import NoReply, Reply, ask

SOCKET = "/var/run/docker.sock"
Verb = Literal["restart", "reload", "start", "stop"]


class NoContainer(Exception):
    """Something of a container could not be learned or done. `reason` is a bounded slug: "not_found" (there is no such
    container), "docker" (the daemon says no), or a slug of `agent.local_http.NoReply` (the daemon can't be asked)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def inspect(host: str, name: str, timeout: float) -> Container:
    """A container's state. Raises NoContainer."""
    reply = await _request(host, "GET", f"/containers/{name}/json", timeout)
    try:
        return parse_inspect(reply.body, name)
    except (ValueError, TypeError, AttributeError):
        raise NoContainer("protocol", f"{host} gave no state of {name}: {reply.body[:100]!r}") from None


async def events(host: str, container: Container, timeout: float) -> list[ContainerEvent]:
    """What Docker still remembers of having done with a container, oldest first. Raises NoContainer."""
    # by its id, since a name would match every name that begins with it
    wanted = json.dumps({"type": ["container"], "container": [container.id], "event": ["start", "die", "kill", "stop"]})
    seconds, nanoseconds = divmod(time_ns(), 10**9)
    query = urlencode({"since": "0", "until": f"{seconds}.{nanoseconds:09}", "filters": wanted})
    return parse_events((await _request(host, "GET", f"/events?{query}", timeout)).body)


async def last_lines(host: str, container: Container, lines: int, timeout: float) -> str:
    """The last lines that it wrote. Raises NoContainer, also where its log driver keeps nothing to read."""
    query = f"stdout=1&stderr=1&timestamps=1&tail={lines}"
    reply = await _request(host, "GET", f"/containers/{container.name}/logs?{query}", timeout)
    return plain_log(reply.body, container.tty).strip()


async def order(host: str, name: str, verb: Verb, *, stop_timeout: int | None, timeout: float) -> None:
    """restart: stop it (SIGKILL after `stop_timeout` seconds, or the container's own time) and start it, or start it if
    it does not run; start and stop alone, which do nothing where it is so already; reload: SIGHUP. Raises NoContainer.
    After a timeout Docker goes on with it by itself."""
    wait = f"?t={stop_timeout}" if stop_timeout is not None and verb in ("restart", "stop") else ""
    way = "kill?signal=HUP" if verb == "reload" else f"{verb}{wait}"
    await _request(host, "POST", f"/containers/{name}/{way}", timeout)


async def _request(host: str, method: str, target: str, timeout: float) -> Reply:
    try:
        reply = await ask(host, method, target, timeout=timeout)
    except NoReply as trouble:
        raise NoContainer(trouble.reason, f"Docker: {trouble}") from None
    if reply.status < 300 or reply.status == 304:  # it is so already
        return reply
    raise NoContainer("not_found" if reply.status == 404 else "docker", f"Docker: {_message(reply)}")


def _message(reply: Reply) -> str:
    """What the daemon says of its refusal, on one line."""
    try:
        text = str(json.loads(reply.body)["message"])
    except (ValueError, KeyError, TypeError):
        text = reply.body[:200].decode("utf-8", "replace")
    return " ".join(text.split())[:500] or f"it answered {reply.status}"
