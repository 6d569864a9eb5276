"""The real agent as a process of its own: started on a configuration, asked over HTTP, killed by pid.

agent = Agent(tmp_path, {"services": [...], ...})
with agent.running():                      # /readyz answered; SIGTERM and exit code 0 at the end
    agent.get("/api/services")
    agent.value('codeblue_check_runs_total{service="web"')
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

import yaml

from tests.processes import marked
from tests.servers import free_port

T = TypeVar("T")
CODEBLUE = str(Path(sys.executable).with_name("codeblue"))
FAST = {"every": "1s", "timeout": "500ms", "misses": 2, "retry": "200ms", "recover": 1}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(what: Callable[[], T], within: float = 10.0, why: str = "") -> T:
    """The first true answer of a callable; AssertionError when there is none in time."""
    end = monotonic() + within
    while True:
        found = what()
        if found:
            return found
        assert monotonic() < end, f"not within {within:g} s: {why or what}"
        sleep(0.02)


class Agent:
    """One configuration, its folder, and the process that runs it, which may be started and killed many times.

    What `config` says is written to `path`; without `agent.listen` a free port is taken. The standard error of all its
    lives is in `log_path`. `mark` is in the environment of the agent and of what it starts with its own.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.path = folder / "config.yaml"
        self.log_path = folder / "agent.log"
        self.port = free_port()
        self.mark = str(folder)
        self.env = {**os.environ, "CODEBLUE_TEST": self.mark, **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.config: dict[str, Any] = {}
        self.write(config)

    # ------------------------------------------------------------------------------------------ configuration

    def write(self, config: Mapping[str, Any]) -> None:
        """Put this configuration in the file, at once: nobody reads half of it."""
        own = {"name": "test", "listen": f"127.0.0.1:{self.port}", **config.get("agent", {})}
        self.config = {"defaults": FAST, **config, "agent": own}
        self.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def write_text(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    @property
    def database(self) -> Path:
        return self.folder / "codeblue.db"

    # ------------------------------------------------------------------------------------------ life and death

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *arguments: str, prefix: Sequence[str] = ()) -> None:
        """Start it; it need not be ready."""
        with self.log_path.open("ab") as log:
            argv = [*prefix, CODEBLUE, "run", "--config", str(self.path), *arguments]
            self.process = subprocess.Popen(
                argv, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_until_ready(self, within: float = 20.0) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log}"
            return self.readyz()[0] == 200

        wait_for(ready, within, "the agent is not ready")

    def kill(self) -> None:
        """kill -9, whatever it is doing."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, within: float = 12.0) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(within)

    @contextmanager
    def running(self, *arguments: str, prefix: Sequence[str] = ()) -> Iterator["Agent"]:
        """Started, ready, and at the end stopped in good order with nothing left of it."""
        self.start(*arguments, prefix=prefix)
        try:
            self.wait_until_ready()
            yield self
            assert self.stop() == 0
        finally:
            self.clean_up()
        assert wait_for(lambda: not marked(self.mark), 5, "something of it is left running")

    def clean_up(self) -> None:
        """However a test ended: the agent and everything that it started is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    # ------------------------------------------------------------------------------------------ what it says

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body; 0 when nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        try:
            with _DIRECT.open(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def get(self, path: str) -> Any:
        status, body = self.ask(path)
        assert status == 200, f"{path}: {status} {body[:300]!r}"
        return json.loads(body)

    def readyz(self) -> tuple[int, dict[str, Any]]:
        status, body = self.ask("/readyz")
        return status, json.loads(body) if body else {}

    def values(self, series: str) -> list[float]:
        """The values of all samples that begin with this text."""
        status, body = self.ask("/metrics")
        assert status == 200, f"/metrics: {status}"
        return [float(line.rsplit(" ", 1)[1]) for line in body.decode().splitlines() if line.startswith(series)]

    def value(self, series: str) -> float:
        """The sum of them; 0 where there is none."""
        return sum(self.values(series))

    def runs(self, service: str) -> float:
        """How many runs of all checks of a service there were."""
        return self.value(f'codeblue_check_runs_total{{service="{service}"')

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/services/{name}")
        return found

    def health(self, name: str) -> str:
        return str(self.service(name)["health"])

    def timeline(self, name: str) -> list[dict[str, Any]]:
        return list(self.get(f"/api/explain/{name}")["timeline"])

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of this event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


def cli(agent: Agent, *arguments: str, within: float = 20.0) -> subprocess.CompletedProcess[str]:
    """Another `codeblue` command on the agent's configuration, with its outputs piped."""
    argv = [CODEBLUE, *arguments, "--config", str(agent.path)]
    return codeblue(*argv[1:], cwd=agent.folder, env=agent.env, within=within)


def codeblue(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, within: float = 20.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CODEBLUE, *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
