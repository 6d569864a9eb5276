"""Services in a world, and a store with moods: what the tests of the engine share."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from agent.core.events import Decision, EventKind
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Asked, CheckState, Health, Incident, ServiceState, Stage
from agent.stores.memory import MemoryStore
from tests.core.story import at
from tests.world import World

RESTART = RestartPolicy(action="process", at_most=2, backoff=timedelta(seconds=5), verify=timedelta(seconds=20))
MISSED, OPENED = EventKind.MISSED, EventKind.OPENED


def service(name: str = "api", **more: object) -> Policy:
    base = Policy(service=name, checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",))
    return replace(base, **more)  # type: ignore[arg-type]


def kinds(world: World) -> list[EventKind]:
    return [event.kind for event in world.events]


async def down_at(world: World, *names: str) -> None:
    """Boot, a quiet quarter of a minute, and then these are down; the next runs are at second 20."""
    await world.boot()
    await world.live(15)
    world.down |= set(names)


class Moody(MemoryStore):
    """A store that refuses the commits that it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.moods: list[Exception | None] = []
        self.load_mood: Exception | None = None
        self.commits = 0

    async def commit(self, service: str, seen_version: int, decision: Decision) -> int:
        self.commits += 1
        await asyncio.sleep(0.01)
        if self.moods and (mood := self.moods.pop(0)) is not None:
            raise mood
        return await super().commit(service, seen_version, decision)

    async def load(self):  # type: ignore[no-untyped-def]
        if self.load_mood is not None:
            raise self.load_mood
        return await super().load()


def open_incident(check: str, stage: Stage, *, page: str = "", until: datetime | None = None) -> ServiceState:
    incident = Incident(
        id="api-1",
        service="api",
        opened_at=at(-600),
        first_miss_at=at(-602),
        check=check,
        reason="refused",
        summary="connection refused",
        stage=stage,
        failing=(check,),
        asked=(Asked(channel=page, key="api-1/oncall/opened/1", at=at(-600), delivered=True),) if page else (),
        until=until,
        notices=1,
    )
    down = CheckState(verdict=Verdict.FAIL, misses=2, down=True, first_miss_at=at(-602), since=at(-602))
    return ServiceState(
        service="api", checks={check: down}, incident=incident, health=Health.DOWN, since=at(-600), wake_at=until
    )
