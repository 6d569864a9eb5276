"""A bad night, for real: an agent with a service that breaks, a restart that fails, channels that refuse, heartbeats
and logs, scraped by Debian's Prometheus with our rules. On loopback, in a folder of its own, ended by pid."""

import contextlib
import json
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Authority, free_port

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-worker"
CONFIG = """
agent:
  name: night
  listen: "127.0.0.1:{agent}"
  store: "sqlite:///night.db"
  ping: {{url: "http://127.0.0.1:{closed}/ping", every: 5s}}
drill: {{services: [photos], within: 3s, every: 30d}}
defaults: {{every: 1s, timeout: 900ms, misses: 2, retry: 200ms, recover: 2}}
services:
  - name: photos
    checks:
      - http: "http://127.0.0.1:{photos}/health"
      - {{http: {{url: "https://localhost:{secure}/health", ca_file: "{ca}"}}, name: secure}}
      - {{tcp: "127.0.0.1:{photos}", name: port}}
    restart: {{command: [/bin/false], at_most: 1 per 1h, verify: 1s}}
    page: [terminal, gone, closed]
  - name: worker
    checks: [{{heartbeat: {{every: 5s, grace: 5s}}, token: "{token}"}}]
    page: [terminal]
  - name: report
    checks: [{{command: [/bin/sh, -c, "echo cannot tell; exit 3"]}}]
  - name: host
    checks: [{{host: {{}}, every: 5s}}]
channels:
  terminal: {{type: console}}
  gone: {{type: webhook, url: "http://127.0.0.1:{photos}/gone"}}
  closed: {{type: webhook, url: "http://127.0.0.1:{closed}/closed"}}
logs:
  - {{files: ["{log}"], service: photos}}
"""
PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: codeblue
    static_configs: [{{targets: ["127.0.0.1:{agent}", "127.0.0.1:{closed}"]}}]
"""


class Photos(BaseHTTPRequestHandler):
    """Well until it is broken; takes no webhooks."""

    broken = False

    def do_GET(self) -> None:
        self._answer(503 if Photos.broken else 200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(404)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not on the terminal."""


@dataclass
class Night:
    """Where everything is, and what Prometheus says."""

    folder: Path
    ports: dict[str, int]
    errors: list[str] = field(default_factory=list)

    def ask(self, path: str, **parameters: str | float) -> Any:
        """What Prometheus's HTTP API answers. AssertionError with its message when it refuses the question."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(json.load(refused)["error"]) from None

    def now(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return [each for each in found if each["value"][1] != "NaN"]

    def lately(self, expression: str) -> list[dict[str, Any]]:
        """The series of a range query over the last minute that have at least one number in them."""
        end = time.time()
        data = self.ask("query_range", query=expression, start=end - 60, end=end, step=1)
        return [each for each in data["result"] if any(value != "NaN" for _, value in each["values"])]

    def until(self, expression: str, within: float = 20.0) -> None:
        end = time.monotonic() + within
        while not self.now(expression):
            assert time.monotonic() < end, f"not within {within} s: {expression}\n{self.said()}"
            time.sleep(0.2)

    def said(self) -> str:
        """The ends of what the processes wrote."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.out")))


@contextlib.contextmanager
def night(folder: Path) -> Iterator[Night]:
    """From the first scrape to a service that is down, restarted in vain, paged about, with one page undeliverable."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.fail("prometheus is missing: install Debian's package prometheus (tests/install-debian-packages)")
    Photos.broken = False
    authority = Authority(folder)
    ports = {name: free_port() for name in ("agent", "closed", "prometheus")}
    with contextlib.ExitStack() as stack:
        ports["photos"] = stack.enter_context(_photos(None))
        ports["secure"] = stack.enter_context(_photos(authority.issue("localhost").context()))
        config = folder / "config.yaml"
        log = folder / "photos.log"
        log.touch()
        config.write_text(CONFIG.format(**ports, ca=authority.file, token=TOKEN, log=log))
        (folder / "prometheus.yaml").write_text(PROMETHEUS.format(**ports, rules=ROOT / "alerts/rules/codeblue.yaml"))
        here = Night(folder, ports)
        agent = stack.enter_context(_process(folder, "agent", _agent_argv(config)))
        argv = [prometheus, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/tsdb"]
        argv += [f"--web.listen-address=127.0.0.1:{ports['prometheus']}", "--log.level=warn"]
        stack.enter_context(_process(folder, "prometheus", argv))
        stack.enter_context(_everyday_life(f"http://127.0.0.1:{ports['agent']}", log))
        _wait_for_prometheus(here)
        _let_it_happen(here, config, agent)
        yield here


def _agent_argv(config: Path) -> list[str]:
    code = "from agent.cli import main; main()"
    return [sys.executable, "-c", code, "run", "--config", str(config), "--allow-unverified", "--log-json"]


@contextlib.contextmanager
def _process(folder: Path, name: str, argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _photos(context: ssl.SSLContext | None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Photos)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def _everyday_life(agent: str, log: Path) -> Iterator[None]:
    """Beats with the right token and with a wrong one, log lines good and bad, twice a second."""
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.5):
            for token in (TOKEN, "wrong"):
                beat = urllib.request.Request(f"{agent}/beat/worker/heartbeat", headers={"X-Codeblue-Token": token})
                with contextlib.suppress(OSError), urllib.request.urlopen(beat, timeout=2):
                    pass
            with log.open("a") as lines:
                lines.write('{"level": "info", "message": "served"}\n{"level": "error", "message": "disk is slow"}\n')

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wait_for_prometheus(here: Night) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{here.ports['prometheus']}/-/ready", timeout=10).close()
        except OSError:  # nobody listens, or the answer is 503 while it starts
            assert time.monotonic() < end, here.said()
            time.sleep(0.1)
        else:
            return


def _order(here: Night, path: str, status: int, **what: str) -> None:
    url = f"http://127.0.0.1:{here.ports['agent']}/api/{path}"
    asked = urllib.request.Request(url, json.dumps(what).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == status


def _let_it_happen(here: Night, config: Path, agent: subprocess.Popen[bytes]) -> None:
    up = 'codeblue_service_health{service="photos", health="up"} == 1'
    here.until(f"max_over_time(timestamp({up})[5m:15s])", within=40)
    here.until("codeblue_detection_seconds_count == 0")
    _order(here, "silences", 201, match="service=~report|host", **{"for": "1h"})
    _order(here, "maintenance", 201, match="service=host", **{"for": "1h"})
    Photos.broken = True
    here.until('codeblue_restarts_total{outcome="failed"}')
    here.until('codeblue_notices_total{channel="gone", outcome="dead"}')
    here.until('codeblue_notices_total{channel="closed", outcome="retried"}')
    here.until('codeblue_quiet_services{kind="silence"} == 2')
    _order(here, "ack", 200, service="photos", by="alice")
    _order(here, "drills", 202, service="photos", by="alice")  # one that fails: two of the channels take nothing
    here.until("codeblue_drill_success == 0")
    config.write_text(config.read_text() + "\nservicess: []\n")
    agent.send_signal(signal.SIGHUP)
    here.until("codeblue_config_reload_success == 0")
    here.until('ALERTS{alertname="CodeblueConfigReloadFailed", alertstate="firing"}')
