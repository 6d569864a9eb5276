"""`codeblue doctor`: what the agent can and cannot do on this host for this configuration, and how to mend it.

It looks with the eyes of the user that the agent runs as. Nothing is changed, and no check or action is run.
"""

import asyncio
import errno
import json
import os
import pwd
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from glob import glob
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.assembly import database_path, host_and_port
from agent.commands import doctor_sudo, doctor_units
from agent.commands.counted import counted
from agent.commands.deployment import ENVIRONMENT, USER
from agent.commands.findings import PERMISSION, Finding, State, from_rows
from agent.commands.install import read_environment
from agent.config.load import load
from agent.config.model import Config, Tables

DESCRIPTORS_PER_CHECK = 2
DESCRIPTORS_BESIDE = 256  # files, sockets of visitors and channels, children's pipes
MEBIBYTE = 1_048_576


def diagnose(path: Path, user: str, tables: Tables) -> list[Finding]:
    """What that user can and cannot do. Raises ConfigError, LookupError for a user that is not there, and
    PermissionError for anybody but root who asks about another user."""
    env = {**os.environ, **read_environment(Path(ENVIRONMENT))}
    config = load(path, tables, env)
    if pwd.getpwnam(user).pw_uid == os.geteuid():
        return examine(config)
    if os.geteuid() != 0:
        raise PermissionError(f"only root can look with the eyes of {user}")
    return examine_as(user, config, path, env)


def examine(config: Config) -> list[Finding]:
    """Everything that can be seen as the present user, in the order of the configuration's own sections."""
    return [
        *_store(config),
        _listen(config),
        _descriptors(config),
        _clock(),
        *_zones(config),
        *_programs(config),
        *_log_files(config),
        *asyncio.run(doctor_units.examine(config)),
        *doctor_sudo.permissions(config, _me()),
    ]


def examine_as(user: str, config: Config, path: Path, env: Mapping[str, str]) -> list[Finding]:
    """The same with another user's eyes, and what polkit and sudo let that user do. Only root can."""
    entry = pwd.getpwnam(user)
    # -P keeps the folder it was called from, which that user may not enter, out of the module path.
    argv = [
        sys.executable,
        "-P",
        "-m",
        "agent.cli",
        "doctor",
        "--json",
        "--user",
        user,
        "--config",
        str(path.absolute()),
    ]
    result = subprocess.run(
        argv,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=os.getgrouplist(user, entry.pw_gid),
        env={**env, "HOME": entry.pw_dir, "USER": user, "LOGNAME": user},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    try:
        rows = from_rows(json.loads(result.stdout))
    except (ValueError, TypeError, KeyError):
        said = (result.stderr or result.stdout).strip()[-500:]
        remedy = f"let {user} read {path} and the program's own folder ({sys.prefix})"
        rows = [Finding(f"user {user}", State.MISSING, f"codeblue doesn't run as {user}: {said}", remedy)]
    seen = [row for row in rows if not row.subject.startswith((PERMISSION, "sudo"))]
    return [*seen, *doctor_units.permissions(config, user), *doctor_sudo.permissions(config, user)]


def default_user() -> str:
    """Whose eyes to look with: those of the installed agent for root, else one's own."""
    if os.geteuid() == 0 and any(entry.pw_name == USER for entry in pwd.getpwall()):
        return USER
    return pwd.getpwuid(os.geteuid()).pw_name


# ---------------------------------------------------------------------------------------------------- the agent itself


def _store(config: Config) -> Iterator[Finding]:
    path = database_path(config)
    if path is None:
        yield Finding("store", State.UNKNOWN, "a database server: the agent says at its start whether it answers")
        return
    folder = path.parent
    if not os.path.isdir(folder):  # unlike Path's, it takes a folder that may not be looked into for none
        yield Finding("store", State.MISSING, f"{_me()} sees no folder {folder}", "make it, or set agent.store")
        return
    shut = [str(each) for each in (folder, path) if os.path.exists(each) and not os.access(each, os.W_OK)]
    if shut or not os.access(folder, os.X_OK):
        what = shut[0] if shut else str(folder)
        yield Finding("store", State.MISSING, f"{what} can't be written", f"chown it to {_me()}, or set agent.store")
        return
    yield Finding("store", State.OK, f"{path} can be written")
    found = os.statvfs(folder)
    free, wanted = found.f_bavail * found.f_frsize, config.agent.log_size + 100 * MEBIBYTE
    text = f"{free // MEBIBYTE:,} MiB free in {folder}"
    if free < wanted:
        more = f"the log store may grow to {config.agent.log_size // MEBIBYTE:,} MiB: free some, or set agent.log_size"
        yield Finding("disk", State.WARN, text, more)
    else:
        yield Finding("disk", State.OK, text)


def _listen(config: Config) -> Finding:
    host, port = host_and_port(config.agent.listen)
    subject = f"listen {config.agent.listen}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _agent_answers(host, port):
                return Finding(subject, State.OK, "the running agent answers there")
            remedy = "set agent.listen" if error.errno != errno.EADDRINUSE else "stop what listens, or set agent.listen"
            return Finding(subject, State.MISSING, str(error.strerror or error), remedy)
    return Finding(subject, State.OK, "free: the agent is not running")


def _agent_answers(host: str, port: int) -> bool:
    """Whether what listens there is an agent, which says so at once and to everybody."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return bool(json.loads(connection.getresponse().read(10_000))["alive"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


def _descriptors(config: Config) -> Finding:
    wanted = config.agent.concurrency * DESCRIPTORS_PER_CHECK + DESCRIPTORS_BESIDE
    limit, source = _descriptor_limit()
    text = f"{source} may open {limit:,} files; {config.agent.concurrency:,} checks at a time need about {wanted:,}"
    if limit < wanted:
        return Finding("descriptors", State.WARN, text, "raise LimitNOFILE (ulimit -n), or lower agent.concurrency")
    return Finding("descriptors", State.OK, text)


def _descriptor_limit() -> tuple[int, str]:
    """Of the agent's unit where there is one, else of this process."""
    systemctl = shutil.which("systemctl")
    if systemctl and Path("/run/systemd/system").exists():
        ask = [systemctl, "show", "--property=LoadState,LimitNOFILESoft", "codeblue.service"]
        said = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False).stdout
        found = dict(line.partition("=")[::2] for line in said.splitlines())
        if found.get("LoadState") == "loaded" and found.get("LimitNOFILESoft", "").isdigit():
            return int(found["LimitNOFILESoft"]), "codeblue.service"
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (sys.maxsize if soft == resource.RLIM_INFINITY else soft), "this process"


