"""Every line once: over kill -9 of the agent, and under a burst with rotation."""

import asyncio
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
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
        writer.enough.set()
        writer.join()
        deadline = time.monotonic() + 15
        while once_each(store, writer.lines)[0] and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        writer.enough.set()
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert writer.rotations > 20
    assert writer.lines > 8_000
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
        await asyncio.sleep(0.3 if "dateext" not in way else 0.8)  # the names have seconds in them
    with log.open("a") as file:
        file.write(f"ERROR request {lines} failed\n")
    for glob, logs in both.items():
        async with asyncio.timeout(10):
            while logs.store.written <= lines:  # noqa: ASYNC110 - a figure of another thread
                await asyncio.sleep(0.05)
        await logs.stop()
        assert once_each(logs.store.path, lines + 1) == ([], []), glob


async def test_a_burst_of_50_000_lines_a_second_with_rotation_is_stored_once(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    logs = Logs(LogStore(tmp_path / "logs.db"))
    await logs.start([LogSpec(service="photos", files=(str(tmp_path / "app.log*"),))])
    writer = Writer(log, rate=50_000, every=0.2, rotate=rename)
    writer.start()
    await asyncio.sleep(1.2)
    writer.enough.set()
    await asyncio.to_thread(writer.join)
    async with asyncio.timeout(20):
        while logs.store.written < writer.lines:  # noqa: ASYNC110 - a figure of another thread
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await logs.stop()
    assert writer.lines > 40_000
    assert writer.rotations >= 5
    assert logs.store.dropped == 0
    assert once_each(tmp_path / "logs.db", writer.lines) == ([], [])
