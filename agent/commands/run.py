"""`codeblue run`: the daemon. Owns the signals: TERM and INT end it, HUP reloads."""

import asyncio
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from agent.app import TABLES, App
from agent.commands.terminal import counted
from agent.config.load import load
from agent.config.model import Config
from agent.reload import Reloader
from agent.runtime.memory import settle

log = structlog.get_logger()


def run(path: Path, *, allow_unverified: bool) -> None:
    """Run until told to stop. Raises ConfigError for a configuration or a pager that cannot be used, and CannotListen
    for an address in use."""
    config = load(path, TABLES)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, path, allow_unverified=allow_unverified))


async def serve(config: Config, path: Path, *, allow_unverified: bool) -> None:
    """The daemon's whole life inside a running loop."""
    loop = asyncio.get_running_loop()
    stop, again = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)  # before it is ready too: HUP would end it
    app = App(config, allow_unverified=allow_unverified)
    if not await _started(app, stop):
        return
    settle()
    reloader = Reloader(app, path)
    tasks = [
        loop.create_task(reloader.watch_files(), name="watch files"),
        loop.create_task(_reload_on(again, reloader), name="reload"),
    ]
    greet(app)
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await app.stop()


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
    checks = sum(len(watched.probes) for watched in app.engine.table.values())
    print(
        f"codeblue watches {counted(len(app.engine.table), 'service')} with {counted(checks, 'check')}\n"
        f"  status page  {address}/\n"
        f"  metrics      {address}/metrics\n"
        f"  readiness    {address}/readyz",
        file=sys.stderr,
        flush=True,
    )
