"""Following a real systemd-journald, which runs in a mount namespace of its own over a folder of the test."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from agent.logs.book import Logs
from agent.logs.journal import GAP, Entry, JournalFollower, entry_of
from agent.logs.store import LogStore
from agent.ports import LogLine, LogSpec
from tests.logs.conftest import Said

JOURNALD = "/lib/systemd/systemd-journald"
NEEDED = os.geteuid() == 0 and Path(JOURNALD).exists() and shutil.which("journalctl") and shutil.which("unshare")
real = pytest.mark.skipif(not NEEDED, reason="needs root, systemd-journald and unshare")


class Journald:
    def __init__(self, run: Path) -> None:
        self.run = run
        self.socket = run / "systemd" / "journal" / "socket"
        self.directory = str(run / "log" / "journal")
        settings = run / "systemd" / "journald.conf.d" / "test.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text("[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nRateLimitBurst=0\n")
        (run / "log" / "journal").mkdir(parents=True)
        script = f'mount --bind "$0" /run && exec {JOURNALD}'
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(run)])
        self.wait(self.socket.exists)

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.02)

    def log(self, message: str | bytes, unit: str = "photos.service", priority: int = 6) -> None:
        """One entry about a unit, by the native protocol. Only journald may set _SYSTEMD_UNIT, but `journalctl -u`
        also takes OBJECT_SYSTEMD_UNIT from root."""
        data = message if isinstance(message, bytes) else message.encode()
        entry = b"MESSAGE\n" + len(data).to_bytes(8, "little") + data + b"\n"
        entry += f"PRIORITY={priority}\nOBJECT_SYSTEMD_UNIT={unit}\n".encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self.socket))
            sender.send(entry)

    def settled(self, text: str) -> None:
        """Wait until an entry with this message is in the journal."""
        argv = ["journalctl", f"--directory={self.directory}", "--output=cat", "--no-pager", "--quiet"]
        self.wait(lambda: text.encode() in subprocess.run(argv, capture_output=True, check=False, timeout=30).stdout)

    def vacuum(self) -> None:
        """Rotate, and delete what was rotated away."""
        self.process.send_signal(signal.SIGUSR2)
        self.wait(lambda: list(self.run.glob("log/journal/*/*@*.journal")))
        argv = ["journalctl", f"--directory={self.directory}", "--vacuum-files=1", "--quiet"]

        def gone() -> bool:
            subprocess.run(argv, check=True, capture_output=True, timeout=30)
            return not list(self.run.glob("log/journal/*/*@*.journal"))

        self.wait(gone)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def journald(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journald]:
    daemon = Journald(tmp_path_factory.mktemp("j"))
    yield daemon
    daemon.stop()


class Taken:
    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.saved: dict[str, str] = {}

    async def take(self, line: LogLine | None, positions: dict[str, str | None]) -> None:
        self.lines += [] if line is None else [line]
        self.saved |= {key: text for key, text in positions.items() if text is not None}

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def following(self, journald: Journald) -> AsyncIterator[None]:
        services = {"photos.service": "photos", "orders": "orders"}
        follower = JournalFollower(services, self.saved, self.take, directory=journald.directory)
        task = asyncio.create_task(follower.run())
        await self.until(lambda: self.saved)
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@real
async def test_a_first_start_begins_at_the_end_and_gives_each_units_lines_to_its_service(journald: Journald) -> None:
    journald.log("old")
    journald.settled("old")
    taken = Taken()
    async with taken.following(journald):
        journald.log("it broke", priority=3)
        journald.log("not asked for", unit="other.service")
        journald.log("WARNING says the line itself", unit="orders.service")
        await taken.until(lambda: len(taken.lines) == 2)
    first, second = taken.lines
    assert (first.text, first.service, first.level, first.source) == (
        "it broke", "photos", "error", "journal:photos.service",
    )  # fmt: skip
    assert (second.service, second.level) == ("orders", "warning")
    assert abs((datetime.now(UTC) - first.at).total_seconds()) < 10


@real
async def test_after_a_restart_it_goes_on_behind_the_last_line_also_if_that_is_anothers(journald: Journald) -> None:
    taken = Taken()
    journald.log("of another unit", unit="other.service")
    journald.settled("of another unit")
    async with taken.following(journald):
        pass
    journald.log("one")
    journald.log("two")
    journald.settled("two")
    async with taken.following(journald):
        await taken.until(lambda: len(taken.lines) == 2)
    journald.log("three")
    journald.settled("three")
    async with taken.following(journald):
        await taken.until(lambda: len(taken.lines) == 3)
        await asyncio.sleep(0.2)
    assert taken.texts == ["one", "two", "three"]


@real
async def test_a_cursor_that_was_vacuumed_away_leaves_a_gap_mark_then_the_oldest(
    journald: Journald,
) -> None:
    taken = Taken()
    async with taken.following(journald):
        journald.log("one")
        await taken.until(lambda: taken.lines)
    journald.log("lost")
    journald.settled("lost")
    journald.vacuum()
    journald.log("three")
    journald.settled("three")
    async with taken.following(journald):
        await taken.until(lambda: "three" in taken.texts)
    assert taken.texts == ["one", GAP, GAP, "three"], "one mark for each service that is followed"
    assert {line.service for line in taken.lines if line.text == GAP} == {"photos", "orders"}


@real
async def test_a_message_that_is_not_text_is_readable(journald: Journald) -> None:
    taken = Taken()
    async with taken.following(journald):
        journald.log(b"caf\xe9 \x00 \x1b[31mred")
        journald.log("x" * 100_000)
        await taken.until(lambda: len(taken.lines) == 2)
    assert taken.texts[0].startswith("caf\ufffd")
    assert taken.texts[1].startswith("xxx")


def running(option: str) -> int:
    """The child process of ours that has this option."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (found,) = [pid for pid in children if option.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    return int(found)


