"""A whole agent that pages by the stand-in for Slack and, instead of it, by a webhook: what a drill goes over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from agent.app import App
from agent.config.load import load
from agent.ports import DrillOutcome, DrillReport
from agent.tables import TABLES
from tests.servers import free_port
from tests.slack_people import People
from tests.slack_rooms import Posted
from tests.slack_standin import APP_TOKEN, TOKEN, SlackStandIn

FAST = {"every": "1s", "timeout": "500ms", "retry": "100ms", "recover": 1}


@dataclass
class Hook:
    """A server that takes whatever is posted to it."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # paths
    status: int = 200
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.can_read_body:
            self.taken.append(await request.json())
        return web.Response(status=self.status)

    def titles(self) -> list[str]:
        return [body["title"] for body in self.taken]


@asynccontextmanager
async def listening() -> AsyncIterator[Hook]:
    hook, app = Hook(), web.Application()
    app.router.add_route("*", "/{path:.*}", hook.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hook
    finally:
        await runner.cleanup()


@dataclass
class Site:
    people: People
    hook: Hook
    outside: Hook  # who is pinged
    app: App
    folder: Path

    def messages(self) -> list[Posted]:
        return self.people.slack.messages()

    async def until(self, so: Callable[[], object], within: float = 20.0) -> None:
        async with asyncio.timeout(within):
            while not so():  # noqa: ASYNC110 - what is looked at is told by no event
                await asyncio.sleep(0.02)

    async def ended(self, drill: str) -> DrillReport:
        """How the drill of that id has ended."""

        def over() -> bool:
            found = self.app.drills.report(drill)
            return found is not None and found.outcome is not DrillOutcome.RUNNING

        await self.until(over)
        report = self.app.drills.report(drill)
        assert report is not None
        return report

    async def drill(self, of: str = "web") -> DrillReport:
        return await self.ended(self.app.drills.hold(of, "alice"))

    async def ask(self, path: str, body: dict[str, str] | None = None) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.app.server.port}{path}"
        async with aiohttp.ClientSession() as session:
            method = "GET" if body is None else "POST"
            async with session.request(method, url, json=body) as answer:
                return answer.status, await answer.text()


def legs(report: DrillReport) -> dict[str, str]:
    """Each leg and how it ended."""
    return {leg.name: leg.outcome.value for leg in report.legs}


def configuration(folder: Path, slack: str, hook: str, ping: str, **top: Any) -> dict[str, Any]:
    channel = {"type": "slack", "token": TOKEN, "channel": "C0000000001", "api_url": slack, "per_second": 50}
    return {
        "agent": {"name": "test", "listen": f"127.0.0.1:{free_port()}", "store": f"sqlite:///{folder}/state.db"}
        | {"ping": {"url": f"{ping}/5f2a", "every": "1s"} | top.pop("ping", {})},
        "defaults": FAST,
        "services": [
            {
                "name": "web",
                "checks": [{"file": str(folder / "sign"), "name": "there"}],
                "page": ["oncall"],
                "restart": {"command": ["/usr/bin/touch", str(folder / "restarted")]},
                "runbook": "https://wiki.internal/web",
                "labels": {"team": "photos"},
            },
            {"name": "db", "checks": [{"file": str(folder / "sign"), "name": "there"}]},
        ],
        "channels": {
            "oncall": channel | {"app_token": APP_TOKEN, "fallback": ["hook"]},
            "hook": {"type": "webhook", "url": hook},
        },
        "drill": {"within": "10s"} | top.pop("drill", {}),
        **top,
    }


@asynccontextmanager
async def site(folder: Path, **config: Any) -> AsyncIterator[Site]:
    (folder / "sign").touch()
    async with People(SlackStandIn()) as people, listening() as hook, listening() as outside:
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(configuration(folder, people.slack.url, hook.url, outside.url, **config)))
        app = App(load(path, TABLES))
        await app.start()
        here = Site(people, hook, outside, app, folder)
        try:
            yield here
        finally:
            await here.app.stop()
