"""Reload in a real agent, without its process: what a good file changes, and what a bad one does not."""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.app import App
from agent.assembly import assemble
from agent.config.load import load
from agent.config.model import ConfigError
from agent.core.result import Verdict
from agent.core.state import CheckState, ServiceState
from agent.reload import Reloader
from agent.tables import TABLES
from tests.processes import eventually
from tests.servers import free_port

FILE: dict[str, Any] = {"file": "/etc/hostname"}


def services(*extra: Mapping[str, Any]) -> dict[str, Any]:
    web = {"name": "web", "checks": [{**FILE, "name": "there", "every": "1s"}], "page": ["out"]}
    return {"services": [web, *extra], "channels": {"out": {"type": "console"}}}


class Bench:
    """An agent that runs inside the test, its file, and what reloads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.yaml"
        self.folder = folder
        self.port = free_port()

    def write(self, config: Mapping[str, Any], **agent: Any) -> None:
        own = {
            "name": "test",
            "listen": f"127.0.0.1:{self.port}",
            "store": f"sqlite:///{self.folder}/state.db",
            **agent,
        }
        self.path.write_text(yaml.safe_dump({"agent": {**own, **agent}, **config}))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        self.app = App(load(self.path, TABLES))
        self.reloader = Reloader(self.app, self.path)
        await self.app.start()
        try:
            yield self
        finally:
            await self.app.stop()

    def probe(self, service: str, check: str) -> Any:
        return self.app.deciding.engine.table[service].probes[check]

    def scheduled(self) -> set[str]:
        return {probe.key for slot in self.app.checking.scheduler._slots.values() for probe in slot.probes}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.write(services())
    return made


BAD = {
    "not YAML": "services: [",
    "not a mapping": "- 1",
    "empty": "",
    "an unknown key": "services: [{name: web, checks: [{http: 'http://127.0.0.1/'}], pgae: [out]}]",
    "a wrong type": "services: [{name: web, checks: [{http: 'http://127.0.0.1/', every: soon}]}]",
    "an unknown type of check": "services: [{name: web, checks: [{ping: 127.0.0.1}]}]",
    "a channel that is not there": "services: [{name: web, checks: [{file: /}], page: [nobody]}]",
    "a cycle": (
        "services: [{name: a, checks: [{file: /}], depends_on: [b]}, {name: b, checks: [{file: /}], depends_on: [a]}]"
    ),
}


class TestPromise9ABadConfigNeverReplacesAGoodOne:
    async def test_whatever_is_wrong_the_old_one_stays_in_force_and_the_agent_says_so(self, bench: Bench) -> None:
        async with bench.running():
            config, table = bench.app.config, dict(bench.app.deciding.engine.table)
            probe = bench.probe("web", "there")
            good = bench.path.read_text()
            for name, text in BAD.items():
                bench.path.write_text(text)
                assert await bench.reloader.reload() is False, name
                assert bench.app.vitals.config_trouble, name
                assert bench.app.config is config, name
                assert bench.app.deciding.engine.table == table, name
                assert bench.probe("web", "there") is probe, name
                assert "codeblue_config_reload_success 0" in _metrics(bench), name
            bench.path.write_text(good)
            assert await bench.reloader.reload() is True
            assert bench.app.vitals.config_trouble == ""
            assert "codeblue_config_reload_success 1" in _metrics(bench)

    async def test_a_pager_that_cannot_work_never_starts(self, bench: Bench) -> None:
        bench.write(services() | {"channels": {"out": {"type": "webhook", "url": "not an address"}}})
        with pytest.raises(ConfigError, match="out"):
            load(bench.path, TABLES)

    async def test_a_file_that_vanished_is_a_bad_one(self, bench: Bench) -> None:
        async with bench.running():
            bench.path.unlink()
            assert await bench.reloader.reload() is False
            assert "web" in bench.app.deciding.engine.table


class TestPromise9AReloadKeepsWhatItDoesNotChange:
    async def test_a_check_that_did_not_change_goes_on_as_the_very_same(self, bench: Bench) -> None:
        async with bench.running():
            before = bench.probe("web", "there")
            bench.write(services({"name": "db", "checks": [{**FILE, "every": "1h"}]}))
            assert await bench.reloader.reload()
            assert bench.probe("web", "there") is before
            assert not before.removed
            assert bench.scheduled() == {"web/there", "db/file"}

    async def test_a_check_that_changed_keeps_its_figures_and_leaves_its_old_schedule(self, bench: Bench) -> None:
        async with bench.running():
            before = bench.probe("web", "there")
            before.row.runs[0] = 41
            changed = services()
            changed["services"][0]["checks"][0]["every"] = "1h"
            bench.write(changed)
            assert await bench.reloader.reload()
            after = bench.probe("web", "there")
            assert after is not before
            assert before.removed
            assert after.row.runs[0] >= 41
            assert len([job for job in bench.app.checking.scheduler._aps.get_jobs() if job.id.startswith("slot/")]) == 1

    async def test_a_service_that_is_gone_takes_its_rows_its_schedule_and_its_state_with_it(self, bench: Bench) -> None:
        bench.write(services({"name": "db", "checks": [{**FILE, "every": "1s"}]}))
        async with bench.running():
            gone = bench.probe("db", "file")
            bench.write(services())
            assert await bench.reloader.reload()
            assert gone.removed
            assert "db" not in bench.app.rows
            assert bench.scheduled() == {"web/there"}
            assert 'service="db"' not in _metrics(bench)

    async def test_dependencies_are_those_of_the_new_file_for_services_that_it_did_not_touch_too(
        self, bench: Bench
    ) -> None:
        def chain(*names: str, base: tuple[str, ...] = ()) -> dict[str, Any]:
            found = [{"name": "db", "checks": [FILE], "depends_on": list(base)}]
            found += [{"name": name, "checks": [FILE], "depends_on": ["db"]} for name in names]
            return services(*found, {"name": "disk", "checks": [FILE]})

        bench.write(chain("api"))
        async with bench.running():
            api = bench.app.deciding.engine.table["api"]
            assert api.upstream == ("db",)
            bench.write(chain("api", base=("disk",)))
            assert await bench.reloader.reload()
            assert bench.app.deciding.engine.table["api"] is api
            assert api.upstream == ("db", "disk")
            assert set(bench.app.deciding.engine.table["disk"].downstream) == {"db", "api"}


@pytest.mark.parametrize("part", ["use_actions", "watch", "use"])
async def test_a_reload_that_fails_half_way_is_said_and_the_next_one_does_the_whole_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    bench.write(services({"name": "old", "checks": [FILE]}))
    async with bench.running():
        bench.write(services({"name": "new", "checks": [FILE]}))
        with monkeypatch.context() as broken:
            whose = {"use_actions": bench.app, "watch": bench.app.deciding, "use": bench.app.together}
            broken.setattr(whose[part], part, fail)
            assert await bench.reloader.reload() is False
        assert "half-way: LookupError" in bench.app.vitals.config_trouble
        assert await bench.reloader.reload() is True
        assert bench.app.vitals.config_trouble == ""
        assert bench.app.deciding.engine.table.keys() == bench.app.rows.keys() == {"web", "new"}
        assert bench.scheduled() == {"web/there", "new/file"}


def fail(*_: object) -> None:
    raise LookupError("a bug")


def test_what_is_watched_keeps_its_state_its_version_and_its_inbox_over_an_assembly(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write(services())
    config = load(bench.path, TABLES)
    present = assemble(config, {}, {})
    watched = present["web"]
    watched.version = 7
    down = CheckState(verdict=Verdict.FAIL, misses=1)
    watched.row.state = ServiceState(service="web", checks={"there": down})
    again = assemble(config, {}, present)
    assert again["web"] is watched
    assert (watched.version, watched.row.state.checks["there"]) == (7, down)


class TestTokens:
    """A token that leaked is changed by a reload: the old one must not open anything any more."""

    def ask(self, bench: Bench, token: str) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{bench.port}/api/services", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    async def opens(self, bench: Bench, *tokens: str) -> list[int]:
        return [await asyncio.to_thread(self.ask, bench, token) for token in tokens]

    async def test_the_new_ones_are_in_force_after_a_reload(self, bench: Bench) -> None:
        bench.write(services(), tokens=["first-one", "second-one"])
        async with bench.running():
            assert await self.opens(bench, "first-one", "second-one", "third-one") == [200, 200, 401]
            bench.write(services(), tokens=["second-one", "third-one"])
            assert await bench.reloader.reload()
            assert await self.opens(bench, "first-one", "second-one", "third-one") == [401, 200, 200]
            bench.write(services())
            assert await bench.reloader.reload()
            assert await self.opens(bench, "first-one") == [200], "from this machine anybody may ask"

    async def test_an_address_that_others_reach_is_never_without(self, bench: Bench) -> None:
        """The new address is only listened on after a restart: until then the old tokens stand."""
        bench.write(services(), tokens=["first-one"])
        async with bench.running():
            bench.app.server.host = "192.0.2.1"
            bench.write(services())
            assert await bench.reloader.reload()
            assert await self.opens(bench, "first-one", "other-one") == [200, 401]


async def test_a_file_that_hangs_is_given_up_and_a_later_reload_is_not_held_up_by_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.reload.READ_WITHIN", 0.3)
    pipe = bench.folder / "token"
    os.mkfifo(pipe)
    async with bench.running():
        beat = {"heartbeat": {"every": "1h"}, "token_file": "token"}
        bench.write(services({"name": "job", "checks": [beat]}))
        try:
            assert await bench.reloader.reload() is False
        finally:
            pipe.write_text("knock-knock")  # a thread reads it, and ends
        assert "could not be read within 0.3 s" in bench.app.vitals.config_trouble
        assert "web" in bench.app.deciding.engine.table
        monkeypatch.setattr("agent.reload.READ_WITHIN", 30.0)
        bench.write(services({"name": "db", "checks": [FILE]}))
        assert await bench.reloader.reload() is True
        assert "db" in bench.app.deciding.engine.table


def has(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()


class TestWhatIsWatched:
    """Each without a signal: a change of a file is enough."""

    @asynccontextmanager
    async def watching(self, bench: Bench) -> AsyncIterator[Reloader]:
        async with bench.running():
            task = asyncio.create_task(bench.reloader.watch_files())
            try:
                yield bench.reloader
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def test_a_file_that_is_edited_or_gone_is_seen(self, bench: Bench) -> None:
        async with self.watching(bench):
            bench.path.unlink()
            await eventually(lambda: bench.app.vitals.config_trouble != "")
            bench.write(services({"name": "db", "checks": [FILE]}))
            await eventually(lambda: "db" in bench.app.deciding.engine.table)
            assert bench.app.vitals.config_trouble == ""

    async def test_a_copy_of_what_is_in_force_that_the_disk_does_not_take_is_kept_when_it_does(
        self, bench: Bench
    ) -> None:
        kept, in_the_way = bench.folder / "state.db.last-good", bench.folder / "state.db.last-good.new"
        in_the_way.mkdir()
        async with self.watching(bench) as reloader:
            reloader.keep_again = 0.5
            bench.write(services({"name": "db", "checks": [FILE]}))
            await eventually(lambda: "db" in bench.app.deciding.engine.table)
            await asyncio.sleep(2.5)
            assert not has(kept, "db")
            in_the_way.rmdir()
            await eventually(lambda: has(kept, "db"))

    async def test_a_mended_file_that_only_the_refused_configuration_names_is_taken_over(self, bench: Bench) -> None:
        part = bench.folder / "part.yaml"
        async with self.watching(bench):
            part.write_text("services: [{name: db, checks: [fiel]}]")
            bench.write({**services(), "include": ["part.yaml"]})
            await eventually(lambda: "fiel" in bench.app.vitals.config_trouble)
            part.write_text("services: [{name: db, checks: [{file: /etc/hostname}]}]")
            await eventually(lambda: "db" in bench.app.deciding.engine.table)

    async def test_a_file_whose_rights_are_changed_is_read_again(self, bench: Bench) -> None:
        async with self.watching(bench):
            reloads = bench.reloader._seen
            bench.path.chmod(0o640)
            await eventually(lambda: bench.reloader._seen != reloads)

    async def test_a_secret_file_that_was_missing_is_waited_for(self, bench: Bench) -> None:
        secret = bench.folder / "beat.token"
        async with self.watching(bench):
            beat = {"heartbeat": {"every": "1h"}, "token_file": "beat.token"}
            bench.write(services({"name": "job", "checks": [beat]}))
            await eventually(lambda: "beat.token" in bench.app.vitals.config_trouble)
            secret.write_text("knock-knock")
            await eventually(lambda: "job" in bench.app.deciding.engine.table)

    @pytest.mark.parametrize("pattern", ["teams/*/services.yaml", "teams/**/*.yaml", "teams/*/*"])
    async def test_a_new_file_in_a_new_folder_that_a_pattern_means_is_seen(self, bench: Bench, pattern: str) -> None:
        (bench.folder / "teams").mkdir()
        bench.write({**services(), "include": [pattern]})
        async with self.watching(bench):
            (bench.folder / "teams" / "db").mkdir()
            (bench.folder / "teams" / "db" / "services.yaml").write_text("services: [{name: db, checks: [{file: /}]}]")
            await eventually(lambda: "db" in bench.app.deciding.engine.table)

    async def test_what_is_edited_while_a_reload_is_made_is_not_lost(self, bench: Bench) -> None:
        stubborn = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
        )
        child = {"command": ["python", "-c", stubborn], "stop_timeout": "1500ms"}
        bench.write({**services(), "processes": {"deaf": child}})
        async with self.watching(bench):
            bench.write({**services(), "processes": {}})
            await eventually(lambda: not bench.app.config.processes)  # it waits for the child's end now
            assert bench.app.checking.children.status() == {}
            bench.write(services({"name": "db", "checks": [FILE]}))
            await eventually(lambda: "db" in bench.app.deciding.engine.table)

    async def test_thousands_of_problems_are_told_in_a_few_lines(self, bench: Bench) -> None:
        async with bench.running():
            bench.write({"services": [{"name": f"s{n}", "checks": ["fiel"]} for n in range(3000)]})
            assert await bench.reloader.reload() is False
            said = bench.app.vitals.config_trouble
            assert said.splitlines()[-1] == "and 2997 more, which codeblue validate shows"
            assert len(said) < 1000


def _metrics(bench: Bench) -> str:
    _, chunks = bench.app.metrics.render()
    return b"".join(chunks).decode()
