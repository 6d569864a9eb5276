"""sudoers lines: for hosts without polkit, exactly the commands that the configuration's restarts say `sudo` for.

The grammar is that of sudoers(5): a command with arguments is allowed with these arguments, in this order, and no
others.
"""

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.actions.systemd import SystemdOptions
from agent.commands.deployment import USER
from agent.config.model import Config
from agent.systemctl import ended_by_root, order_argv

VISUDO = "/usr/sbin/visudo"
MARK = "Written by `codeblue install`"
_SPECIAL = re.compile(r"([\\:,=\s])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of systemd through sudo, and the command for it."""

    sudo: str
    unit: str
    verb: str
    argv: tuple[str, ...]


def orders_of(config: Config) -> list[Order]:
    """What the configuration's restarts need sudo for, in order and each once."""
    found: dict[tuple[str, ...], Order] = {}
    for service in config.services.values():
        for action in service.actions:
            options = action.options
            if not isinstance(options, SystemdOptions) or not options.sudo:
                continue
            unit, verb = options.unit, options.verb
            asked = [options.systemctl, "--system", *order_argv(verb, unit)]
            argv = tuple(ended_by_root(asked, options.timeout.total_seconds()))
            found[(options.sudo, *argv)] = Order(sudo=options.sudo, unit=unit, verb=verb, argv=argv)
    return [found[key] for key in sorted(found)]


def by_unit(orders: Iterable[Order]) -> dict[str, tuple[str, ...]]:
    """For people: the verbs of each unit, marked as going through sudo."""
    found: dict[str, set[str]] = {}
    for order in orders:
        found.setdefault(order.unit, set()).add(f"{order.verb} (sudo)")
    return {unit: tuple(sorted(verbs)) for unit, verbs in found.items()}


def sudoers(orders: Iterable[Order]) -> str:
    """The file for /etc/sudoers.d, in which nothing has a wildcard."""
    lines = [f"{USER} ALL=(root) NOPASSWD: {_escaped(order.argv)}" for order in orders]
    return "\n".join(
        [
            "# What codeblue may do through sudo: the orders to systemd that its configuration says `sudo` for.",
            f"# {MARK} --sudo; run it again after the configuration has changed.",
            *dict.fromkeys(lines),
            "",
        ]
    )


def _escaped(argv: Sequence[str]) -> str:
    """A backslash is taken off when the file is read, and once more when words are compared (as patterns)."""
    return " ".join(_SPECIAL.sub(r"\\\1", word.replace("\\", "\\\\")) for word in argv)


def complaint(text: str, visudo: str = VISUDO) -> str:
    """Why sudo would not take that file, which could lock everybody out of sudo; empty if it would."""
    if not Path(visudo).exists():
        return f"there is no {visudo} to check it: install sudo"
    argv = [visudo, "--check", "--strict", "--file=-"]
    try:
        result = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{visudo}: {error}"
    said = " ".join(f"{result.stderr} {result.stdout}".split())
    return "" if result.returncode == 0 else said or f"{visudo} ended with {result.returncode}"
