"""Talking to systemd through `systemctl`, as argv, with a timeout."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.argv import ArgvResult, run_argv
from agent.units import PROPERTIES, NoUnit, Unit, parse_show

SYSTEMCTL = "/usr/bin/systemctl"
JOURNALCTL = "/usr/bin/journalctl"
TIMEOUT = "/usr/bin/timeout"
Scope = Literal["system", "user"]

_NO_MANAGER = ("not been booted with systemd", "Failed to connect to bus", "Failed to get D-Bus connection")


async def systemctl(program: str, scope: Scope, *arguments: str, timeout: float, sudo: str = "") -> ArgvResult:
    """Run systemctl in a scope, through `sudo` where there is one. What comes back is never an exception."""
    argv = [program, f"--{scope}", *arguments]
    if sudo:
        argv = [sudo, "-n", *ended_by_root(argv, timeout)]
    return await run_argv(argv, timeout=timeout, env=bus_environment(scope))


def ended_by_root(argv: Sequence[str], timeout: float) -> list[str]:
    """A command for sudo. It will be root's, and the agent can end sudo, but nothing that is root's: timeout(1) ends
    it, with its whole group, a second after the agent has given up on it at the latest."""
    return [TIMEOUT, "-k", "1", str(math.ceil(timeout) + 1), *argv]


def order_argv(verb: str, unit: str) -> tuple[str, ...]:
    """An order to systemd. What may be done through sudo is written with these same words."""
    return (verb, "--no-ask-password", "--", unit)


async def show_unit(name: str, *, scope: Scope = "system", program: str = SYSTEMCTL, timeout: float = 2.0) -> Unit:
    """Ask systemd for a unit's state. Raises NoUnit when that can't be told."""
    ask = ("show", "--no-pager", f"--property={PROPERTIES}", "--", name)
    result = await systemctl(program, scope, *ask, timeout=timeout)
    if result.error:
        raise NoUnit(result.error, result.message)
    if result.timed_out:
        raise NoUnit("timeout", f"systemctl did not answer within {timeout:g} s")
    if result.exit_code != 0:
        raise NoUnit("no_systemd" if lacks_manager(result) else "systemctl", complaint(result))
    return parse_show(result.stdout.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Job:
    """A job that systemd did, or was told to do, for a unit: "start", "stop", "restart" …"""

    type: str
    at: datetime


async def last_job(
    name: str, *, scope: Scope = "system", program: str = JOURNALCTL, timeout: float = 2.0
) -> Job | NoUnit | None:
    """The last job for a unit since the boot, as systemd's journal has it; None if there was none, NoUnit if the
    journal can't be read. It tells what the properties don't: whether a unit ended because somebody stopped it."""
    whose = (f"USER_UNIT={name}", f"_UID={os.getuid()}") if scope == "user" else (f"UNIT={name}", "_PID=1")
    jobs = ("JOB_TYPE=start", "JOB_TYPE=stop", "JOB_TYPE=restart")
    form = ("--output=json", "--output-fields=JOB_TYPE", "--lines=1")
    argv = [program, "--boot", "--quiet", "--no-pager", *form, *whose, *jobs]
    result = await run_argv(argv, timeout=timeout, grace=0.1, env=bus_environment(scope))
    if result.error or result.timed_out or result.exit_code != 0:
        why = "it did not answer in time" if result.timed_out else result.message or complaint(result)
        return NoUnit("journal", f"the journal can't be read: {why}")
    return _read_job(result.stdout)


def _read_job(text: bytes) -> Job | None:
    try:
        said = json.loads(text)
        at = datetime.fromtimestamp(int(said["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        return Job(str(said["JOB_TYPE"]), at)
    except (ValueError, KeyError, TypeError):
        return None


def lacks_manager(result: ArgvResult) -> bool:
    """Whether systemctl found no systemd to talk to."""
    return any(text in complaint(result) for text in _NO_MANAGER)


def complaint(result: ArgvResult) -> str:
    """What systemctl said on its way out, on one line."""
    text = (result.stderr or result.stdout).decode("utf-8", "replace")
    return " ".join(text.split())[:500] or f"systemctl ended with {result.exit_code} and no word"


def bus_environment(scope: Scope) -> Mapping[str, str]:
    """What leads to a user's own manager; the system's needs nothing. A service of the system has none of it in its
    environment: there the user's runtime folder is where logind puts it."""
    if scope == "system":
        return {}
    names = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    found = {name: os.environ[name] for name in names if name in os.environ}
    usual = f"/run/user/{os.getuid()}"
    return found if found or not Path(usual).is_dir() else {"XDG_RUNTIME_DIR": usual}
