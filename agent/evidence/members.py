"""Which processes belong to a service, as their cgroups tell: nobody leaves one by forking twice, and a number that
was written down may be another's by now."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Literal

from agent.evidence.background import TooMany, in_background
from agent.evidence.proc import HOST, TICKS, Host, Identity, cgroups, every_pid, identity, read_process, uptime

Scope = Literal["system", "user"]
WAIT = 0.5  # seconds that the search may take
DRIFT = 3.0  # seconds between the start of a process and what its supervisor says of it


async def unit_pids(unit: str, scope: Scope = "system", host: Host = HOST) -> list[int]:
    """The processes of a systemd unit, of the host's own manager or of the agent's user's; empty if there are none."""
    manager = f"user@{os.getuid()}.service" if scope == "user" else ""
    return await _search(lambda groups: _is_of_unit(groups, unit, manager), host)


def unit_process(pid: int, unit: str, scope: Scope = "system", host: Host = HOST) -> Identity | None:
    """The process of that number, if it is one of the unit's."""
    manager = f"user@{os.getuid()}.service" if scope == "user" else ""
    return identity(pid, host) if pid > 0 and _is_of_unit(cgroups(pid, host), unit, manager) else None


def unit_files(unit: str, scope: Scope = "system") -> list[str]:
    """Where the unit's own file and its drop-ins may be, as in systemd.unit(5)."""
    home = os.environ.get("HOME", "/")
    user = (f"{home}/.config/systemd/user", "/etc/systemd/user", "/usr/lib/systemd/user")
    system = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
    stem, instance, rest = unit.partition("@")
    names = [unit, f"{stem}@.{rest.rpartition('.')[2]}"] if instance else [unit]
    return [f"{f}/{name}{more}" for f in (user if scope == "user" else system) for name in names for more in ("", ".d")]


async def container_pids(container: str, host: Host = HOST) -> list[int]:
    """The processes of a container, by its full id; empty where it runs on another host."""
    if len(container) < 12:
        return []
    return await _search(lambda groups: any(container in path for path in groups.values()), host)


def program_pids(pid: int, started: datetime | None, now: datetime, host: Host = HOST) -> list[int]:
    """That process, if it is one that was started then: a supervisor elsewhere counts otherwise than this host."""
    process = read_process(pid, host) if pid > 0 else None
    if process is None or started is None:
        return []
    age = uptime(host) - process.started / TICKS
    return [pid] if abs(age - (now - started).total_seconds()) < DRIFT else []


async def _search(belongs: Callable[[dict[str, str]], bool], host: Host) -> list[int]:
    try:
        async with asyncio.timeout(WAIT):
            return await in_background(partial(_members, belongs, host))
    except (TimeoutError, TooMany):
        return []


def _members(belongs: Callable[[dict[str, str]], bool], host: Host) -> list[int]:
    return [pid for pid in every_pid(host) if belongs(cgroups(pid, host))]


def _is_of_unit(groups: Mapping[str, str], unit: str, manager: str) -> bool:
    """systemd keeps its units in a hierarchy of its own or in the unified one, whichever the host gave to it."""
    return any(_leads_to(groups.get(hierarchy, ""), unit, manager) for hierarchy in ("name=systemd", ""))


def _leads_to(path: str, unit: str, manager: str) -> bool:
    """Slices lead to it, and the user's manager where that runs it; what is below it is its own. A container may run a
    unit of the same name, but its path leads through the container's scope or folder first."""
    parts = path.strip("/").split("/")
    if manager:
        if manager not in parts:
            return False
        parts = parts[parts.index(manager) + 1 :]
    return unit in parts and _only_slices(parts[: parts.index(unit)])


def _only_slices(parts: Sequence[str]) -> bool:
    return all(part.endswith(".slice") for part in parts)
