"""The systems that are compared: how each is told what to check, started, and asked what it found to be down."""

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path

from bench.processes import ended, run_to_end, start, stop
from bench.targets import Targets, free_port
from bench.web import get

EVERY = 10  # seconds; two misses in all of them, 3 seconds for an answer
TIMEOUT = 3


class System(ABC):
    """One system on one set of targets, in a folder of its own."""

    name: str
    scraped: str | None = None  # an address that Prometheus would scrape every 15 s

    def __init__(self, folder: Path, targets: Targets) -> None:
        self.folder = folder
        self.targets = targets
        self.pids: list[int] = []

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration. Not part of what is measured."""

    @abstractmethod
    def start(self) -> None:
        """Start its processes and note them in `pids`."""

    @abstractmethod
    async def down(self) -> set[str]:
        """The targets that it has found to be down by two misses."""

    @staticmethod
    @abstractmethod
    def version() -> str:
        """What it says of itself."""

    async def stop(self) -> None:
        for pid in self.pids:
            await stop(pid)

    def ensure_alive(self) -> None:
        """Raises RuntimeError with the end of its output when one of its processes has ended."""
        for pid in self.pids:
            if ended(pid):
                said = (self.folder / "output.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} ended by itself:\n{said}")

    def launch(self, *argv: str) -> None:
        self.pids.append(start(argv, self.folder / "output.log", cwd=self.folder).pid)


class Codeblue(System):
    """One service with one http check each; scraped over /metrics as it would be in use."""

    name = "codeblue"

    def __init__(self, folder: Path, targets: Targets) -> None:
        super().__init__(folder, targets)
        self.port = free_port()
        self.scraped = f"http://127.0.0.1:{self.port}/metrics"
        self._read = 0
        self._down: set[str] = set()

    def configure(self) -> None:
        lines = [
            f'agent: {{name: bench, listen: "127.0.0.1:{self.port}", store: "sqlite:///{self.folder}/codeblue.db"}}',
            f"defaults: {{every: {EVERY}s, timeout: {TIMEOUT}s, misses: 2, retry: 2s, page: [terminal]}}",
            "channels:",
            "  terminal: {type: console}",
            "services:",
            *(f'  - {{name: "{name}", checks: [{{http: "{url}"}}]}}' for name, url in self.targets.all().items()),
        ]
        (self.folder / "config.yaml").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        self.launch(str(Path(sys.executable).with_name("codeblue")), "run", "--config", "config.yaml", "--log-json")

    async def down(self) -> set[str]:
        with (self.folder / "output.log").open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            if line.startswith(b"{") and b'"event":"opened"' in line:
                self._down.add(json.loads(line)["service"])
        return self._down

    async def ready(self) -> None:
        """Wait until it is. Raises RuntimeError when that takes longer than 15 s."""
        for _ in range(150):
            try:
                await get(f"http://127.0.0.1:{self.port}/readyz")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
        raise RuntimeError(f"the agent did not become ready; see {self.folder / 'output.log'}")

    @staticmethod
    def version() -> str:
        return version("codeblue")


class Prometheus(System):
    """Prometheus asks blackbox_exporter about every target; an alert fires after a second miss 10 s later."""

    name = "prometheus+blackbox"

    def __init__(self, folder: Path, targets: Targets) -> None:
        super().__init__(folder, targets)
        self.port, self.exporter = free_port(), free_port()

    def configure(self) -> None:
        files = {
            "blackbox.yml": {
                "modules": {
                    "http_2xx": {
                        "prober": "http",
                        "timeout": f"{TIMEOUT}s",
                        "http": {"preferred_ip_protocol": "ip4"},
                    }
                }
            },
            "prometheus.yml": {
                "global": {
                    "scrape_interval": f"{EVERY}s",
                    "scrape_timeout": "8s",
                    "evaluation_interval": f"{EVERY}s",
                },
                "rule_files": ["rules.yml"],
                "scrape_configs": [self._job()],
            },
            "rules.yml": {
                "groups": [
                    {"name": "bench", "rules": [{"alert": "Down", "expr": "probe_success == 0", "for": f"{EVERY}s"}]}
                ]
            },
            "targets.json": [{"targets": list(self.targets.all().values())}],
        }
        for name, content in files.items():
            (self.folder / name).write_text(json.dumps(content))  # JSON is YAML

    def _job(self) -> dict[str, object]:
        return {
            "job_name": "probe",
            "metrics_path": "/probe",
            "params": {"module": ["http_2xx"]},
            "file_sd_configs": [{"files": ["targets.json"]}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": f"127.0.0.1:{self.exporter}"},
            ],
        }

    def start(self) -> None:
        self.launch(
            "/usr/bin/prometheus-blackbox-exporter",
            "--config.file=blackbox.yml",
            f"--web.listen-address=127.0.0.1:{self.exporter}",
        )
        self.launch(
            "/usr/bin/prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )

    async def down(self) -> set[str]:
        answer = json.loads(await get(f"http://127.0.0.1:{self.port}/api/v1/alerts"))
        firing = {alert["labels"]["instance"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"}
        return {name for name, url in self.targets.all().items() if url in firing}

    @staticmethod
    def version() -> str:
        lines = [
            run_to_end([f"/usr/bin/{each}", "--version"]) for each in ("prometheus", "prometheus-blackbox-exporter")
        ]
        return " + ".join(line.split("version ")[1].split()[0].rstrip(",") for line in lines)


class Monit(System):
    """One host entry each; after two cycles its log has a line of level error."""

    name = "monit"

    def configure(self) -> None:
        lines = [
            f"set daemon {EVERY}",
            f"set log {self.folder}/monit.log",
            *(f"set {what}file {self.folder}/{what}" for what in ("pid", "id", "state")),
        ]
        for name, url in self.targets.all().items():
            port = url.rstrip("/").rpartition(":")[2]
            lines.append(
                f'check host "{name}" with address {name}\n  if failed port {port} protocol http request "/" '
                f"with timeout {TIMEOUT} seconds for 2 cycles then alert"
            )
        path = self.folder / "monitrc"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)

    def start(self) -> None:
        self.launch("/usr/bin/monit", "-I", "-c", str(self.folder / "monitrc"))

    async def down(self) -> set[str]:
        log = self.folder / "monit.log"
        text = log.read_text() if log.exists() else ""
        return {line.split("'")[1] for line in text.splitlines() if "] error " in line and line.count("'") >= 2}

    @staticmethod
    def version() -> str:
        return run_to_end(["/usr/bin/monit", "-V"]).split("version ")[1].split()[0]


SYSTEMS: dict[str, type[System]] = {system.name: system for system in (Codeblue, Prometheus, Monit)}
