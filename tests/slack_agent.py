"""A whole agent that watches one file and pages Slack, beside the stand-in: what `test_slack_*` act on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from agent.app import App
from agent.config.load import load
from agent.core.events import EventKind
from agent.reload import Reloader
from agent.tables import TABLES
from tests.servers import free_port
from tests.slack_people import People
from tests.slack_rooms import Posted
from tests.slack_standin import APP_TOKEN, TOKEN, SlackStandIn

TOKEN_OF_THE_AGENT = "s3cret-of-the-agent"


@dataclass
class World:
    people: People
    app: App
    reloader: Reloader
    folder: Path

    @property
    def sign(self) -> Path:
        """The file that the service is well as long as it exists."""
        return self.folder / "sign"

    @property
    def restarted(self) -> Path:
        return self.folder / "restarted"

    def message(self) -> Posted:
        return self.people.slack.messages()[0]

    async def until(self, so: Callable[[], object], within: float = 20.0) -> None:
        async with asyncio.timeout(within):
            while not so():  # noqa: ASYNC110 - what is looked at is told by no event
                await asyncio.sleep(0.02)

    async def paged(self) -> Posted:
        self.sign.unlink()
        await self.until(self.people.slack.messages)
        return self.message()

    async def timeline(self, kind: EventKind) -> list[str]:
        since = self.app.vitals.started
        return [event.text for event in await self.app.store.history("web", since=since) if event.kind is kind]

    async def get(self, path: str) -> str:
        headers = {"Authorization": f"Bearer {TOKEN_OF_THE_AGENT}"}
        url = f"http://127.0.0.1:{self.app.server.port}{path}"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            return await answer.text()


PEOPLE = {
    "people": {"alice": {"contacts": {"oncall": "U0ALICE"}}},
    "escalation": {"default": {"steps": [{"notify": ["alice"], "wait": "5m"}]}},
}


def configuration(
    folder: Path,
    url: str,
    *,
    mode: str = "off",
    people: dict[str, Any] | None = None,
    restart: dict[str, Any] | None = None,
    second: bool = False,
    **options: Any,
) -> dict[str, Any]:
    command = {"command": ["/usr/bin/touch", str(folder / "restarted")], "mode": mode, "verify": "30s"}
    files = {"there": folder / "sign"} | ({"second": folder / "second"} if second else {})
    slack = {"type": "slack", "token": TOKEN, "channel": "C0000000001", "api_url": url, "per_second": 50}
    return {
        "agent": {
            "name": "test",
            "listen": f"127.0.0.1:{free_port()}",
            "store": f"sqlite:///{folder}/state.db",
            "tokens": [TOKEN_OF_THE_AGENT],
        },
        "services": [
            {
                "name": "web",
                "checks": [
                    {"file": str(path), "name": name, "every": "1s", "retry": "100ms"} for name, path in files.items()
                ],
                "page": ["oncall"],
                "restart": command | (restart or {}),
            }
        ],
        "channels": {"oncall": slack | {"app_token": APP_TOKEN} | options},
        **(people or {}),
    }


@asynccontextmanager
async def world(folder: Path, **config: Any) -> AsyncIterator[World]:
    (folder / "sign").touch()
    (folder / "second").touch()
    async with People(SlackStandIn()) as people:
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(configuration(folder, people.slack.url, **config)))
        app = App(load(path, TABLES))
        await app.start()
        try:
            yield World(people, app, Reloader(app, path), folder)
        finally:
            await app.stop()
