"""Debian's Alertmanager on loopback, without a cluster, and what its own API says."""

import asyncio
import json
import shutil
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from tests.servers import free_port

NOBODY = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@dataclass
class Alertmanager:
    folder: Path
    port: int = field(default_factory=free_port)
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        program = shutil.which("prometheus-alertmanager")
        if program is None:
            pytest.fail("prometheus-alertmanager is missing: run tests/install-debian-packages")
        options = [
            f"--config.file={self.folder}/alertmanager.yml",
            f"--storage.path={self.folder}/alertmanager",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        with (self.folder / "alertmanager.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                program, *options, stdin=DEVNULL, stdout=log, stderr=STDOUT
            )
        async with asyncio.timeout(30):
            while not await self.ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    async def ready(self) -> bool:
        try:
            await self.ask("/api/v2/status")
        except (OSError, URLError):
            return False
        return True

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await asyncio.wait_for(self.process.wait(), 20)

    async def ask(self, path: str, payload: Any = None) -> Any:
        data = None if payload is None else json.dumps(payload).encode()
        request = Request(f"{self.url}{path}", data=data, headers={"Content-Type": "application/json"})
        return await asyncio.to_thread(_answer, request)

    async def alerts(self) -> list[Mapping[str, Any]]:
        """Those that fire now."""
        found: list[Mapping[str, Any]] = await self.ask("/api/v2/alerts?active=true")
        return found

    async def fire(self, **labels: str) -> None:
        """As Prometheus would: no end, so that resolve_timeout gives it one."""
        await self.ask("/api/v2/alerts", [{"labels": labels, "annotations": {"summary": f"{labels['alertname']}!"}}])

    async def end(self, ends: datetime, **labels: str) -> None:
        await self.ask("/api/v2/alerts", [{"labels": labels, "endsAt": ends.isoformat()}])


def _answer(request: Request) -> Any:
    with urlopen(request, timeout=5) as answer:
        body = answer.read()
    return json.loads(body) if body.strip() else None


@asynccontextmanager
async def alertmanager(folder: Path, config: str = NOBODY) -> AsyncIterator[Alertmanager]:
    (folder / "alertmanager.yml").write_text(config)
    made = Alertmanager(folder)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
