"""A database that an agent of another host uses, where no lock of this one says so."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from agent.app import App
from agent.chores import ALIVE
from agent.config.load import load
from agent.ownership import OWNER, StoreInUse
from agent.stores import SqlStore
from agent.tables import TABLES
from tests.servers import free_port


def agent(folder: Path) -> App:
    own = {"name": "west", "listen": f"127.0.0.1:{free_port()}", "store": f"sqlite:///{folder}/shared.db"}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"agent": own, "services": [{"name": "web", "checks": [{"file": "/"}]}]}))
    return App(load(file, TABLES))


async def left_by(folder: Path, owner: str, ago: timedelta) -> None:
    store = SqlStore(f"sqlite:///{folder}/shared.db")
    await store.set_note(OWNER, owner)
    await store.set_note(ALIVE, (datetime.now(UTC) - ago).isoformat())
    await store.close()


async def owner(folder: Path) -> str | None:
    store = SqlStore(f"sqlite:///{folder}/shared.db")
    found = await store.get_note(OWNER)
    await store.close()
    return found


async def test_one_that_lives_is_not_disturbed(tmp_path: Path) -> None:
    await left_by(tmp_path, "east", timedelta(seconds=12))
    with pytest.raises(StoreInUse, match="the agent east runs on this database"):
        await agent(tmp_path).start()
    assert await owner(tmp_path) == "east"


@pytest.mark.parametrize(
    ("name", "ago"),
    [
        pytest.param("east", timedelta(minutes=5), id="of one that has not been heard of for minutes"),
        pytest.param("west", timedelta(seconds=1), id="of its own life before, which was killed"),
    ],
)
async def test_what_is_left_is_taken_over(tmp_path: Path, name: str, ago: timedelta) -> None:
    await left_by(tmp_path, name, ago)
    app = agent(tmp_path)
    await app.start()
    try:
        assert await owner(tmp_path) == "west"
    finally:
        await app.stop()
    assert await owner(tmp_path) == ""
