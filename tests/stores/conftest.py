from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.stores import MemoryStore, SqlStore
from tests.stores.makers import AnyStore, resilient


@pytest.fixture(params=["memory", "sqlite", "resilient"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    made: AnyStore
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "sqlite":
        made = SqlStore(f"sqlite:///{tmp_path / 'codeblue.db'}")
    else:
        made = resilient(tmp_path / "codeblue.db")
    yield made
    await made.close()
