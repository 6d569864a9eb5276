"""A small web service that can be watched: start here when you make your own service watchable.

    python -m examples.hello [--port 8321] [--beat URL --token TOKEN] [--fail-after SECONDS]

- `GET /health` answers 200 `{"status": "ok", …}` while it is well, 503 `{"status": "broken", …}` while it is not.
- `GET /` greets.
- `POST /break` makes it ill without ending it, `POST /mend` makes it well again, for demonstrations.
- Every few seconds it pushes its own heartbeat to URL (a `heartbeat` check's address,
  `http://127.0.0.1:9797/beat/hello/worker`), and to URL/fail while it is ill.
- It logs one JSON object a line to stdout, and ends cleanly on SIGTERM.

`HELLO_BEAT_URL` and `HELLO_TOKEN` say the same as --beat and --token, which keeps the token out of the process list.
Only the standard library is used.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def log(level: str, message: str, **fields: object) -> None:
    """One line of JSON, at once: a line that stays in a buffer is lost when the process is killed."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message}
    print(json.dumps(entry | fields), flush=True)


class Condition:
    """Whether the service is well, and how much it has done. Safe to use from any thread."""

    def __init__(self, fail_after: float | None = None) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._fail_after = fail_after
        self._broken = ""
        self._requests = 0

    def health(self) -> dict[str, Any]:
        """What `GET /health` says."""
        with self._lock:
            up = time.monotonic() - self._began
            if self._fail_after is not None and up >= self._fail_after:
                self._broken, self._fail_after = f"it was told to fail after {self._fail_after:g} s", None
            health = {"status": "broken" if self._broken else "ok", "uptime": round(up, 3), "requests": self._requests}
            return health | ({"reason": self._broken} if self._broken else {})

    def count(self) -> None:
        with self._lock:
            self._requests += 1

    def break_down(self, reason: str) -> None:
        with self._lock:
            self._broken = reason

    def mend(self) -> None:
        with self._lock:
            self._broken, self._fail_after = "", None


class Hello(ThreadingHTTPServer):
    """The web service."""

    daemon_threads = True  # a client that never finishes must not keep the process from ending
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], condition: Condition) -> None:
        self.condition = condition
        super().__init__(address, Requests)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's
        """A client that went away, or our own mistake: a line of the log like any other, not a traceback on stderr."""
        log("warning", "request_aborted", client=str(client_address), error=repr(sys.exc_info()[1]))


class Requests(BaseHTTPRequestHandler):
    """Answers one client."""

    server: Hello
    timeout = 10
    server_version = "hello"

    def do_GET(self) -> None:
        self.server.condition.count()
        health = self.server.condition.health()
        well = health["status"] == "ok"
        match self.path.partition("?")[0]:
            case "/health":
                self._answer(200 if well else 503, health)
            case "/":
                self._answer(200 if well else 503, {"message": "hello" if well else "something is broken here"})
            case _:
                self._answer(404, {"error": "there are /, /health, /break and /mend"})

    def do_POST(self) -> None:
        match self.path:
            case "/break":
                self.server.condition.break_down("somebody asked for it")
            case "/mend":
                self.server.condition.mend()
            case _:
                self._answer(404, {"error": "there are /break and /mend"})
                return
        log("warning", "condition_changed", by=self.path)
        self._answer(200, self.server.condition.health())

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        if status >= 500:
            log("error", "request_failed", path=self.path, code=status, answer=body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Requests that go well are not worth a line."""


class Heart:
    """Pushes a heartbeat every few seconds from a thread of its own. A push that fails is logged once, until one goes
    through again: the service itself must not suffer from a watcher that is away."""

    def __init__(self, url: str, token: str, condition: Condition, every: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no http address")
        self._url = url.rstrip("/")
        self._token = token
        self._condition = condition
        self._every = every
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(1)

    def beat(self) -> None:
        """Push once."""
        health = self._condition.health()
        url = self._url if health["status"] == "ok" else f"{self._url}/fail"
        request = urllib.request.Request(url, data=json.dumps(health).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=3):
                pass
        except (OSError, ValueError) as error:
            if not self._lost:
                log("warning", "heartbeat_not_taken", url=self._url, error=str(error))
            self._lost = True
        else:
            if self._lost:
                log("info", "heartbeat_taken_again", url=self._url)
            self._lost = False

    def _run(self) -> None:
        self.beat()
        while not self._stop.wait(self._every):
            self.beat()


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hello", description="A small web service that can be watched")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8321, help="0 takes any that is free (default: %(default)s)")
    parser.add_argument("--beat", metavar="URL", default=os.environ.get("HELLO_BEAT_URL", ""))
    parser.add_argument("--token", default=os.environ.get("HELLO_TOKEN", ""))
    parser.add_argument("--beat-every", metavar="SECONDS", type=float, default=5.0)
    parser.add_argument("--fail-after", metavar="SECONDS", type=float, help="become ill by itself after so long")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    condition = Condition(options.fail_after)
    try:
        server = Hello((options.host, options.port), condition)
        heart = Heart(options.beat, options.token, condition, options.beat_every) if options.beat else None
    except (OSError, OverflowError, ValueError) as error:
        log("critical", "cannot_start", port=options.port, error=str(error))
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop that this handler interrupts: it has to be called from elsewhere
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    log("info", "listening", url=f"http://{options.host}:{server.server_port}/", pid=os.getpid())
    if heart is not None:
        heart.start()
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    if heart is not None:
        heart.stop()
    log("info", "stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