def _clock() -> Finding:
    from checks.host_clock import read_clock

    try:
        clock = read_clock()
    except OSError as error:
        return Finding("clock", State.UNKNOWN, f"the kernel doesn't say: {error.strerror}")
    if clock.synchronised:
        return Finding("clock", State.OK, f"synchronised, off by {clock.off_by * 1000:.1f} ms at most")
    return Finding("clock", State.WARN, "not synchronised", "run chrony or systemd-timesyncd: cron and beats need it")


def _zones(config: Config) -> Iterator[Finding]:
    named = {str(spec.cron.zone) for service in config.services.values() for spec in service.checks if spec.cron}
    zones = sorted({"UTC", "Europe/Berlin", *named})
    lost = [zone for zone in zones if not _zone_known(zone)]
    if lost:
        yield Finding("time zones", State.MISSING, f"no data for {', '.join(lost)}", "install tzdata")
    else:
        yield Finding("time zones", State.OK, f"data for {', '.join(sorted(named)) or 'all that is asked for'}")


def _zone_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


# ---------------------------------------------------------------------------------------------------- what it looks at


def _programs(config: Config) -> Iterator[Finding]:
    for service in config.services.values():
        both = [("check", spec.type.name, spec.options) for spec in service.checks]
        both += [("restart", spec.type.name, spec.options) for spec in service.actions]
        both += [("drain", "", service.drain.options)] if service.drain else []
        for what, kind, options in both:
            programs = [options.model_dump()["argv"][0]] if kind == "command" else getattr(options, "programs", ())
            for program in dict.fromkeys(programs):
                yield _program(f"{what} {service.name}", program, os.access(program, os.X_OK), os.path.exists(program))
    for process in config.processes.values():
        env = process.env.get("PATH") or os.environ.get("PATH")
        first = process.command[0]
        found = sys.executable if first in ("python", "python3") else shutil.which(first, path=env)
        here = os.path.join(process.cwd or ".", first)
        runs = found is not None or ("/" in first and os.access(here, os.X_OK))
        yield _program(f"process {process.name}", found or first, runs, os.path.exists(here))


def _program(subject: str, program: str, runs: bool, there: bool) -> Finding:
    if runs:
        return Finding(subject, State.OK, f"{program} can be run")
    if there:
        return Finding(subject, State.MISSING, f"{program} can't be run by {_me()}", f"chmod +x {program}")
    return Finding(subject, State.MISSING, f"there is no program {program}", "install it, or correct its path")


def _log_files(config: Config) -> Iterator[Finding]:
    for spec in config.logs:
        for pattern in spec.files:
            found = [path for path in glob(pattern, recursive=True) if os.path.isfile(path)]
            shut = [path for path in found if not os.access(path, os.R_OK)]
            if shut:
                remedy = f"usermod -aG adm {_me()}, or setfacl -m u:{_me()}:r"
                yield Finding(f"log {pattern}", State.MISSING, f"{shut[0]} can't be read by {_me()}", remedy)
            elif not found:
                yield _no_log(pattern)
            else:
                yield Finding(f"log {pattern}", State.OK, f"{counted(len(found), 'file')} can be read")


def _no_log(pattern: str) -> Finding:
    """No file is there, or none is seen because a folder on the way can't be looked into."""
    fixed = Path(pattern[: min([pattern.find(sign) for sign in "*?[" if sign in pattern] or [len(pattern)])])
    for folder in reversed([fixed, *fixed.parents]):
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            remedy = f"usermod -aG adm {_me()}, or setfacl -m u:{_me()}:rx {folder}"
            return Finding(f"log {pattern}", State.MISSING, f"{folder} can't be looked into by {_me()}", remedy)
    return Finding(f"log {pattern}", State.WARN, "no file is there yet", "correct the pattern, if there should be one")


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
