"""A real Prometheus scrapes the agent, nasty label values and exemplars included, and complains about nothing."""

import asyncio
import json
import socket
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.core.events import Event, EventKind
from agent.core.result import Verdict
from agent.core.state import Health
from tests.web.site import NOW, Browser, Site, a_check, a_service, serving, some_services

NASTY = 'quote " backslash \\ line\nfeed ☃ %s'
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: codeblue
    authorization: {{credentials: t0ken}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@asynccontextmanager
async def prometheus(folder: Path, scraped: int) -> AsyncIterator[Browser]:
    port, config = free_port(), folder / "prometheus.yml"
    config.write_text(CONFIG.format(port=scraped))
    options = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    options += ["--enable-feature=exemplar-storage", "--log.level=warn"]
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec("prometheus", *options, stdin=DEVNULL, stdout=log, stderr=STDOUT)
        try:
            yield Browser(port)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)


async def ask(browser: Browser, path: str) -> Any:
    return json.loads((await browser.ask(path)).body)["data"]


async def until_scraped(browser: Browser) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            try:
                (target,) = (await ask(browser, "/api/v1/targets"))["activeTargets"]
            except (ConnectionRefusedError, ValueError, IndexError, KeyError):
                target = {"health": "unknown"}
            if target["health"] != "unknown":
                return dict(target)
            await asyncio.sleep(0.1)


async def test_prometheus_takes_every_series_and_its_exemplar(tmp_path: Path) -> None:
    nasty = a_service("nasty", Health.DOWN, a_check(NASTY, Verdict.FAIL, values={NASTY: 1.5}))
    site = Site(services=[*some_services(), nasty], tokens=("t0ken",))
    opened = {"reason": "refused", "seconds": "6.5"}
    site.metrics.on_event(
        Event(kind=EventKind.OPENED, service="nasty", at=NOW, text="", data=opened, trace_id="ab" * 16)
    )
    async with serving(site) as agent, prometheus(tmp_path, agent.port) as browser:
        target = await until_scraped(browser)
        assert (target["health"], target["lastError"]) == ("up", "")
        found = (await ask(browser, "/api/v1/query?query=codeblue_check_value"))["result"]
        assert [(series["metric"]["check"], series["metric"]["name"], series["value"][1]) for series in found] == [
            (NASTY, NASTY, "1.5")
        ]
        up = (await ask(browser, "/api/v1/query?query=codeblue_check_up"))["result"]
        assert {series["metric"]["service"]: series["value"][1] for series in up}["nasty"] == "0"
        assert "edge" not in {series["metric"]["service"] for series in up}, "what cannot be told is not a sample"
        query = f"/api/v1/query_exemplars?query={quote('codeblue_detection_seconds_bucket')}&start=0&end=9999999999"
        (series,) = await ask(browser, query)
        assert series["exemplars"][0]["labels"] == {"trace_id": "ab" * 16}
    assert "Error on ingesting" not in (tmp_path / "prometheus.log").read_text()
