"""What stands around the agent in these tests: a service that can be broken, and a receiver of webhooks."""

import json
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

ROOT = Path(__file__).parents[2]


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # whoever asked was killed meanwhile


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error here."""


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---------------------------------------------------------------------------------------------------- a service


@dataclass
class Service:
    """A service under watch: `status` is what it answers, after `delay` seconds."""

    status: int = 200
    delay: float = 0.0
    port: int = 0
    asked: list[float] = field(default_factory=list)  # monotonic times of its requests
    traceparents: list[str] = field(default_factory=list)  # and their W3C trace contexts
    _closing: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/health"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                service.asked.append(monotonic())
                service.traceparents.append(self.headers["traceparent"] or "")
                status, delay = service.status, service.delay
                service._closing.wait(delay)
                self.answer(status)

        return Handler

    @contextmanager
    def serving(self) -> Iterator["Service"]:
        with _serving(self.handler()) as port:
            self.port = port
            yield self
            self._closing.set()


# ---------------------------------------------------------------------------------------------------- a receiver


@dataclass(frozen=True)
class Got:
    """One request to the receiver, whatever it was answered."""

    at: float  # monotonic
    key: str
    kind: str
    incident: str
    service: str
    status: int
    body: dict[str, Any]


@dataclass
class Receiver:
    """A webhook receiver. `rule` says how the n-th request (from 0) is answered: status and delay in seconds."""

    rule: Callable[[int], tuple[int, float]] = lambda _: (200, 0.0)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of all requests, answered or not
    port: int = 0
    _lock: Lock = field(default_factory=Lock)
    _number: int = 0
    _closing: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def begun(self) -> int:
        """How many requests have come, answered or not."""
        return self._number

    @property
    def channel(self) -> dict[str, Any]:
        """What a configuration says of it."""
        return {"type": "webhook", "url": self.url, "timeout": "3s"}

    def taken(self, kind: str = "", service: str = "") -> list[Got]:
        """The requests that were answered with 2xx."""
        return [
            got
            for got in list(self.got)
            if got.status < 300 and kind in ("", got.kind) and service in ("", got.service)
        ]

    def handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(_Quiet):
            def do_POST(self) -> None:
                at = monotonic()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with receiver._lock:
                    number, receiver._number = receiver._number, receiver._number + 1
                receiver.bodies.append(body)
                status, delay = receiver.rule(number)
                receiver._closing.wait(delay)
                key = self.headers["Idempotency-Key"]
                assert key == body["key"]
                receiver.got.append(Got(at, key, body["kind"], body["incident"], body["service"], status, body))
                self.answer(status, b"", **receiver.headers)

        return Handler

    @contextmanager
    def serving(self) -> Iterator["Receiver"]:
        with _serving(self.handler()) as port:
            self.port = port
            yield self
            self._closing.set()


# ---------------------------------------------------------------------------------------------------- Slack


@dataclass
class Slack:
    """The Slack stand-in as a process of its own."""

    url: str
    token: str

    @property
    def channel(self) -> dict[str, Any]:
        """What a configuration says of it. Fifty a second: this Slack has no limit."""
        options = {"token": self.token, "channel": "#oncall", "api_url": self.url}
        return {"type": "slack", **options, "timeout": "2s", "per_second": 50}

    def posted(self, room: str = "oncall") -> list[dict[str, Any]]:
        """Every message and reply in #oncall, or in "direct-USER", which is empty until the first."""
        with urllib.request.urlopen(self._at("messages"), timeout=5) as answer:
            return list(json.load(answer).get(room, ()))

    def told(self, room: str = "oncall") -> list[dict[str, str]]:
        """Key, incident, service and kind of each of them."""
        return [message["metadata"]["event_payload"] for message in self.posted(room)]

    def fail_next(self, **how: Any) -> None:
        """See `tests.failures.Failure`."""
        data = json.dumps(how).encode()
        request = urllib.request.Request(self._at("fail"), data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5):
            pass

    def mend(self) -> None:
        """Nothing fails any more."""
        with urllib.request.urlopen(urllib.request.Request(self._at("mend"), b"{}"), timeout=5):
            pass

    def _at(self, what: str) -> str:
        return self.url.replace("/api/", f"/standin/{what}")


@contextmanager
def slack() -> Iterator[Slack]:
    process = Popen([sys.executable, "-m", "tests.slack_standin"], cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Slack(said["url"], said["token"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---------------------------------------------------------------------------------------------------- Jira


@dataclass
class Jira:
    """The Jira stand-in as a process of its own."""

    url: str
    user: str
    token: str

    @property
    def channel(self) -> dict[str, Any]:
        """What a configuration says of it."""
        own = {"url": self.url, "user": self.user, "token": self.token, "project": "OPS"}
        return {"type": "jira", **own, "timeout": "3s", "per_second": 50}

    def issues(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/standin/issues", timeout=5) as answer:
            return list(json.load(answer))

    def fail_next(self, **how: Any) -> None:
        """See `tests.jira_standin.JiraStandIn.fail_next`."""
        body = json.dumps(how).encode()
        request = urllib.request.Request(f"{self.url}/standin/fail", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5):
            pass


@contextmanager
def jira() -> Iterator[Jira]:
    process = Popen([sys.executable, "-m", "tests.jira_standin"], cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Jira(said["url"], said["user"], said["token"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def later(seconds: float, what: Callable[[], object]) -> threading.Timer:
    """Do it after so long, on a thread."""
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()
    return timer
