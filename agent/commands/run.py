"""`codeblue run`: the daemon. Owns the signals: TERM and INT end it, HUP reloads."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from agent.app import App
from agent.assembly import database_path, secrets_of
from agent.commands.alone import alone_on
from agent.commands.counted import counted
from agent.config.last_good import find
from agent.config.load import load
from agent.config.model import Config, ConfigError
from agent.ownership import StoreInUse
from agent.reload import MOST_PROBLEMS, Reloader
from agent.runtime.memory import frugal, settle
from agent.tables import TABLES
from agent.telemetry.logging import configure, register_secret
from agent.web.server import CannotListen

log = structlog.get_logger()

LEAVE_WITHIN = 2.0  # seconds


def run_to_end(config: Path, *, allow_unverified: bool, last_good: bool, log_level: str, log_json: bool | None) -> int:
    """Run until told to stop. What keeps it from that is said on standard error. Returns the exit code."""
    try:
        configure(log_level, log_json)
    except ValueError as error:
        return _failed(str(error), 2)
    try:
        return 0 if run(config, allow_unverified=allow_unverified, last_good=last_good) else 1
    except ConfigError as error:
        return _refused(error)
    except (CannotListen, StoreInUse) as error:
        return _failed(str(error), 1)


def _failed(message: str, code: int) -> int:
    from agent.commands.terminal import fail  # what draws on terminals is no part of a daemon that runs

    return fail(message, code).exit_code


def _refused(error: ConfigError) -> int:
    from agent.commands.terminal import refused

    return refused(error).exit_code


def run(path: Path, *, allow_unverified: bool, last_good: bool = True) -> bool:
    """Run until told to stop, and whether it was. Where the files cannot be used it goes on with the last ones that
    could, and says so, unless `last_good` is false. Raises ConfigError for a configuration (without such a copy) or a
    pager that cannot be used, CannotListen for an address in use, and StoreInUse for a database in use."""
    frugal()
    config, refused, files = _read(path, last_good=last_good)
    with (
        alone_on(database_path(config), config.agent.name),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        told = runner.run(serve(config, path, allow_unverified=allow_unverified, refused=refused, mend=files))
        _leave_behind_what_hangs(0 if told else 1)
    return told


def _leave_behind_what_hangs(code: int) -> None:
    """All is done and closed. A thread that waits for a disk that never answers would keep the process for ever."""
    last = threading.Timer(LEAVE_WITHIN, os._exit, (code,))
    last.daemon = True
    last.start()


def _read(path: Path, *, last_good: bool) -> tuple[Config, str, tuple[Path, ...]]:
    """What to start on, and why it is not what the files say (empty when it is) with those that have to be mended.
    Raises ConfigError."""
    try:
        return load(path, TABLES), "", ()
    except ConfigError as error:
        copy = find(path, os.environ) if last_good else None
        if copy is None:
            raise
        try:
            config = load(path, TABLES, copy=copy)
        except ConfigError:
            raise error from None  # the copy has had its time: a secret's file is gone, an option is no longer known
        why = f"the last good configuration is in force, as it was at {copy.kept_at:%Y-%m-%d %H:%M} UTC"
        for secret in secrets_of(config):
            register_secret(secret)
        problems = [str(problem) for problem in error.problems]
        log.error("config_refused", count=len(problems), problems=problems[:MOST_PROBLEMS])
        log.error("last_good_in_force", kept_at=copy.kept_at.isoformat(), remedy=f"mend {path}: it is then taken over")
        for problem in problems:
            print(problem, file=sys.stderr)
        print(f"codeblue: {path} cannot be used: {why}", file=sys.stderr, flush=True)
        return config, f"{why}, because of: {error.brief()}", error.files


async def serve(
    config: Config, path: Path, *, allow_unverified: bool, refused: str = "", mend: tuple[Path, ...] = ()
) -> bool:
    """The daemon's whole life inside a running loop. False where it ended without being told to. `refused` says why the
    files are not what it runs on, `mend` which ones that concerns."""
    loop = asyncio.get_running_loop()
    stop, again = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)  # before it is ready too: HUP would end it
    app = App(config, allow_unverified=allow_unverified)
    if not await _started(app, stop):
        return True
    settle()
    reloader = Reloader(app, path)
    if refused:
        reloader.refused(refused, mend)
    else:
        await reloader.keep()
    tasks = [
        loop.create_task(reloader.watch_files(), name="watch files"),
        loop.create_task(_reload_on(again, reloader), name="reload"),
    ]
    greet(app)
    try:
        return await told_to_stop(stop, [*tasks, *app.lasting])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await app.stop()


async def told_to_stop(stop: asyncio.Event, lasting: Sequence["asyncio.Task[None]"]) -> bool:
    """Wait until it is told to stop: True. False as soon as one of these tasks has ended, which have to go on as long
    as the agent does: it can't be trusted any more, and whoever started it is to start another."""
    stopping = asyncio.get_running_loop().create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait([stopping, *lasting], return_when=asyncio.FIRST_COMPLETED)
        for task in lasting:
            if task.done() and not stop.is_set():
                error = None if task.cancelled() else task.exception()
                log.critical("task_ended", task=task.get_name(), exc_info=error)
        return stop.is_set()
    finally:
        stopping.cancel()


async def _started(app: App, stop: asyncio.Event) -> bool:
    """Start it, unless it is told to stop before that is done: False then, with nothing left running."""
    loop = asyncio.get_running_loop()
    starting, stopping = loop.create_task(app.start(), name="start"), loop.create_task(stop.wait(), name="stop")
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False


async def _reload_on(again: asyncio.Event, reloader: Reloader) -> None:
    while True:
        await again.wait()
        again.clear()
        await reloader.reload()


def greet(app: App) -> None:
    """Where to look, for a person who has just started it."""
    host = app.server.host if ":" not in app.server.host else f"[{app.server.host}]"
    address = f"http://{host}:{app.server.port}"
    checks = sum(len(watched.probes) for watched in app.deciding.engine.table.values())
    print(
        f"codeblue watches {counted(len(app.deciding.engine.table), 'service')} with {counted(checks, 'check')}\n"
        f"  status page  {address}/\n"
        f"  metrics      {address}/metrics\n"
        f"  readiness    {address}/readyz",
        file=sys.stderr,
        flush=True,
    )
