"""One soak from its beginning to its report."""

import asyncio
import json
import random
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median

from bench.soak.disturbing import ACTS
from bench.soak.evidence import Seen, read_log, read_store, together
from bench.soak.health import costs, judge_health
from bench.soak.journal import Journal
from bench.soak.oracle import judge
from bench.soak.plan import GAP, LULL, Act, plan
from bench.soak.programs import install
from bench.soak.receivers import MoodyHook, MoodySlack
from bench.soak.services import KINDS, Places, Service, make_services, renamed
from bench.soak.world import World
from tests.slack_standin import TOKEN

CALM = 240.0  # seconds in which everything must be well after everything was mended
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """How long, how rough, and by which dice."""

    seed: int
    seconds: float
    kinds: Mapping[str, int] = field(default_factory=lambda: KINDS)
    gap: float = GAP
    lull: float = LULL


@dataclass(slots=True, kw_only=True)
class Report:
    """What happened, and what was wrong with it. `trouble` is what went wrong with the soak itself."""

    soak: Soak
    seen: Seen
    done: Mapping[str, int]
    found: Mapping[str, list[str]]
    trouble: list[str]

    @property
    def violations(self) -> int:
        return sum(map(len, self.found.values()))

    def __str__(self) -> str:
        seen = self.seen
        outages = sum(map(len, seen.journal.outages.values()))
        kinds = Counter(fact.kind for fact in seen.facts)
        warnings = Counter(line.event for line in seen.lines if line.level == "warning")
        late = seen.journal.spans("lag")
        lines = [
            f"soak of {self.soak.seconds / 60:g} minutes with seed {self.soak.seed}",
            f"  outages {outages}, incidents {kinds['opened']}, restarts {kinds['restart_ordered']} ordered and "
            f"{len(seen.stamps)} seen to run, pages {kinds['paged']}, messages that arrived {len(seen.messages)}",
            f"  done to the agent: {', '.join(f'{what} {count}' for what, count in sorted(self.done.items()))}",
            f"  {_cost(seen)}",
            f"  lateness of the soak itself: {len(late)} times, {sum(span.seconds for span in late):.1f} s",
            f"  warnings: {', '.join(f'{event} {count}' for event, count in warnings.most_common())}",
        ]
        for rule, wrong in self.found.items():
            lines.append(f"  {'BROKEN' if wrong else 'kept  '} {rule}" + (f": {len(wrong)}" if wrong else ""))
            lines += [f"         {line}" for line in wrong[:20]]
        return "\n".join([*lines, *(f"  the soak itself: {text}" for text in self.trouble)])


def _cost(seen: Seen) -> str:
    samples, cost = seen.watch.samples, costs(seen)
    if not samples or not cost:
        return f"lives {seen.watch.lives}"
    rss = [sample.rss / 1024 for sample in samples]
    most = {what: max(getattr(each, what) for each in samples) for what in ("descriptors", "threads", "database")}
    return (
        f"lives {seen.watch.lives}; memory {min(rss):.0f} to {max(rss):.0f} MiB, at most {most['descriptors']} "
        f"descriptors and {most['threads']} threads; CPU per check {median(cost):.2f} ms; database "
        f"{most['database'] >> 10} KiB, its log {max(each.journal for each in samples) >> 10} KiB"
    )


