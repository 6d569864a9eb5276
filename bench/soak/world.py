"""The whole world of a soak: what is watched, who receives, and the agent between them."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable
from contextlib import suppress

from bench.soak.agent import Agent
from bench.soak.disk import Disk
from bench.soak.journal import Journal
from bench.soak.living import Child, make_thing
from bench.soak.plan import Act
from bench.soak.programs import stamps
from bench.soak.receivers import MoodyHook, MoodySlack
from bench.soak.services import Places, Service, configuration
from bench.soak.things import Thing

LAG = 0.25  # seconds by which whoever answers here was late


class World:
    """Things, receivers and the agent. Whatever is done to it says whether it could be done."""

    def __init__(
        self,
        services: list[Service],
        places: Places,
        journal: Journal,
        slacks: dict[str, MoodySlack],
        hook: MoodyHook,
        seed: int,
    ) -> None:
        self.services = {service.target: service for service in services}  # as they are configured now
        self.places = places
        self.journal = journal
        self.agent = Agent(places, journal)
        self.disk = Disk(places)
        self.slacks = slacks
        self.hook = hook
        self.things: dict[str, Thing] = {each.target: make_thing(each, places, journal) for each in services}
        self.stamps: list[tuple[str, str, str, float]] = []
        self.dice = random.Random(seed)  # of what the plan leaves open
        self.tweak = 0
        self.reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    # ------------------------------------------------------------------------------------------ begin and end

    async def start(self) -> None:
        for thing in self.things.values():
            if not isinstance(thing, Child):
                await thing.start()
        self.write()
        for service in self.services.values():
            self.journal.watch(service.name, service.target, time.time())
        for work in (self.agent.look_on, self._follow, self._watch_ourselves):
            self.background(work())
        await self.agent.start()

    def background(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        return task

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of all breaking."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def mend(self) -> None:
        """Everything is well again, and nothing keeps the agent from seeing it."""
        self._over.set()
        for slack in self.slacks.values():
            slack.mood = ""
        self.hook.mood = ""
        for thing in self.things.values():
            if thing.broken is not None:
                await self.mend_one(thing)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for thing in self.things.values():
            await thing.stop()
        for slack in self.slacks.values():
            slack.mood = ""
        self.disk.close()

    def write(self) -> None:
        """Put the configuration in its file, at once."""
        config = configuration(self.services.values(), self.places)
        config["defaults"]["labels"] = {"tweak": f"t{self.tweak}"}
        self.put(json.dumps(config, indent=1))

    def put(self, text: str) -> None:
        path = self.places.folder / "config.yaml"
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(path)

    # ------------------------------------------------------------------------------------------ what goes on

    async def _follow(self) -> None:
        """Restarts that ran cure what they can; children that started are well."""
        while True:
            await asyncio.sleep(0.05)
            for stamp in stamps(self.places.stamps, len(self.stamps)):
                self.stamps.append(stamp)
                self.background(self.things[stamp[0]].restarted())
            for thing in self.things.values():
                if isinstance(thing, Child):
                    thing.look()

    async def _watch_ourselves(self) -> None:
        """Whoever is late with answers here has broken everything a little."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            late = time.monotonic() - before - 0.05
            if late > LAG:
                span = self.journal.trouble("lag")
                span.start -= late
                self.journal.over(span)

    def children_gone(self) -> None:
        for thing in self.things.values():
            if isinstance(thing, Child):
                thing.look()
                thing.gone()

    # ------------------------------------------------------------------------------------------ what breaks

    async def break_(self, act: Act) -> bool:
        """One thing fails in its way until somebody, or something, mends it; and so does what depends on it."""
        thing, service = self.things[act.target], self.services.get(act.target)
        if thing.broken is not None or service is None or (isinstance(thing, Child) and not thing.pid):
            return False
        stuck = self.places.of(act.target, "stuck")
        if act.stuck:
            stuck.touch()
        span = await thing.break_(act.mode, curable=act.curable and not act.stuck)
        dependants = [] if service.target != "db" else [self.things[name] for name in ("api1", "api2", "api3", "web")]
        below = [(each, await each.break_("status", curable=False)) for each in dependants if each.broken is None]
        await self.pause(act.seconds)
        stuck.unlink(missing_ok=True)
        if thing.broken is span:
            await self.mend_one(thing)
        await asyncio.sleep(0.5 if below else 0.0)
        for each, its in below:
            await each.mend(its)
        return True

    async def mend_one(self, thing: Thing) -> None:
        """What a person does. A child that the agent gave up is started by it when it is told to."""
        if (span := thing.broken) is None:
            return
        await thing.mend(span)
        while isinstance(thing, Child) and thing.broken is span:
            await asyncio.sleep(2.0)
            if thing.broken is span and self.agent.up and thing.service.target in self.services:
                name = self.services[thing.service.target].name
                self.journal.moment("restart asked", name)
                await self.agent.tell("/api/restart", service=name, by="soak")

    async def sulk(self, name: str, act: Act) -> bool:
        """A receiver is unwell for a while."""
        receiver = self.hook if name == "hook" else self.slacks[name]
        if receiver.mood:
            return False
        span = self.journal.trouble(name)
        receiver.mood = act.mode
        await self.pause(act.seconds)
        receiver.mood = ""
        self.journal.over(span)
        return True
