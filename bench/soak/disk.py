"""What happens to the agent's database from outside: locked, and a disk that is full."""

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from bench.soak.services import Places

SIZE = "64m"
FILLER = "filler"
LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
connection.execute("begin exclusive")
time.sleep(float(sys.argv[2]))
connection.execute("rollback")
"""


class Disk:
    """The folder of the agent's state: a small file system of its own (`own`) where root may make one."""

    def __init__(self, places: Places) -> None:
        self._folder = places.state
        self._folder.mkdir(parents=True)
        self.own = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self._folder))

    def fill(self) -> None:
        """Nothing more can be written to it."""
        with (self._folder / FILLER).open("wb", buffering=0) as filler:
            for size in (65_536, 512):
                with suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def empty(self) -> None:
        (self._folder / FILLER).unlink(missing_ok=True)

    def close(self) -> None:
        """Take it away; what it holds is kept in an ordinary folder."""
        if self.own:
            kept = self._folder.with_name("state-kept")
            self.empty()
            shutil.copytree(self._folder, kept, dirs_exist_ok=True)
            _run("umount", "-l", str(self._folder))
            shutil.copytree(kept, self._folder, dirs_exist_ok=True)
            shutil.rmtree(kept)
            self.own = False


def _run(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


async def lock_database(path: Path, seconds: float) -> bool:
    """Another process holds it for so long. False where it could not be had."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOCK, str(path), f"{seconds:g}", stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0
