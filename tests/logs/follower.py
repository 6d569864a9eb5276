"""An agent's log pipeline alone, as a process that a test can kill: `python -m tests.logs.follower STORE GLOB`."""

import asyncio
import sys
from pathlib import Path

from agent.logs.book import Logs
from agent.logs.store import LogStore
from agent.ports import LogSpec


async def follow(store: str, glob: str) -> None:
    logs = Logs(LogStore(Path(store)))
    await logs.start([LogSpec(service="photos", files=(glob,))])
    print("following", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(follow(*sys.argv[1:]))
