"""A web server on loopback that keeps what it is sent and answers as it is told."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """`answers` are used up, but for the last one, which stays; `got` are method, path, headers and body."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(200, {})])
    got: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    hook: Hook

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"]))
        self.hook.got.append((self.command, self.path, dict(self.headers), payload))
        status, headers = self.hook.answers.pop(0) if len(self.hook.answers) > 1 else self.hook.answers[0]
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 - http.server's own naming

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def hook_server() -> Iterator[Hook]:
    made = Hook()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHandler", (_Handler,), {"hook": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
