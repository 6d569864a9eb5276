"""Talking to systemd through `systemctl`, as argv, with a timeout."""

import os
from collections.abc import Mapping
from typing import Literal

from agent.argv import ArgvResult, run_argv
from agent.units import PROPERTIES, NoUnit, Unit, parse_show

SYSTEMCTL = "/usr/bin/systemctl"
Scope = Literal["system", "user"]

_NO_MANAGER = ("not been booted with systemd", "Failed to connect to bus", "Failed to get D-Bus connection")


async def systemctl(program: str, scope: Scope, *arguments: str, timeout: float) -> ArgvResult:
    """Run systemctl in a scope. What comes back is never an exception."""
    return await run_argv([program, f"--{scope}", *arguments], timeout=timeout, env=bus_environment(scope))


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


def lacks_manager(result: ArgvResult) -> bool:
    """Whether systemctl found no systemd to talk to."""
    return any(text in complaint(result) for text in _NO_MANAGER)


def complaint(result: ArgvResult) -> str:
    """What systemctl said on its way out, on one line."""
    text = (result.stderr or result.stdout).decode("utf-8", "replace")
    return " ".join(text.split())[:500] or f"systemctl ended with {result.exit_code} and no word"


def bus_environment(scope: Scope) -> Mapping[str, str]:
    """What leads to a user's own manager; the system's needs nothing."""
    names = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS") if scope == "user" else ()
    return {name: os.environ[name] for name in names if name in os.environ}
