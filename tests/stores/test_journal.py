"""What must be on the disk before a restart is begun without the database, whatever the disk is like."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.stores.journal import ROOM, Journal

REPOSITORY = Path(__file__).parents[2]


def size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "codeblue.db.begun"


async def test_what_was_added_is_read_by_the_next_life(path: Path) -> None:
    assert await Journal(path).add(["a", "b"])
    assert await Journal(path).add(["ü"])
    assert Journal(path).read() == {"a", "b", "ü"}


async def test_the_room_is_taken_once_and_holds_what_stands_in_it(path: Path) -> None:
    journal = Journal(path)
    await journal.add(["a"])
    await journal.prepare()
    await journal.prepare()
    assert (size(path), journal.read()) == (ROOM, {"a"})
    await journal.add(["b"])
    assert (size(path), journal.read()) == (ROOM, {"a", "b"})


def test_a_line_that_was_cut_off_takes_no_other_along(path: Path) -> None:
    path.write_bytes(b'"a"\n"b' + bytes(10))
    journal = Journal(path)
    assert asyncio.run(journal.add(["c"]))
    assert journal.read() == {"a", "c"}


@pytest.mark.parametrize("keys", [[], ["a"], [f"{number:0100}" for number in range(1000)]], ids=["no", "one", "many"])
async def test_after_clearing_nothing_is_read_and_the_room_stays(path: Path, keys: list[str]) -> None:
    journal = Journal(path)
    await journal.prepare()
    await journal.add(keys)
    assert journal.read() == set(keys)
    journal.clear()
    assert (journal.read(), size(path)) == (frozenset(), ROOM)
    await journal.add(["new"])
    assert journal.read() == {"new"}


async def test_without_a_file_there_is_nothing_to_read_or_to_clear(path: Path) -> None:
    journal = Journal(path)
    journal.clear()
    assert journal.read() == frozenset()
    assert size(path) is None


async def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "no folder" / "codeblue.db.begun")
    await journal.prepare()
    assert await journal.add(["a"]) is False


ON_A_FULL_DISK = """
import asyncio, sys
from pathlib import Path
from agent.stores.journal import Journal
from tests.endtoend.test_store_faults import fill

async def story(folder):
    ready, late = Journal(folder / "ready"), Journal(folder / "late")
    await ready.prepare()
    fill(folder / "filler")
    await late.prepare()
    print(await ready.add(["a"]), await late.add(["b"]), sorted(Journal(folder / "ready").read()), sorted(late.read()))

asyncio.run(story(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_keeps_no_restart_from_being_noted(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=256k none {tmp_path} && exec "$@"'
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
    argv = [*inside, sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)]
    found = subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.splitlines()[-1] == "True False ['a'] []"
