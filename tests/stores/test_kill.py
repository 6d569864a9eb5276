"""kill -9 of a real process in the middle of commits and claims."""

import random
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import sleep

from agent.stores import SqlStore

ROOT = Path(__file__).parents[2]


def live_and_die(path: Path, performed: Path, life: str, seconds: float) -> list[str]:
    """The keys that the victim was told are committed."""
    command = [sys.executable, "-m", "tests.stores.victim", str(path), str(performed), life]
    victim = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    first = victim.stdout.readline()
    sleep(seconds)
    victim.kill()
    rest, _ = victim.communicate(timeout=10)
    lines = [line for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    assert not [line for line in lines if line.startswith("trouble")]
    return [key for line in lines if line.startswith("committed") for key in line.split()[1:]]


async def test_twenty_kills_lose_no_committed_command_and_repeat_no_restart(tmp_path: Path) -> None:
    path, performed = tmp_path / "codeblue.db", tmp_path / "performed"
    dice = random.Random(9)
    committed: list[str] = []
    for life in range(20):
        told = live_and_die(path, performed, f"life{life}", dice.uniform(0, 0.06))
        assert told, "it died before it did anything"
        committed += told
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()
    store = SqlStore(f"sqlite:///{path}")
    stored = {}
    for start in range(0, len(committed), 1000):
        stored |= await store.outgoing(committed[start : start + 1000])
    assert set(committed) == set(stored)
    times = Counter(performed.read_text().split())
    assert len(times) > 20
    assert max(times.values()) == 1
    assert {key for key in committed if "-n" in key} <= {item.command.key for item in await store.pending()}
    begun = {key for key, item in stored.items() if "-r" in key and item.status in ("claimed", "done")}
    assert set(times) & set(stored) <= begun
    await store.close()
