"""A Slack channel that people answer through, beside the stand-in, and a fake of what they may do."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agent.listening import Listeners
from agent.operations import Refused
from agent.ports import Desk, Vitals
from alerts.channels.slack import SlackChannel, SlackOptions
from alerts.slack_socket import Pace
from tests.alerts.builders import OPENED_AT
from tests.slack_people import People
from tests.slack_standin import APP_TOKEN, TOKEN, SlackStandIn

QUICK = Pace(heartbeat=0.2, hello=1.0, first_wait=0.05, longest_wait=0.2, farewell=0.3, lasting=0.1)
PATIENT = Pace(first_wait=0.05, longest_wait=0.2, farewell=0.3, lasting=0.1)


@dataclass
class FakeOperations:
    """Keeps what it was asked, in order; refuses what `refuse` names; nothing ends before `free` is set."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    crash: bool = False
    answers: dict[str, str] = field(default_factory=dict)
    free: asyncio.Event | None = None

    async def acknowledge(self, service: str, by: str, *, span: timedelta | None = None, incident: str = "") -> str:
        return await self._did("acknowledge", service, by, span, incident)

    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        return await self._did("silence", matchers, by, span, comment, incident)

    async def restart(self, service: str, by: str, *, incident: str = "") -> str:
        return await self._did("restart", service, by, incident)

    async def approve(self, key: str, by: str) -> str:
        return await self._did("approve", key, by)

    async def status(self, service: str = "") -> str:
        return await self._did("status", service)

    async def on_call(self) -> str:
        return await self._did("on_call")

    async def seen(self, drill: str, by: str) -> str:
        return await self._did("seen", drill, by)

    async def _did(self, *what: Any) -> str:
        self.asked.append(what)
        if self.free is not None:
            await self.free.wait()
        if self.crash:
            raise RuntimeError("a bug")
        if why := self.refuse.get(what[0]):
            raise Refused(why)
        return self.answers.get(what[0], f"{what[0]}: done.")


@dataclass
class SlackWorld:
    slack: SlackStandIn
    people: People
    channel: SlackChannel
    listeners: Listeners
    vitals: Vitals
    operations: FakeOperations
    notes: list[tuple[str, str, str]]
    counts: list[tuple[str, str, str]]
    contacts: dict[str, Mapping[str, str]]


@asynccontextmanager
async def slack_world(
    *, pace: Pace = PATIENT, made: datetime = OPENED_AT - timedelta(days=1), connect: bool = True, **options: Any
) -> AsyncIterator[SlackWorld]:
    """One channel, "oncall", connected by Socket Mode unless `options` say otherwise."""
    async with People(SlackStandIn()) as people:
        slack, operations = people.slack, FakeOperations()
        channel = make_channel(slack, pace=pace, made=made, **options)
        vitals = Vitals(started=OPENED_AT)
        world = SlackWorld(slack, people, channel, Listeners(vitals, None), vitals, operations, [], [], {})  # type: ignore[arg-type]
        desk = Desk(
            operations=operations,
            note=lambda *what: world.notes.append(what),
            contacts=lambda: world.contacts,
            count=lambda *what: world.counts.append(what),
        )
        world.listeners = Listeners(vitals, desk)
        await channel.verify()
        world.listeners.use({"oncall": channel})
        if connect and channel.line:
            await people.connected()
        try:
            yield world
        finally:
            await world.listeners.close()
            await channel.close()


def make_channel(
    slack: SlackStandIn, name: str = "oncall", *, pace: Pace = PATIENT, made: datetime = OPENED_AT, **options: Any
) -> SlackChannel:
    given = {"token": TOKEN, "channel": "#oncall", "api_url": slack.url, "timeout": "5s", "app_token": APP_TOKEN}
    given = {key: value for key, value in (given | options).items() if value is not None}
    return SlackChannel(name, SlackOptions(**given), now=lambda: made, pace=pace)
