"""The agent of the demo: a real `codeblue run` in a process of its own, whose log and pages are told as a timeline."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
from rich.console import Console
from rich.text import Text

from agent.commands.show import OF_ONE_CHECK

TOLD = {  # events that the timeline shows, and how
    "missed": ("✗", "yellow"),
    "recovered_early": ("✓", "green"),
    "opened": ("✗", "red"),
    "restart_ordered": ("↻", "cyan"),
    "restart_finished": ("↻", "cyan"),
    "verify_failed": ("✗", "red"),
    "restart_refused": ("■", "red"),
    "paged": ("☎", "magenta"),
    "delivered": ("☎", "magenta"),
    "check_recovered": ("✓", "green"),
    "closed": ("✓", "green"),
}


class StoryFailed(Exception):
    """Something that was promised did not happen; the text says what."""


class Fact(NamedTuple):
    """One line of the agent's own log, as far as the story needs it."""

    kind: str
    service: str
    text: str


class DemoAgent:
    """Starts the agent, tells what it does as it happens, and ends it. Raises StoryFailed when it waits in vain."""

    def __init__(self, config: Path, console: Console) -> None:
        self._config = config
        self._console = console
        self._began = time.monotonic()
        self._news = threading.Condition()
        self._facts: list[Fact] = []
        self._pids: dict[str, int] = {}
        self._pages: list[str] = []
        self._taken = 0
        self._telling = False
        self._said: list[str] = []  # beside its log, as where it refuses to start

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "agent.daemon", "run", "--config", str(self._config), "--log-json"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for read in (self._read_log, self._read_pages):
            threading.Thread(target=read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    # ------------------------------------------------------------------------------------------ what it says

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with (self._config.parent / "agent.log").open("w") as log:
            for line in self._process.stderr:
                log.write(line)
                log.flush()
                try:
                    entry = orjson.loads(line)
                except ValueError:
                    self._said.append(line.rstrip())
                    continue
                self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        kind = entry.get("event", "")
        with self._news:
            if kind == "process_started":
                self._pids[entry["process"]] = entry["pid"]
            fact = Fact(kind, entry.get("service", ""), entry.get("text", ""))
            self._facts.append(fact)
            self._news.notify_all()
        if kind in TOLD and self._telling:
            if kind == "delivered":
                time.sleep(0.1)  # the page itself comes by another pipe, and is told first
            self._say(told(entry))

    def _read_pages(self) -> None:
        """The console channel: what people would see of it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._pages.append(line.rstrip())
                self._news.notify_all()
            if line.strip():
                self._console.print(Text(f"            │ {line.rstrip()}", style="magenta"), soft_wrap=True)

    def _say(self, text: Text) -> None:
        self._console.print(Text.assemble((f"  {self.seconds:5.1f} s  ", "dim"), text), soft_wrap=True)

    # ------------------------------------------------------------------------------------------ what is waited for

    def wait_for(self, kind: str, service: str, seconds: float) -> None:
        """Until the agent has said that, after what was waited for last."""

        def said() -> bool:
            for number, fact in enumerate(self._facts[self._taken :], self._taken + 1):
                if (fact.kind, fact.service) == (kind, service):
                    self._taken = number
                    return True
            return False

        self._wait(said, seconds, f"{service}: {kind}")

    def wait_for_page(self, kind: str, service: str, seconds: float) -> None:
        self._wait(lambda: self._count_pages(kind, service) > 0, seconds, f"a message of kind {kind} about {service}")
        self.stay(0.3)  # the message has more lines than its first

    def wait_until_up(self, *urls: str) -> None:
        """Until the agent has started, these answer, and every first check has had its turn; the story begins here."""
        self._wait(lambda: any(fact.kind == "started" for fact in self._facts), 20, "the agent's start")
        self._wait(lambda: all(map(_answers, urls)), 10, "the services to answer")
        self.stay(2.5)
        with self._news:
            self._taken = len(self._facts)
            self._telling = True

    def stay(self, seconds: float) -> None:
        """Let some time pass, in which nothing more should happen."""
        end = time.monotonic() + seconds
        with self._news:
            while (left := end - time.monotonic()) > 0:
                self._news.wait(left)

    def _wait(self, happened: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        with self._news:
            while not happened():
                left = end - time.monotonic()
                if self._process.poll() is not None:
                    self.stay(0.3)  # what it said last may still be on its way
                    said = "\n".join(f"  {line}" for line in self._said[-5:])
                    raise StoryFailed(f"the agent ended while the story waited for {what}\n{said}")
                if left <= 0:
                    raise StoryFailed(f"waited {seconds:g} s in vain for {what}")
                self._news.wait(min(left, 0.5))

    def count(self, kind: str, service: str) -> int:
        with self._news:
            return sum((fact.kind, fact.service) == (kind, service) for fact in self._facts)

    def pages(self, kind: str, service: str) -> int:
        with self._news:
            return self._count_pages(kind, service)

    def _count_pages(self, kind: str, service: str) -> int:
        return sum(f"  {kind}  " in line and f" {service} " in line for line in self._pages)

    def pid_of(self, process: str) -> int:
        return self._pids[process]


def told(entry: Mapping[str, Any]) -> Text:
    """A line of the timeline, from one of the agent's log. Of several checks it says which one is meant."""
    mark, style = TOLD[entry["event"]]
    check = f"{entry['check']}: " if entry["event"] in OF_ONE_CHECK else ""
    return Text.assemble((f"{mark} ", style), (f"{entry['service']:<8}", "bold"), check, entry["text"])


def _answers(url: str) -> bool:
    try:
        with contextlib.closing(urllib.request.urlopen(url, timeout=0.5)) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_ports(count: int) -> tuple[int, ...]:
    """That many loopback ports that nobody listens on just now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)
