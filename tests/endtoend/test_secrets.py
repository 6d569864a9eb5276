"""Promise 10: whatever prints a secret that config holds, it is in no log line, page, trace or metric of the agent."""

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.endtoend.agent import cli, wait_for
from tests.endtoend.around import Receiver
from tests.endtoend.conftest import MakeAgent

SECRET = "hunter2-with-ümlaut"
FILE = "token.txt"
LEAKS = "import sys; print('CRITICAL - login with', open(sys.argv[1]).read()); sys.exit(2)"
RESTART = "import sys; print('tried', open(sys.argv[1]).read(), file=sys.stderr); sys.exit(1)"


@contextmanager
def collector() -> Iterator[tuple[int, list[bytes]]]:
    """Takes whatever is posted to it."""
    taken: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port, taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestPromise10SecretsAreNeverShown:
    def test_a_check_and_a_restart_that_print_one_show_it_nowhere(
        self, make_agent: MakeAgent, hook: Receiver, tmp_path: Path
    ) -> None:
        (tmp_path / FILE).write_text(SECRET)
        token = str(tmp_path / FILE)
        with collector() as (port, spans):
            agent = make_agent(
                {
                    "agent": {"traces": {"endpoint": f"http://127.0.0.1:{port}", "sample": 1}},
                    "services": [
                        {
                            "name": "api",
                            "checks": [
                                {"command": [sys.executable, "-c", LEAKS, token], "every": "5s", "timeout": "5s"},
                                {"heartbeat": {"every": "1h"}, "name": "beat", "token": "${API_TOKEN}"},
                            ],
                            "restart": {"command": [sys.executable, "-c", RESTART, token], "at_most": "1 per 1h"},
                            "page": ["hook"],
                        }
                    ],
                    "channels": {"hook": hook.channel},
                },
                env={"API_TOKEN": SECRET},
            )
            with agent.running():
                page = wait_for(lambda: hook.taken("opened"), 20)[0].body
                shown = [
                    agent.ask(path)[1].decode()
                    for path in (
                        "/",
                        "/service/api",
                        "/metrics",
                        "/api/services",
                        "/api/services/api",
                        "/api/incidents",
                    )
                ]
                shown += [cli(agent, command, *more).stdout for command, *more in (["explain", "api"], ["incidents"])]
            shown += [str(page), agent.log, *(body.decode("utf-8", "replace") for body in spans)]
            assert "login with ***" in str(page), "the page says what the check said, but for the secret"
            assert "tried ***" in str(page)
            assert b"login with ***" in b"".join(spans)
            for text in shown:
                assert SECRET not in text
                assert "mlaut" not in text, "nor in any other writing of it"
