"""Reload: parse all, validate all, swap. A bad file leaves the old configuration in force, and says so."""

import asyncio
from collections.abc import Iterable
from math import inf
from pathlib import Path
from time import monotonic

import structlog

from agent.app import App
from agent.assembly import alert_rule, assemble, tokens_of
from agent.config.diff import Changes, changes
from agent.config.last_good import keep
from agent.config.load import load
from agent.config.model import Config, ConfigError
from agent.runtime.gate import is_loopback
from agent.runtime.memory import settle
from agent.tables import TABLES

log = structlog.get_logger()

READ_WITHIN = 60.0  # seconds
MOST_PROBLEMS = 100  # in one line of the log
MANY = 1000  # services: after a change of so many, memory is put in order as after the start


class Reloader:
    """Applies the configuration file to a running agent whenever it is told to or sees that a file has changed."""

    def __init__(self, app: App, path: Path) -> None:
        self.keep_again = 60.0  # seconds until a copy that could not be kept is tried again
        self._app = app
        self._path = path
        self._one_at_a_time = asyncio.Lock()
        self._files: set[Path] = set()
        self._seen: tuple[object, ...] = ()
        self._keep_at = inf  # when to try again to keep a copy of what is in force
        self._watch(app.config.files)

    async def reload(self) -> bool:
        """Put the file in force. False, and nothing is changed, when it cannot be used."""
        async with self._one_at_a_time:
            self._app.notifier.send(RELOADING=1)
            try:
                return await self._reload()
            except Exception as error:
                log.exception("reload_failed")
                self.refused(f"a reload failed half-way: {type(error).__name__}: {error}")
                return False
            finally:
                self._app.notifier.send(READY=1)

    async def watch_files(self) -> None:
        """Reload a second after any of the configuration's files, or what their folders hold, has changed."""
        while True:
            await asyncio.sleep(1.0)
            now = await asyncio.to_thread(self._look)
            if now != self._seen:
                self._seen = now
                log.info("config_changed")
                await self.reload()
            elif monotonic() >= self._keep_at:
                async with self._one_at_a_time:
                    await self.keep()

    async def keep(self) -> None:
        """Keep a copy of what is in force, for a start on bad files. What a full disk doesn't take is tried again: an
        older copy would do without services that are watched now."""
        kept = await asyncio.to_thread(keep, self._app.config)
        self._keep_at = inf if kept else monotonic() + self.keep_again

    async def _reload(self) -> bool:
        app = self._app
        files: tuple[Path, ...] = ()
        try:
            new = await self._read()
            files = new.files
            app.hide_secrets(new)
            difference = changes(app.config, new)
            names = (*difference.channels.added, *difference.channels.changed)
            connected = await app.channels.pagers.connect(new.channels[name] for name in names)
        except ConfigError as error:
            self.refused(error.brief(), error.files or files)
            problems = [str(problem) for problem in error.problems[:MOST_PROBLEMS]]
            log.error("config_refused", count=len(error.problems), problems=problems)
            return False
        except TimeoutError:
            self.refused(f"its files could not be read within {READ_WITHIN:g} s: does a disk, or a pipe, hang?")
            log.error("config_unreadable", within=READ_WITHIN)
            return False
        for name in difference.needs_restart:
            log.warning("config_needs_restart", setting=f"agent.{name}", why="it is only read at start")
        old, app.config = app.config, new
        try:
            app.channels.use(connected)
            await _apply(app, difference)
            await app.channels.renewed(connected)
        except BaseException:
            app.config = old  # so that the next reload makes the whole difference again
            raise
        if sum(map(len, (difference.services.added, difference.services.removed, difference.services.changed))) >= MANY:
            settle()
        app.vitals.config_trouble = ""
        app.metrics.config_read(success=True)
        await self.keep()
        log.info("config_reloaded", services=len(new.services), changed=bool(difference))
        return True

    async def _read(self) -> Config:
        """What the files say now. Raises ConfigError, and TimeoutError where one of them hangs."""
        async with asyncio.timeout(READ_WITHIN):
            before = await asyncio.to_thread(self._look)
            new = await asyncio.to_thread(load, self._path, TABLES)
            await asyncio.to_thread(self._watch, new.files, before)
        return new

    def refused(self, why: str, files: tuple[Path, ...] = ()) -> None:
        """Say that what the files say is not in force, until it is. `files` are those that have to be mended."""
        if files:
            self._watch(files)
        self._app.vitals.config_trouble = why
        self._app.metrics.config_read(success=False)

    def _watch(self, files: Iterable[Path], before: object = None) -> None:
        """From now on these are looked at. `before` is what was seen before they were read: what has changed since may
        not have been read."""
        still = before is None or self._look() == before
        self._files = {self._path, *files}
        self._seen = self._look() if still else ()

    def _look(self) -> tuple[object, ...]:
        """What changes when one of the files is edited, or something comes or goes in one of the folders."""
        return tuple((file, _stat(file)) for file in sorted(self._files))


async def _apply(app: App, difference: Changes) -> None:
    new = app.config
    engine, checking = app.deciding.engine, app.checking
    if tokens := tokens_of(new):
        app.tokens = tokens
    elif is_loopback(app.server.host):  # else the address in force, which only a restart changes, would be open to all
        app.tokens = ()
    checking.use(new)
    app.deciding.use(new)
    app.people.use(new)
    await app.alerts_in.use(alert_rule(new))
    app.housekeeping.retention = new.agent.retention
    if difference.processes:
        await checking.children.reconfigure(new.processes)
    if difference.logs:
        await checking.logs.reconfigure(new.logs)
    app.use_actions()
    before = {probe.key: probe for watched in engine.table.values() for probe in watched.probes.values()}
    for name in [name for name in difference.services.removed if name in engine.table]:
        checking.retire(engine.table[name].probes.values())
        await app.deciding.unwatch(name)
    table = assemble(new, {}, engine.table)
    touched = {*difference.services.added, *difference.services.changed}
    app.deciding.watch({name: watched for name, watched in table.items() if name in touched})
    after = {probe.key: probe for watched in table.values() for probe in watched.probes.values()}
    checking.retire(probe for key, probe in before.items() if after.get(key) is not probe)
    checking.scheduler.add(probe for key, probe in after.items() if before.get(key) is not probe)
    app.together.use(new.storm)
    app.drills.configure(new)
    app.ping.use(new.agent.ping)


def _stat(file: Path) -> tuple[int, int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)  # ctime: who may read it
