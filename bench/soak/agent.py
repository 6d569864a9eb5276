"""The agent under soak: its process over many lives, what it answers, and what it costs."""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bench.processes import cpu_ticks
from bench.soak.journal import Journal, Span
from bench.soak.services import Places

CODEBLUE = Path(sys.executable).with_name("codeblue")
START = 40.0  # seconds that a start may take
END = 20.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Sample:
    """What one life of the agent took at that moment: KiB, open descriptors, threads, CPU ticks with its children's."""

    at: float
    pid: int
    rss: int
    descriptors: int
    threads: int
    ticks: int
    database: int
    journal: int  # bytes of the database's write-ahead log


@dataclass(frozen=True, slots=True)
class Readiness:
    """One answer of /readyz; status 0 is none."""

    at: float
    status: int
    reasons: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


@dataclass(slots=True)
class Watch:
    """What was seen of the agent from outside, all the time."""

    samples: list[Sample] = field(default_factory=list)
    ready: list[Readiness] = field(default_factory=list)
    runs: list[tuple[float, int, float, int]] = field(default_factory=list)  # time, pid, checks run, CPU ticks
    lives: int = 0


class Agent:
    """Starts, kills and asks it; keeps the journal of when it was there."""

    def __init__(self, places: Places, journal: Journal) -> None:
        self.places = places
        self.journal = journal
        self.watch = Watch()
        self.log = places.folder / "agent.log"
        self.process: asyncio.subprocess.Process | None = None
        self.suspended = False
        self.moving = asyncio.Lock()  # one start, kill or suspension at a time
        self._span: Span | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.places.listen}"

    @property
    def up(self) -> bool:
        return self._span is not None

    # ------------------------------------------------------------------------------------------ life and death

    async def start(self) -> None:
        """Start it, and wait until it is ready. Raises RuntimeError where it does not become so."""
        argv = [str(CODEBLUE), "run", "--config", str(self.places.folder / "config.yaml"), "--log-json"]
        with self.log.open("ab") as log, (self.places.folder / "console.out").open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=log, cwd=self.places.folder
            )
        self.watch.lives += 1
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self.process.returncode is not None:
                raise RuntimeError(f"the agent ended by itself with {self.process.returncode}")
            if (await self.readiness()).status != 0:
                self._span = Span(time.time())
                self.journal.agent.append(self._span)
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"the agent was not ready within {START:g} s")

    def _gone(self) -> None:
        if self._span is not None:
            self._span.end = time.time()
            self._span = None

    async def kill(self) -> None:
        """kill -9."""
        self._gone()
        self.signal(signal.SIGKILL)
        await self._ended()
        self.journal.moment("killed")

    async def stop(self) -> int:
        """SIGTERM. Its exit code; one that does not end in time is killed, and -9."""
        self._gone()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END):
                code = await self._ended()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            code = await self._ended()
        self.journal.moment("stopped")
        return code

    async def suspend(self, seconds: float) -> None:
        """Nothing of it runs for so long."""
        self._gone()
        self.suspended = True
        span = self.journal.trouble("suspended")
        self.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.signal(signal.SIGCONT)
        self.suspended = False
        self.journal.over(span)
        self._span = Span(time.time())
        self.journal.agent.append(self._span)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def _ended(self) -> int:
        return await self.process.wait() if self.process is not None else 0

    # ------------------------------------------------------------------------------------------ what it says

    async def ask(self, path: str) -> Any:
        """JSON. Raises OSError or ValueError where there is none."""
        return json.loads((await asyncio.to_thread(_request, self.url + path))[1])

    async def tell(self, path: str, **body: object) -> int:
        """POST; the status, 0 where nobody answers."""
        try:
            return (await asyncio.to_thread(_request, self.url + path, json.dumps(body).encode()))[0]
        except OSError:
            return 0

    async def readiness(self) -> Readiness:
        at = time.time()
        try:
            status, body = await asyncio.to_thread(_request, f"{self.url}/readyz")
            said = json.loads(body)
        except (OSError, ValueError):
            return Readiness(at, 0)
        return Readiness(at, status, tuple(said["reasons"]), tuple(said["degraded"]))

    # ------------------------------------------------------------------------------------------ what it costs

    async def look_on(self) -> None:
        """A sample every second, and the number of checks that ran every ten."""
        turn = 0
        while True:
            await asyncio.sleep(1.0)
            turn += 1
            if self.suspended or not self.up:
                continue
            self.watch.ready.append(await self.readiness())
            if turn % 5 == 0 and (sample := self.sample()) is not None:
                self.watch.samples.append(sample)
            if turn % 10 == 0:
                await self._count()

    async def _count(self) -> None:
        sample = self.sample()
        try:
            text = (await asyncio.to_thread(_request, f"{self.url}/metrics"))[1].decode()
        except OSError:
            return
        runs = sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("codeblue_check_runs_total{")
        )
        if sample is not None:
            self.watch.runs.append((sample.at, sample.pid, runs, sample.ticks))

    def sample(self) -> Sample | None:
        if self.process is None or self.process.returncode is not None:
            return None
        proc = Path(f"/proc/{self.process.pid}")
        try:
            status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
            descriptors = len(os.listdir(proc / "fd"))
            ticks = cpu_ticks((proc / "stat").read_text())
            rss, threads = int(status["VmRSS"].split()[0]), int(status["Threads"])
        except (OSError, KeyError, ValueError):
            return None
        size, journal = (_size(path) for path in (self.places.database, Path(f"{self.places.database}-wal")))
        return Sample(time.time(), self.process.pid, rss, descriptors, threads, ticks, size, journal)


def _request(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body, whatever the status. Raises OSError."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    try:
        with _DIRECT.open(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except HTTPException as error:
        raise OSError(str(error)) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
