"""An agent in small, to be killed: commits, claims, performs, settles, as fast as it can. Run as a program.

Says on standard output what it was told is done ("committed KEY"), and notes in a file, written through, each restart
at the moment at which it is performed.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime

from agent.core.commands import Outcome
from agent.ports import ActionOutcome
from agent.stores import open_store
from tests.stores.makers import decided, down, notice, restart


async def live(path: str, performed: str, life: str) -> None:
    store = open_store(f"sqlite:///{path}", lambda text: say(f"trouble {text}") if text else None)
    known = {name: stored.version for name, stored in (await store.load()).items()}
    log = os.open(performed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def perform(key: str) -> None:
        if await store.claim([key], datetime.now(UTC)):
            os.write(log, f"{key}\n".encode())
            await store.settle(key, datetime.now(UTC), outcome=ActionOutcome(outcome=Outcome.DONE))

    for order in await store.interrupted():
        await store.settle(order.key, datetime.now(UTC), outcome=ActionOutcome(outcome=Outcome.INTERRUPTED))
    await asyncio.gather(*(perform(item.command.key) for item in await store.pending() if "-r" in item.command.key))

    async def service(name: str) -> None:
        for turn in range(10_000):
            order = restart(f"{life}-{name}-r{turn}", name)
            page = notice(f"{life}-{name}-n{turn}", name)
            known[name] = await store.commit(name, known.get(name, 0), decided(down(name), order, page))
            say(f"committed {order.key} {page.key}")
            await perform(order.key)

    await asyncio.gather(*(service(f"s{i}") for i in range(5)))


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    asyncio.run(live(*sys.argv[1:4]))
