"""What people do to the configuration file, well and badly."""

import asyncio
import json
import signal
import time
from dataclasses import replace

from bench.soak.plan import Act
from bench.soak.services import Service, renamed
from bench.soak.things import Pulsing
from bench.soak.world import World


def bad(text: str, how: str) -> str:
    """A configuration with a mistake in it: half of it written, a key that is none, a parent that is none."""
    if how == "half":
        return text[: len(text) // 2]
    config = json.loads(text)
    config["services"][0]["chekcs" if how == "key" else "depends_on"] = ["nobody"]
    return json.dumps(config, indent=1)


async def change(world: World, _: Act) -> bool:
    """Something small is another one: a label of all, how often one is looked at, and how long it may verify."""
    if world.reloading.locked():
        return False
    async with world.reloading:
        world.tweak += 1
        service = world.dice.choice(list(world.services.values()))
        every = 2.0 if service.every == 1.0 else 1.0
        world.services[service.target] = replace(service, every=every, verify=world.dice.choice((3.0, 4.0, 5.0)))
        world.write()
        await _noticed(world)
    return True


async def _noticed(world: World) -> None:
    """Sometimes it is told, otherwise it looks itself."""
    if world.dice.random() < 0.5:
        await asyncio.sleep(world.dice.uniform(0, 0.3))
        _hup(world)
    await asyncio.sleep(3.0)


def _hup(world: World) -> None:
    if world.agent.up:
        world.agent.signal(signal.SIGHUP)


async def spoil(world: World, act: Act) -> bool:
    if world.reloading.locked():
        return False
    async with world.reloading:
        span = world.journal.trouble("config")
        world.put(bad((world.places.folder / "config.yaml").read_text(), act.mode))
        await world.pause(act.seconds)
        world.write()
        await asyncio.sleep(3.0)
        world.journal.over(span)
    return True


def _victim(world: World) -> Service | None:
    """One that is down if there is one, for what is best done to such."""
    broken = [
        world.services[thing.service.target]
        for thing in world.things.values()
        if thing.broken is not None and thing.service.target in world.services
    ]
    fit = [each for each in broken if not each.depends_on and each.name != "db" and each.kind != "child"]
    return world.dice.choice(fit) if fit else None


async def rename(world: World, act: Act) -> bool:
    """It is called another name for a while, then its own again."""
    victim = _victim(world)
    if victim is None or world.reloading.locked():
        return False
    for _ in range(2):
        async with world.reloading:
            now, before = time.time(), world.services[victim.target]
            after = world.services[victim.target] = renamed(before)
            world.journal.unwatch(before.name, now)
            world.write()
            _call_it(world, after)
            world.journal.watch(after.name, after.target, now)
            world.journal.moment("renamed", before.name)
            await _noticed(world)
        await world.pause(act.seconds)
    return True


def _call_it(world: World, service: Service) -> None:
    thing = world.things[service.target]
    if isinstance(thing, Pulsing):
        thing.name = service.name


async def remove(world: World, act: Act) -> bool:
    """Config does not name it for a while."""
    victim = _victim(world)
    if victim is None or world.reloading.locked():
        return False
    async with world.reloading:
        gone = world.services.pop(victim.target)
        world.journal.unwatch(gone.name, time.time())
        world.write()
        world.journal.moment("removed", gone.name)
        await _noticed(world)
    await world.pause(act.seconds)
    async with world.reloading:
        world.services[gone.target] = gone
        world.write()
        world.journal.watch(gone.name, gone.target, time.time())
        await _noticed(world)
    return True


async def hang_up(world: World, act: Act) -> bool:
    end = time.monotonic() + act.seconds
    while time.monotonic() < end:
        _hup(world)
        await asyncio.sleep(0.02)
    return True
