"""`codeblue install`: makes the agent a service of the host, that may restart exactly what its configuration names.

Everything it would write is planned first, as paths and texts. Doing it again changes nothing; a configuration that is
there is never touched.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.commands import deployment
from agent.commands.reach import out_of_reach
from agent.commands.sudoers import MARK, Order, by_unit, complaint, orders_of, sudoers
from agent.config.load import load
from agent.config.model import Config, ConfigError, Problem, Tables

ELSEWHERE = "make the environment below /opt, and install from there (deploy/README.md)"


class CannotInstall(Exception):
    """Something that installing needs is not there. The text says what, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A file to be there, its path starting from the root. One with `keep` is only written where there is none."""

    path: str
    text: str
    keep: bool = False
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was done, or would be: "created", "updated", "unchanged", "removed", "kept" (it differs, and is left),
    "ran", "trouble" (people have to see to it)."""

    what: str
    state: str
    note: str = ""


def plan(config: Config, config_text: str, program: str) -> list[Piece]:
    """The files of an installation for this configuration. Raises CannotInstall for lines that sudo would not take."""
    grants, orders = deployment.grants_of(config), orders_of(config)
    pieces = [
        Piece(path=deployment.USER_FILE, text=deployment.user_file()),
        Piece(path=deployment.CONFIG.lstrip("/"), text=config_text, keep=True, mode=0o640),
        Piece(path=deployment.UNIT_FILE, text=deployment.unit_file(program, sudo=bool(orders))),
    ]
    if grants or not orders:
        pieces.append(Piece(path=deployment.RULE_FILE, text=deployment.polkit_rule(grants)))
    if orders:
        text = sudoers(orders)
        if why := complaint(text):
            raise CannotInstall(f"/{deployment.SUDOERS_FILE} is not written, as sudo would not take it: {why}")
        pieces.append(Piece(path=deployment.SUDOERS_FILE, text=text, mode=0o440))
    return pieces


def _agreed(orders: Iterable[Order], sudo: bool) -> None:
    """Whether whoever installs wants what the configuration says about sudo, which costs the agent its sandbox."""
    named = ", ".join(f"{order.verb} {order.unit}" for order in orders)
    if named and not sudo:
        raise CannotInstall(
            f"the configuration has sudo for {named}: say --sudo, or leave sudo out: polkit does it, too"
        )
    if sudo and not named:
        raise CannotInstall("--sudo is for nothing: no restart of the configuration says sudo")


def clear_away(pieces: Iterable[Piece], root: Path, *, dry_run: bool) -> list[Step]:
    """Remove the leave that an earlier installation wrote and that this configuration has no use for. What somebody
    else wrote stays."""
    wanted = {piece.path for piece in pieces}
    steps = []
    for name in (deployment.RULE_FILE, deployment.SUDOERS_FILE):
        path = root / name
        try:
            if name in wanted or not path.exists() or MARK not in path.read_text():
                continue
            if not dry_run:
                path.unlink()
        except OSError as error:
            raise CannotInstall(f"{path}: {error.strerror}: run it as root, or with --root DIR") from None
        steps.append(Step(what=f"/{name}", state="removed"))
    return steps


def source(given: Path | None, root: Path, tables: Tables) -> tuple[Config, str]:
    """The configuration that is in force after installing, and its text: the one that is installed, else the given
    one, else a first one. Raises ConfigError for one that can't be used, with every problem."""
    installed = root / deployment.CONFIG.lstrip("/")
    env = {**os.environ, **read_environment(root / deployment.ENVIRONMENT.lstrip("/"))}
    if installed.exists():
        return load(installed, tables, env), (given or installed).read_text()
    if given is not None:
        config = load(given, tables, env)
        if problem := _out_of_place(config, given):
            raise ConfigError([problem])
        return config, given.read_text()
    return _starter(tables), deployment.starter_config()


def _out_of_place(config: Config, given: Path) -> Problem | None:
    """The agent may write its state folder only, so its store can't be beside the configuration."""
    folder = str(given.resolve().parent)
    if config.agent.store.startswith(f"sqlite:///{folder}/"):
        wanted = f"sqlite:///{deployment.STATE}/codeblue.db"
        return Problem(str(given), 0, "agent.store", f"beside the configuration nothing can be written: say {wanted!r}")
    return None


def _starter(tables: Tables) -> Config:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(deployment.starter_config())
        return load(path, tables, {})


def read_environment(path: Path) -> dict[str, str]:
    """The variables of a systemd EnvironmentFile: NAME=value lines, with quotes around the value or without."""
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return {}  # it is root's own: what is missing is named by the configuration's complaint
    found = (line.strip().partition("=") for line in lines if line.strip() and line.strip()[0] not in "#;")
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in found if equals}


def carry_out(pieces: Iterable[Piece], root: Path, *, dry_run: bool) -> list[Step]:
    """Write what is not there as it should be. Raises CannotInstall, naming the file, where that is not allowed."""
    return [_write(piece, root, dry_run) for piece in pieces]


