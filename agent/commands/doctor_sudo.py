"""What the doctor sees of sudo: whether it allows the orders that the configuration gives through it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from agent.commands.findings import PERMISSION, Finding, State
from agent.commands.sudoers import Order, orders_of
from agent.config.model import Config
from agent.subprocesses import clean_environment

REMEDY = "run codeblue install --sudo as root: it writes the sudoers lines for what the configuration names"


def permissions(config: Config, user: str) -> Iterator[Finding]:
    """What sudo answers for this user, order by order. Only root may ask for others."""
    orders = orders_of(config)
    for order in orders:
        yield _ask(order, user)
    if orders and _forbidden():
        text = "codeblue.service has NoNewPrivileges=yes, under which sudo does nothing"
        yield Finding("sudo", State.MISSING, text, REMEDY)


def _ask(order: Order, user: str) -> Finding:
    subject = f"{PERMISSION} {order.verb} {order.unit}"
    whose = ["-U", user] if os.geteuid() == 0 else []
    argv = [order.sudo, "-n", *whose, "-l", *order.argv]
    try:
        result = subprocess.run(
            argv, env=clean_environment(), capture_output=True, text=True, timeout=20, check=False, cwd="/"
        )
    except FileNotFoundError:
        return Finding(subject, State.MISSING, f"there is no {order.sudo}", "install sudo")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(subject, State.UNKNOWN, f"sudo can't be asked: {error}")
    if result.returncode == 0:
        return Finding(subject, State.OK, f"{user} may, through sudo")
    return Finding(subject, State.MISSING, f"{user} may not, through sudo", REMEDY)


def _forbidden() -> bool:
    """Whether the agent's own unit, where there is one, keeps sudo from working."""
    systemctl = shutil.which("systemctl")
    if not systemctl or not Path("/run/systemd/system").exists():
        return False
    ask = [systemctl, "show", "--property=LoadState,NoNewPrivileges", "codeblue.service"]
    said = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False).stdout
    return "LoadState=loaded" in said and "NoNewPrivileges=yes" in said