@real
async def test_a_journalctl_that_dies_is_started_again_without_loss(journald: Journald, said: Said) -> None:
    taken = Taken()
    async with taken.following(journald):
        journald.log("one")
        await taken.until(lambda: taken.lines)
        os.kill(running("--follow"), signal.SIGKILL)
        journald.log("two")
        await taken.until(lambda: len(taken.lines) == 2)
    assert taken.texts == ["one", "two"]
    assert [entry["event"] for entry in said] == ["journal_ended"]


@real
async def test_units_of_the_configuration_reach_the_store(journald: Journald, tmp_path: Path) -> None:
    logs = Logs(LogStore(tmp_path / "logs.db"), journal_directory=journald.directory)
    await logs.start([LogSpec(service="photos", units=("photos",))])
    async with asyncio.timeout(30):
        while logs.store.queued == logs.store.written == 0:
            journald.log("it broke")
            await asyncio.sleep(0.1)
    assert (await logs.tail("photos", before=datetime.now(UTC)))[0].text == "it broke"
    await logs.stop()
    assert any(key.startswith("journal:") for key in LogStore(tmp_path / "logs.db").start())


async def test_without_journalctl_that_is_said_once_and_nothing_is_tried(said: Said) -> None:
    taken = Taken()
    await JournalFollower({"a": "b"}, {}, taken.take, program="no-such-journalctl").run()
    assert [entry["event"] for entry in said] == ["journal_unavailable"]


STAMP = {"__CURSOR": "c", "__REALTIME_TIMESTAMP": "1795251600000000"}


@pytest.mark.parametrize(
    ("values", "entry"),
    [
        pytest.param(STAMP | {"MESSAGE": "x", "_SYSTEMD_UNIT": "u"}, ("u", "x", ""), id="plain"),
        pytest.param(STAMP | {"MESSAGE": [99, 97, 233], "UNIT": "u"}, ("u", b"ca\xe9", ""), id="bytes, by pid 1"),
        pytest.param(STAMP | {"MESSAGE": ["a", [98, 99]]}, ("", "a\nbc", ""), id="a repeated field"),
        pytest.param(STAMP | {"MESSAGE": None, "PRIORITY": "2"}, ("", "", "critical"), id="too long for journalctl"),
        pytest.param(STAMP | {"PRIORITY": ["3", "4"]}, ("", "", ""), id="two priorities"),
        pytest.param({"MESSAGE": "x"}, None, id="no cursor"),
        pytest.param([1], None, id="not an object"),
    ],
)
def test_an_entry_is_read_as_journalctl_writes_it(values: object, entry: tuple[str, str | bytes, str] | None) -> None:
    found = entry_of(orjson.dumps(values))
    if entry is None:
        assert found is None
    else:
        unit, text, level = entry
        at = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
        assert found == Entry(cursor="c", unit=unit, at=at, text=text, level=level)


@pytest.mark.parametrize("raw", [b"", b"\n", b"-- No entries --\n", b"{", b"null", b'"x"'])
def test_what_is_no_entry_is_none(raw: bytes) -> None:
    assert entry_of(raw) is None