def _write(piece: Piece, root: Path, dry_run: bool) -> Step:
    path = root / piece.path
    try:
        before = path.read_text() if path.exists() else None
        if before == piece.text:
            return Step(what=f"/{piece.path}", state="unchanged")
        if before is not None and piece.keep:
            return Step(what=f"/{piece.path}", state="kept", note="it has changes of its own, which stay")
        if not dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.touch(0o600)
            fresh.write_text(piece.text)
            fresh.chmod(piece.mode)  # whatever the umask
            fresh.replace(path)
    except OSError as error:
        raise CannotInstall(f"{path}: {error.strerror}: run it as root, or with --root DIR") from None
    return Step(what=f"/{piece.path}", state="created" if before is None else "updated")


def settle(root: Path, *, dry_run: bool) -> list[Step]:
    """Make the host know of the files: the user, who owns the configuration, systemd's own reload."""
    steps = []
    whole = root == Path("/")
    sysusers = shutil.which("systemd-sysusers")
    if sysusers and os.geteuid() == 0:
        argv = [sysusers] if whole else [sysusers, f"--root={root}"]
        steps.append(_run([*argv, deployment.USER_FILE.rpartition("/")[2]], dry_run))
    else:
        steps.append(
            Step(what="systemd-sysusers", state="skipped", note="the user is made at the next boot, or by root")
        )
    steps.append(_give_to_group(root, dry_run))
    if whole and Path("/run/systemd/system").exists():
        steps.append(_run(["/usr/bin/systemctl", "daemon-reload"], dry_run))
    return steps


def _run(argv: list[str], dry_run: bool) -> Step:
    if not dry_run:
        try:
            result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotInstall(f"{' '.join(argv)}: {error}") from None
        if result.returncode != 0:
            raise CannotInstall(f"{' '.join(argv)}: {result.stderr.strip() or result.returncode}")
    return Step(what=" ".join(argv), state="ran")


def _give_to_group(root: Path, dry_run: bool) -> Step:
    """The configuration is root's to write and the agent's to read."""
    what = f"group {deployment.USER} for {deployment.CONFIG}"
    number = _group(root)
    if number is None or os.geteuid() != 0:
        if dry_run:
            return Step(what=what, state="ran")
        return Step(what=what, state="skipped", note=f"chgrp it to {deployment.USER} when that group exists")
    path = root / deployment.CONFIG.lstrip("/")
    if path.exists() and path.stat().st_gid == number:
        return Step(what=what, state="unchanged")
    if not dry_run:
        os.chown(path, 0, number)
    return Step(what=what, state="ran")


def _group(root: Path) -> int | None:
    try:
        lines = (root / "etc/group").read_text().splitlines()
    except OSError:
        return None
    found = (line.split(":") for line in lines)
    return next((int(parts[2]) for parts in found if parts[0] == deployment.USER and len(parts) > 2), None)


def install(
    given: Path | None, root: Path, program: str, tables: Tables, *, dry_run: bool, sudo: bool = False
) -> tuple[list[Step], deployment.Grants]:
    """All of it. Returns what was done and what the agent may do. Raises ConfigError and CannotInstall."""
    config, text = source(given, root, tables)
    orders = orders_of(config)
    _agreed(orders, sudo)
    pieces = plan(config, text, program)
    steps = carry_out(pieces, root, dry_run=dry_run) + clear_away(pieces, root, dry_run=dry_run)
    steps += settle(root, dry_run=dry_run)
    if root == Path("/") and (why := out_of_reach(Path(program))):
        steps.append(
            Step(what=program, state="trouble", note=f"user {deployment.USER} can't run it: {why}; {ELSEWHERE}")
        )
    others = [str(path) for path in config.files[1:]]
    if given is not None and others:
        steps.append(Step(what=", ".join(others), state="left", note="the configuration reads these too: see to them"))
    grants, through_sudo = deployment.grants_of(config), by_unit(orders)
    return steps, {unit: (*grants.get(unit, ()), *through_sudo.get(unit, ())) for unit in {**grants, **through_sudo}}


def told(steps: Sequence[Step], grants: deployment.Grants, *, dry_run: bool) -> Iterable[str]:
    """The lines for whoever ran it."""
    if dry_run:
        yield "would do (nothing is written):"
    for step in steps:
        yield f"  {step.state:<10} {step.what}" + (f": {step.note}" if step.note else "")
    may = ", ".join(f"{'/'.join(grants[unit])} {unit}" for unit in sorted(grants))
    yield f"user {deployment.USER} may {may}" if may else f"user {deployment.USER} may restart no unit: none is named"
    first = "mend the trouble, then " if any(step.state == "trouble" for step in steps) else ""
    yield f"next: {first}systemctl enable --now codeblue; codeblue doctor --config " + deployment.CONFIG
