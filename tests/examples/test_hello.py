"""The example service, run as people run it."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Service:
    """The running example."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.log: Queue[dict[str, Any]] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = self.next("listening", "cannot_start").get("url", "")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.put(json.loads(line))

    def next(self, *messages: str) -> dict[str, Any]:
        """The next line of its log with one of these messages."""
        while True:
            entry = self.log.get(timeout=10)
            if entry["message"] in messages:
                return entry

    def ask(self, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.url.rstrip("/") + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(10)
        self._reader.join(5)
        return code


@pytest.fixture
def hello() -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def start(*argv: str, port: int = 0, **env: str) -> Service:
        command = [sys.executable, "-m", "examples.hello", "--port", str(port), *argv]
        environment = {"PATH": os.environ["PATH"], **env}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        made.append(Service(process))
        return made[-1]

    yield start
    for service in made:
        service.end(signal.SIGKILL)
        assert service.process.stdout is not None
        service.process.stdout.close()


Beats = Queue[tuple[str, str | None, dict[str, Any]]]


@contextmanager
def agent(port: int = 0) -> Iterator[tuple[str, Beats]]:
    """Somebody who takes heartbeats: their path, authorization and body."""
    beats: Beats = Queue()

    class Intake(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            beats.put((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Intake)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/beat/hello/worker", beats
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_it_is_well_when_it_starts(hello: Callable[..., Service]) -> None:
    service = hello()
    status, body = service.ask("/health")
    assert (status, body["status"], body["requests"]) == (200, "ok", 1)
    assert service.ask("/") == (200, {"message": "hello"})
    assert service.ask("/nothing")[0] == 404


def test_it_can_be_broken_and_mended_without_being_ended(hello: Callable[..., Service]) -> None:
    service = hello()
    assert service.ask("/break", "POST")[1]["status"] == "broken"
    status, body = service.ask("/health")
    assert (status, body["status"], body["reason"]) == (503, "broken", "somebody asked for it")
    assert service.ask("/")[0] == 503
    assert service.next("request_failed")["level"] == "error"
    service.ask("/mend", "POST")
    assert service.ask("/health")[0] == 200
    assert service.process.poll() is None
    assert service.ask("/break")[0] == 404  # a GET changes nothing


def test_it_can_fail_by_itself(hello: Callable[..., Service]) -> None:
    assert hello("--fail-after", "0").ask("/health")[0] == 503
    later = hello("--fail-after", "3600")
    assert later.ask("/health")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_told_to(hello: Callable[..., Service], number: int) -> None:
    service = hello()
    assert service.end(number) == 0
    assert service.next("stopped")["level"] == "info"


def test_it_pushes_its_heartbeat_and_says_when_it_is_ill(hello: Callable[..., Service]) -> None:
    with agent() as (url, beats):
        service = hello("--beat-every", "0.05", HELLO_BEAT_URL=url, HELLO_TOKEN="open-sesame")
        path, authorization, body = beats.get(timeout=5)
        assert (path, authorization, body["status"]) == ("/beat/hello/worker", "Bearer open-sesame", "ok")
        service.ask("/break", "POST")
        while path != "/beat/hello/worker/fail":
            path, _, body = beats.get(timeout=5)
        assert body["status"] == "broken"
        assert service.end() == 0


def test_a_watcher_that_is_away_is_said_once_and_harms_nothing(hello: Callable[..., Service]) -> None:
    with agent() as (url, _):
        port = int(url.split("/")[2].split(":")[1])
    service = hello("--beat-every", "0.02", "--beat", url)
    assert "refused" in service.next("heartbeat_not_taken")["error"]
    assert service.ask("/health")[0] == 200
    with agent(port) as (_, beats):
        beats.get(timeout=5)
        service.next("heartbeat_taken_again")
    service.next("heartbeat_not_taken")
    assert service.end() == 0
    messages = [entry["message"] for entry in list(service.log.queue)]
    assert messages == ["stopped"]  # however often it tried


def test_a_client_that_goes_away_is_a_line_of_the_log(hello: Callable[..., Service]) -> None:
    service = hello()
    address = ("127.0.0.1", int(service.url.rstrip("/").rpartition(":")[2]))
    with socket.create_connection(address) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        client.sendall(b"GET /health HT")
    assert "ConnectionReset" in service.next("request_aborted")["error"]
    assert service.ask("/health")[0] == 200


def test_a_port_that_is_taken_is_one_clear_line(hello: Callable[..., Service]) -> None:
    first = hello()
    second = hello(port=int(first.url.rstrip("/").rpartition(":")[2]))
    assert second.url == ""
    assert second.process.wait(5) == 1


def test_a_heartbeat_address_that_is_none_is_refused_at_once(hello: Callable[..., Service]) -> None:
    service = hello("--beat", "file:///etc/passwd")
    assert service.url == ""
    assert service.process.wait(5) == 1
