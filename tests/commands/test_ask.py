"""Asking the agent, where something else listens at its address."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from agent.commands.ask import AgentUnreachable, ask
from agent.config.load import load
from agent.tables import TABLES


@contextmanager
def answering(status: int, body: bytes, server: str) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Server", server)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield http.server_port
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.mark.parametrize(
    ("status", "body", "server", "says"),
    [
        pytest.param(200, b"<html>", "nginx", "is not a codeblue agent", id="a web server"),
        pytest.param(200, b"[]", "other", "is not a codeblue agent", id="an API with an empty list"),
        pytest.param(404, b'["nothing"]', "other", "is not a codeblue agent", id="an API that knows nothing of it"),
        pytest.param(401, b'{"error": "a token"}', "codeblue", "wants one of its tokens", id="an agent with tokens"),
        pytest.param(503, b"Service Unavailable", "codeblue", "answered 503", id="an agent with too many connections"),
    ],
)
def test_whoever_is_no_agent_is_not_believed(status: int, body: bytes, server: str, says: str, tmp_path: Path) -> None:
    with answering(status, body, server) as port:
        path = tmp_path / "config.yaml"
        path.write_text(f'agent: {{listen: "127.0.0.1:{port}"}}\nservices: [{{name: web, checks: [agent]}}]\n')
        with pytest.raises(AgentUnreachable, match=says):
            ask(load(path, TABLES), "/api/services")
