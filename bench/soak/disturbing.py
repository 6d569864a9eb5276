"""What is done to the agent's process, to its store, and by people who work with it; and the table of all that a plan
may ask for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from bench.soak import configuring
from bench.soak.agent import CODEBLUE
from bench.soak.disk import lock_database
from bench.soak.plan import Act
from bench.soak.services import CHAIN, STORM, VAGUE, Service
from bench.soak.things import Pulsing
from bench.soak.world import World

PATIENCE = 10  # starts that a service manager tries before somebody has to look


async def kill(world: World, act: Act) -> bool:
    async with world.agent.moving:
        away = world.journal.during(("store", "full"), time.time() - 15.0, time.time())
        await world.agent.kill()
        if away:
            world.journal.moment("amnesia")  # what was decided from memory alone may be lost
        await _come_back(world, act.seconds)
    return True


async def stop_and_start(world: World, act: Act) -> bool:
    async with world.agent.moving:
        away = world.journal.during(("store", "full"), time.time() - 15.0, time.time())
        code = await world.agent.stop()
        world.journal.moment(f"exit code {code}")
        if away:
            world.journal.moment("amnesia")
        await _come_back(world, act.seconds)
    return True


async def _come_back(world: World, seconds: float) -> None:
    world.children_gone()
    await asyncio.sleep(seconds)
    for _ in range(PATIENCE):
        try:
            await world.agent.start()
        except RuntimeError as trouble:
            world.journal.moment(f"no start: {trouble}")
            await asyncio.sleep(2.0)
        else:
            return
    raise RuntimeError(f"the agent did not start {PATIENCE} times")


async def suspend(world: World, act: Act) -> bool:
    async with world.agent.moving:
        await world.agent.suspend(act.seconds)
    return True


async def lock(world: World, act: Act) -> bool:
    if world.journal.during(("store", "full"), time.time(), time.time()):
        return False
    span = world.journal.trouble("store", "locked")
    done = await lock_database(world.places.database, act.seconds)
    world.journal.over(span)
    return done


async def delete(world: World, _: Act) -> bool:
    if world.journal.during(("store", "full"), time.time(), time.time()) or not world.agent.up:
        return False
    async with world.agent.moving:
        span = world.journal.trouble("store", "deleted")
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                world.places.database.with_name(world.places.database.name + end).unlink()
        await asyncio.sleep(5.0)
        world.journal.over(span)
    return True


async def full(world: World, act: Act) -> bool:
    if not world.disk.own or world.journal.during(("store", "full"), time.time(), time.time()):
        return False
    span = world.journal.trouble("full")
    try:
        world.disk.fill()
        await world.pause(act.seconds)
    finally:
        world.disk.empty()
        world.journal.over(span)
    return True


def _down(world: World) -> Service | None:
    broken = [world.services.get(t.service.target) for t in world.things.values() if t.broken is not None]
    found = [service for service in broken if service is not None]
    return world.dice.choice(found) if found else None


async def ack(world: World, _: Act) -> bool:
    service = _down(world)
    return service is not None and await world.agent.tell("/api/ack", service=service.name, by="soak") == 200


async def silence(world: World, act: Act) -> bool:
    service = _down(world) or world.dice.choice(list(world.services.values()))
    span = world.journal.trouble("silence", service.name)
    match, length = f"service={service.name}", f"{act.seconds:.0f}s"
    if world.dice.random() < 0.3:
        said = await _cli(world, "silence", "add", match, "--for", length, "--by", "soak")
    else:
        said = await world.agent.tell("/api/silences", match=match, **{"for": length}, by="soak") == 201
    await world.pause(act.seconds + 1.0 if said else 0.0)
    world.journal.over(span)
    return said


async def _cli(world: World, *arguments: str) -> bool:
    """A command of people's, as a process of its own."""
    config = str(world.places.folder / "config.yaml")
    process = await asyncio.create_subprocess_exec(
        str(CODEBLUE),
        *arguments,
        "--config",
        config,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


async def deployed(world: World, act: Act) -> bool:
    service = _down(world)
    if service is None:
        return False
    span = world.journal.trouble("deployed", service.name)
    said = await world.agent.tell("/api/deployed", service=service.name, by="soak", **{"for": f"{act.seconds:.0f}s"})
    await world.pause(act.seconds + 1.0)
    world.journal.over(span)
    return said == 200


async def rotate(world: World, act: Act) -> bool:
    logs = [thing for thing in world.things.values() if thing.service.kind == "log"]
    thing = world.dice.choice(logs)
    assert isinstance(thing, Pulsing)
    thing.rotate(copy=act.mode == "copy")
    return True


async def tell(world: World, _: Act) -> bool:
    """Somebody looks at a service, and at the pages."""
    name = world.dice.choice(list(world.services.values())).name
    with suppress(OSError, ValueError):
        await world.agent.ask(f"/api/explain/{name}")
        await world.agent.ask("/api/incidents")
        return True
    return False


async def _sulk(name: str, world: World, act: Act) -> bool:
    return await world.sulk(name, act)


async def storm(world: World, act: Act) -> bool:
    """Many things break in one moment."""
    well = [each for each in world.things.values() if each.broken is None and each.service.target not in CHAIN]
    if len(well) < STORM + 5:
        return False
    victims = world.dice.sample(well, STORM + 5)
    sure = {each: [mode for mode in each.service.modes if mode not in VAGUE] for each in victims}
    world.journal.moment("storm")
    await asyncio.gather(
        *(
            world.break_(replace(act, target=each.service.target, mode=world.dice.choice(modes)))
            for each, modes in sure.items()
        )
    )
    return True


ACTS: Mapping[str, Callable[[World, Act], Awaitable[bool]]] = {
    "break": World.break_,
    **{name: partial(_sulk, name.split()[-1]) for name in ("slack oncall", "slack team", "hook")},
    "reload good": configuring.change,
    "reload bad": configuring.spoil,
    "rename": configuring.rename,
    "remove": configuring.remove,
    "hup storm": configuring.hang_up,
    "kill": kill,
    "stop": stop_and_start,
    "suspend": suspend,
    "lock": lock,
    "delete": delete,
    "full": full,
    "ack": ack,
    "silence": silence,
    "deployed": deployed,
    "rotate": rotate,
    "tell": tell,
    "storm": storm,
}
