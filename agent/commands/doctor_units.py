"""What the doctor sees of systemd: whether units are known, their journal readable, their restart permitted."""

import asyncio
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator

from agent.argv import run_argv
from agent.commands.deployment import grants_of
from agent.commands.findings import PERMISSION, Finding, State
from agent.config.model import Config
from agent.systemctl import JOURNALCTL, Scope, bus_environment, show_unit
from agent.units import NoUnit, Unit

ACTION = "org.freedesktop.systemd1.manage-units"
INSTALL = "run codeblue install as root: it writes the polkit rule for what the configuration names"


async def examine(config: Config) -> list[Finding]:
    """Every unit that is checked or restarted, the journal, and a word on each permission."""
    names = sorted(_units(config))
    findings = list(await asyncio.gather(*(_unit(name, scope) for name, scope in names)))
    if names or any(spec.units for spec in config.logs):
        findings.append(await _journal())
    grants = grants_of(config)
    if os.geteuid() == 0:
        return [*findings, *(_granted(unit, verb) for unit in grants for verb in grants[unit])]
    return [*findings, *(_unasked(unit, verb) for unit in grants for verb in grants[unit])]


def _units(config: Config) -> set[tuple[str, Scope]]:
    """Every unit that a check looks at or an action acts on, with its scope."""
    found: set[tuple[str, Scope]] = set()
    for service in config.services.values():
        used = [(spec.type.name, spec.options) for spec in service.checks]
        used += [(spec.type.name, spec.options) for spec in service.actions]
        for name, chosen in used:
            if name == "systemd":
                options = chosen.model_dump()
                found.add((options["unit"], options["scope"]))
    return found


async def _unit(name: str, scope: Scope) -> Finding:
    subject = f"unit {name}" if scope == "system" else f"user unit {name}"
    try:
        unit = await show_unit(name, scope=scope, timeout=10)
    except NoUnit as trouble:
        remedy = "systemd must run here (and systemctl be there), or drop this"
        if scope == "user":
            remedy = f"loginctl enable-linger {pwd.getpwuid(os.geteuid()).pw_name}, so that this user's systemd runs"
        return Finding(subject, State.MISSING, str(trouble), remedy)
    return _known(subject, unit)


def _known(subject: str, unit: Unit) -> Finding:
    if unit.load == "not-found":
        return Finding(subject, State.MISSING, "is not installed", "systemctl list-unit-files names those that are")
    if unit.masked:
        return Finding(subject, State.WARN, "is masked: it is never restarted", f"systemctl unmask {unit.name}")
    if unit.load != "loaded":
        return Finding(subject, State.MISSING, f"{unit.load} {unit.load_error}".strip(), f"systemctl cat {unit.name}")
    return Finding(subject, State.OK, unit.describe())


async def _journal() -> Finding:
    me = pwd.getpwuid(os.geteuid()).pw_name
    ask = [JOURNALCTL, "--quiet", "--no-pager", "--lines=1", "--output=cat", "_PID=1"]
    result = await run_argv(ask, timeout=10, env=bus_environment("system"))
    if result.exit_code == 0:
        return Finding("journal", State.OK, f"can be read by {me}")
    said = result.message or result.stderr.decode("utf-8", "replace").strip() or "it did not answer in time"
    remedy = f"usermod -aG systemd-journal {me}; without it an operator's stop is hard to tell from an end of its own"
    return Finding("journal", State.MISSING, said, remedy)


# ---------------------------------------------------------------------------------------------------- permission


def permissions(config: Config, user: str) -> Iterator[Finding]:
    """What polkit answers for this user, unit by unit and verb by verb. Only root may ask for others."""
    grants = grants_of(config)
    pkcheck = shutil.which("pkcheck")
    for unit in grants:
        for verb in grants[unit]:
            yield _ask(pkcheck, user, unit, verb) if pkcheck else _no_polkit(unit, verb)


def _ask(pkcheck: str, user: str, unit: str, verb: str) -> Finding:
    """polkit answers for processes: one of that user's is made for the question."""
    entry = pwd.getpwnam(user)
    subject = f"{PERMISSION} {verb} {unit}"
    own = subprocess.Popen(
        ["/bin/sleep", "60"], user=entry.pw_uid, group=entry.pw_gid, extra_groups=(), stdin=subprocess.DEVNULL
    )
    try:
        details = ["--detail", "unit", unit, "--detail", "verb", verb]
        argv = [pkcheck, "--action-id", ACTION, "--process", str(own.pid), *details]
        result = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return Finding(subject, State.UNKNOWN, "polkit did not answer within 20 s", "systemctl status polkit")
    finally:
        own.kill()
        own.wait()
    if result.returncode == 0:
        return Finding(subject, State.OK, f"{user} may")
    if result.returncode in (1, 2, 3):  # not authorised, or only after a question that nobody is there to answer
        return Finding(subject, State.MISSING, f"{user} may not", INSTALL)
    return Finding(subject, State.UNKNOWN, result.stderr.strip()[:300] or "polkit did not answer", "see polkit.service")


def _no_polkit(unit: str, verb: str) -> Finding:
    return Finding(f"{PERMISSION} {verb} {unit}", State.MISSING, "there is no polkit (pkcheck)", "install polkitd")


def _granted(unit: str, verb: str) -> Finding:
    return Finding(f"{PERMISSION} {verb} {unit}", State.OK, "root may")


def _unasked(unit: str, verb: str) -> Finding:
    text = "polkit tells only root what a rule about units says"
    return Finding(f"{PERMISSION} {verb} {unit}", State.UNKNOWN, text, "run codeblue doctor as root")