async def soak(wanted: Soak, folder: Path, say: Say) -> Report:
    """Run it. What is needed to look into it afterwards stays in `folder`."""
    services = make_services(wanted.kinds)
    journal = Journal()
    async with AsyncExitStack() as stack:
        slacks = {name: await stack.enter_async_context(MoodySlack()) for name in ("oncall", "team")}
        hook = await stack.enter_async_context(MoodyHook())
        places = Places(
            folder=folder,
            port=listening_port(),
            listen=listening_port(),
            oncall=slacks["oncall"].url,
            team=slacks["team"].url,
            hook=hook.url,
            token=TOKEN,
        )
        install(places)
        journal.write_to(folder / "journal.jsonl")
        stack.callback(journal.close)
        world = World(services, places, journal, slacks, hook, wanted.seed)
        trouble: list[str] = []
        done: Counter[str] = Counter()
        try:
            await world.start()
            await _carry_out(world, plan(wanted.seed, wanted.seconds, services, gap=wanted.gap, lull=wanted.lull),
                             wanted.seconds, done, trouble, say)  # fmt: skip
            left = await _calm_down(world, say)
            if code := await world.agent.stop():
                left.append(f"its last end had exit code {code}")
        finally:
            await world.stop()
            if world.agent.process is not None and world.agent.process.returncode is None:
                world.agent.process.kill()
                await world.agent.process.wait()
    seen = _seen(world, services, left)
    return Report(soak=wanted, seen=seen, done=done, found={**judge(seen), **judge_health(seen)}, trouble=trouble)


def listening_port() -> int:
    """A free one that the kernel gives to nobody who connects. One that refuses for a while, and is connected to all
    the time, would one day be connected to itself."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


async def _carry_out(
    world: World, acts: list[Act], seconds: float, done: Counter[str], trouble: list[str], say: Say
) -> None:
    begin, running = time.monotonic(), set()

    async def do(act: Act) -> None:
        try:
            if await ACTS[act.what](world, act):
                done[act.what] += 1
        except Exception:  # noqa: BLE001 - it belongs into the report, and the soak goes on
            trouble.append(f"{act}: {traceback.format_exc(limit=3)}")

    told = 0
    for act in acts:
        await asyncio.sleep(max(0.0, begin + act.at - time.monotonic()))
        task = asyncio.create_task(do(act))
        running.add(task)
        task.add_done_callback(running.discard)
        if act.at > told + 60:
            told = int(act.at)
            say(f"{act.at / 60:.0f} of {seconds / 60:.0f} minutes, {done.total()} acts are over")
    await asyncio.sleep(max(0.0, begin + seconds - time.monotonic()))
    await world.mend()
    if running:
        await asyncio.wait(running, timeout=120.0)


async def _calm_down(world: World, say: Say) -> list[str]:
    """Mend everything; what is not well after a while. The last messages wait as long as their tries say."""
    say("everything is mended")
    if not world.agent.up:
        await world.agent.start()
    await world.mend()
    end, left = time.monotonic() + CALM, ["nothing could be asked"]
    while left and time.monotonic() < end:
        await asyncio.sleep(2.0)
        try:
            rows = await world.agent.ask("/api/services")
            left = [f"{row['name']} is {row['health']}" for row in rows if row["health"] != "up"]
            found = await world.agent.ask("/api/incidents")
            left += [f"{one['id']} is open: {one['stage']}" for one in found["open"]]
            left += _unsettled(world.places.database)
        except (OSError, ValueError) as error:
            left = [f"it could not be asked: {type(error).__name__}: {error}"]
    return left


def _unsettled(database: Path) -> list[str]:
    """Commands that have not come to their ends; a closing message may wait for its next try for minutes."""
    commands = read_store(database)[1]
    return [f"{each['key']} is {each['status']}" for each in commands if each["status"] in ("pending", "claimed")]


def _seen(world: World, services: list[Service], left: list[str]) -> Seen:
    log, lines, begun = read_log(world.agent.log)
    store, commands = read_store(world.places.database)
    dead = {(each["incident"], each["channel"]) for each in commands if each["status"] == "dead"}
    known = {each.name: each for each in chain(services, map(renamed, services))}
    messages = [message for name, slack in world.slacks.items() for message in slack.messages_of(name)]
    if any(each["status"] == "dead" for each in commands):
        path = world.places.folder / "dead.json"
        path.write_text(json.dumps([each for each in commands if each["status"] == "dead"], indent=1))
    return Seen(
        services=known,
        journal=world.journal,
        facts=together(log, store),
        messages=sorted([*messages, *world.hook.taken], key=lambda message: message.at),
        stamps=world.stamps,
        begun=begun,
        lines=lines,
        dead=frozenset(dead),
        watch=world.agent.watch,
        left=left,
        ended=time.time(),
    )
