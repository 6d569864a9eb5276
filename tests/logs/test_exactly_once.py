"""Every line once: over kill -9 of the agent, and under a burst with rotation."""

import asyncio
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from agent.logs.book import Logs
from agent.logs.query import tail
from agent.logs.store import LogStore
from agent.ports import LogSpec


def rename(log: Path, n: int) -> None:
    log.rename(log.with_name(f"app.log.{n}"))


class Writer(threading.Thread):
    """A service that writes numbered lines at a rate and whose log is rotated every so often: it reopens it at once."""

    def __init__(self, log: Path, rate: int, every: float, rotate: Callable[[Path, int], None]) -> None:
        super().__init__()
        self.log = log
        self.rate = rate
        self.every = every
        self.rotate = rotate
        self.lines = 0
        self.rotations = 0
        self.enough = threading.Event()

    def run(self) -> None:
        began = rotated = time.monotonic()
        file = self.log.open("a")
        while not self.enough.is_set():
            due = int((time.monotonic() - began) * self.rate)
            if due > self.lines:
                file.writelines(f"ERROR request {n} failed: connection refused\n" for n in range(self.lines, due))
                file.flush()
                self.lines = due
            if time.monotonic() - rotated > self.every:
                rotated = time.monotonic()
                self.rotations += 1
                self.rotate(self.log, self.rotations)
                file.close()
                file = self.log.open("a")
            time.sleep(0.002)
        file.close()

    def comes_to(self, *, lines: int, rotations: int) -> None:
        deadline = time.monotonic() + 60
        while self.lines < lines or self.rotations < rotations:
            assert self.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)


def once_each(store: Path, lines: int) -> tuple[list[int], list[int]]:
    """The numbers of lines that are missing, and of those that are in the store more than once."""
    numbers = Counter(int(found.text.split()[2]) for found in tail(store, lines=10_000_000))
    return sorted(set(range(lines)) - set(numbers))[:10], [n for n, times in numbers.items() if times > 1]


def test_every_line_is_stored_exactly_once_over_ten_kills_of_the_agent(tmp_path: Path) -> None:
    store, log = tmp_path / "logs.db", tmp_path / "app.log"
    log.touch()
    argv = [sys.executable, "-m", "tests.logs.follower", str(store), str(log)]
    chance = random.Random(4)
    child = subprocess.Popen(argv, stdout=subprocess.PIPE)
    writer = Writer(log, rate=2000, every=0.15, rotate=rename)
    assert child.stdout is not None
    child.stdout.readline()
    writer.start()
    try:
        for _ in range(10):
            time.sleep(chance.uniform(0.02, 0.5))
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
            child = subprocess.Popen(argv, stdout=subprocess.PIPE)
            assert child.stdout is not None
            child.stdout.readline()
        writer.comes_to(lines=8_000, rotations=20)
        writer.enough.set()
        writer.join()
        deadline = time.monotonic() + 30
        while once_each(store, writer.lines)[0] and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        writer.enough.set()
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert once_each(store, writer.lines) == ([], [])


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="needs Debian's logrotate")
@pytest.mark.parametrize(
    "way",
    [
        pytest.param("create\nsharedscripts", id="renamed, a new one made"),
        pytest.param("nocreate\ndateext\ndateformat -%Y%m%d-%s\nextension .log", id="renamed with the date"),
        pytest.param("copytruncate", id="copied and truncated"),
        pytest.param("create\ncompress", id="compressed at once"),
    ],
)
async def test_what_logrotate_does_loses_and_doubles_nothing(way: str, tmp_path: Path) -> None:
    """Once for who follows the log alone, once for who follows all that is in its folder."""
    folder = tmp_path / "var"
    folder.mkdir()
    log, settings, lines = folder / "app.log", tmp_path / "logrotate.conf", 0
    settings.write_text(f"{log} {{\n{way}\nrotate 9\nmissingok\n}}\n")
    argv = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(settings)]
    log.touch()
    both = {glob: Logs(LogStore(tmp_path / f"{n}.db")) for n, glob in enumerate(["app.log", "*"])}
    for glob, logs in both.items():
        await logs.start([LogSpec(service="photos", files=(str(folder / glob),))])
    for _ in range(2):
        for _ in range(5):
            with log.open("a") as file:
                file.writelines(f"ERROR request {n} failed\n" for n in range(lines, lines + 100))
            lines += 100
            await asyncio.sleep(0.03)
        rotated = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
        assert (await rotated.communicate())[1] == b""
        assert rotated.returncode == 0
        await taken(both.values(), lines)  # who has not even looked between two rotations cannot know of the first
        await asyncio.sleep(0.3 if "dateext" not in way else 1.1)  # the names have seconds in them
    with log.open("a") as file:
        file.write(f"ERROR request {lines} failed\n")
    await taken(both.values(), lines + 1)
    for glob, logs in both.items():
        await logs.stop()
        assert once_each(logs.store.path, lines + 1) == ([], []), glob


async def taken(books: Iterable[Logs], lines: int) -> None:
    """Wait until each of them has taken in that many lines."""
    async with asyncio.timeout(60):
        for logs in books:
            while logs.store.queued + logs.store.written < lines:  # noqa: ASYNC110 - figures of another thread
                await asyncio.sleep(0.02)


async def test_a_burst_of_50_000_lines_a_second_with_rotation_is_stored_once(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    logs = Logs(LogStore(tmp_path / "logs.db"))
    await logs.start([LogSpec(service="photos", files=(str(tmp_path / "app.log*"),))])
    writer = Writer(log, rate=50_000, every=0.2, rotate=rename)
    writer.start()
    await asyncio.to_thread(writer.comes_to, lines=50_000, rotations=5)
    writer.enough.set()
    await asyncio.to_thread(writer.join)
    await taken([logs], writer.lines)
    await asyncio.sleep(0.3)
    await logs.stop()
    assert logs.store.dropped == 0
    assert once_each(tmp_path / "logs.db", writer.lines) == ([], [])
