"""The database goes away under the live agent, in every way: checks and pages go on, /readyz says so, and it heals."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.endtoend.agent import Agent, wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import outbox, unsettled

PAGED_WITHIN = 5.0  # seconds after the second miss

Fault = Callable[[Agent], AbstractContextManager[None]]


@contextmanager
def deleted(agent: Agent) -> Iterator[None]:
    for file in agent.folder.glob("codeblue.db*"):
        file.unlink()
    yield


@contextmanager
def garbage(agent: Agent) -> Iterator[None]:
    agent.database.write_bytes(os.urandom(20_000))
    yield


@contextmanager
def replaced(agent: Agent) -> Iterator[None]:
    """Another file takes its place, as a careless restore of a backup would do it."""
    other = agent.folder / "other.db"
    other.write_bytes(b"this is no database")
    other.replace(agent.database)
    yield


@contextmanager
def locked(agent: Agent, mode: str = "NORMAL") -> Iterator[None]:
    """Nobody else can write; in the mode EXCLUSIVE, which can only be had while nobody uses it, not read either."""
    with closing(sqlite3.connect(agent.database, isolation_level=None)) as other:
        other.execute(f"PRAGMA locking_mode={mode}")
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def watching(web: Service, hook: Receiver) -> dict[str, object]:
    return {
        "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}],
        "channels": {"hook": hook.channel},
    }


def breaks_and_is_paged(agent: Agent, web: Service, hook: Receiver) -> None:
    """The service breaks; its page is there within the time after the second miss, whatever the database does."""
    asked = len(web.asked)
    web.status = 503
    wait_for(lambda: len(web.asked) >= asked + 2, 5, "the checks do not go on")
    second_miss = monotonic()
    wait_for(lambda: hook.taken("opened"), PAGED_WITHIN + 5)
    assert hook.taken("opened")[0].at - second_miss < PAGED_WITHIN
    runs = agent.runs("web")
    wait_for(lambda: agent.runs("web") >= runs + 2, 3.5, "the checks do not go on")


def says_that_its_store_is_in_trouble(agent: Agent) -> bool:
    status, said = agent.readyz()
    return status == 503 and any("store" in reason for reason in said["reasons"])


def recovers_and_is_closed(agent: Agent, web: Service, hook: Receiver) -> None:
    web.status = 200
    wait_for(lambda: hook.taken("resolved"), 10)
    wait_for(lambda: agent.readyz()[0] == 200, 15, "it does not heal")
    assert len({got.key for got in hook.taken("opened")}) == 1
    assert len({got.key for got in hook.taken("resolved")}) == 1


@pytest.mark.parametrize("fault", [deleted, garbage, replaced], ids=lambda fault: str(fault.__name__))
def test_a_database_that_is_gone_stops_neither_checks_nor_pages_and_heals(
    fault: Fault, make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(watching(web, hook))
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        with fault(agent):
            breaks_and_is_paged(agent, web, hook)
        assert agent.events("store_trouble"), "nothing was said of it"
        recovers_and_is_closed(agent, web, hook)
        wait_for(lambda: not unsettled(agent.database), 5)
    assert [(row.kind, row.status) for row in outbox(agent.database)] == [("opened", "done"), ("resolved", "done")]


def test_a_database_that_is_locked_for_20_s_hears_afterwards_of_all_that_happened(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(watching(web, hook))
    with agent.running():
        wait_for(lambda: agent.health("web") == "up")
        begin = monotonic()
        with locked(agent):
            breaks_and_is_paged(agent, web, hook)
            wait_for(lambda: says_that_its_store_is_in_trouble(agent), 5)
            web.status = 200
            wait_for(lambda: hook.taken("resolved"), 10)
            wait_for(lambda: monotonic() - begin > 20, 25)
            assert says_that_its_store_is_in_trouble(agent)
        wait_for(lambda: agent.readyz()[0] == 200, 10, "it does not heal")
        kinds = [event["kind"] for event in agent.timeline("web")]
        assert [kind for kind in kinds if kind in ("opened", "paged", "delivered", "closed")] == [
            "opened",
            "paged",
            "delivered",
            "closed",
        ]
    assert [(row.kind, row.status) for row in outbox(agent.database)] == [("opened", "done"), ("resolved", "done")]


def test_an_agent_that_starts_while_its_database_is_locked_watches_and_pages_and_takes_it_up_later(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(watching(web, hook))
    with agent.running():
        web.status = 503
        wait_for(lambda: hook.taken("opened"), 10)
        wait_for(lambda: not unsettled(agent.database), 5)
    with locked(agent, "EXCLUSIVE"):
        agent.start()
        wait_for(lambda: agent.readyz()[0], 20)
        wait_for(lambda: agent.runs("web") >= 2, 10, "the checks do not go on")
        assert says_that_its_store_is_in_trouble(agent)
    wait_for(lambda: agent.readyz()[0] == 200, 10, "it does not heal")
    web.status = 200
    wait_for(lambda: agent.health("web") == "up" and not agent.service("web")["incident"], 10)
    wait_for(lambda: not unsettled(agent.database), 5)
    assert agent.stop() == 0
    first = hook.taken("opened")[0].incident
    assert {got.incident for got in hook.taken("resolved")} == {first}  # what was opened meanwhile is folded into it
    assert len({got.key for got in hook.taken("resolved")}) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system in a mount namespace of its own")
def test_a_full_file_system_stops_neither_checks_nor_pages_and_heals(
    make_agent: MakeAgent, web: Service, hook: Receiver, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    config = watching(web, hook)
    agent = make_agent({**config, "agent": {"store": f"sqlite:///{small}/codeblue.db"}})
    mount = f'mount -t tmpfs -o size=1m none {small} && exec "$@"'
    with agent.running(prefix=["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]):
        inside = f"/proc/{agent.pid}/root{small}"
        assert os.stat(inside).st_dev != small.stat().st_dev, "the small file system is not there"
        wait_for(lambda: agent.health("web") == "up")
        filler = Path(inside, "filler")
        fill(filler)
        breaks_and_is_paged(agent, web, hook)
        wait_for(lambda: says_that_its_store_is_in_trouble(agent), 10)
        filler.unlink()
        recovers_and_is_closed(agent, web, hook)
        wait_for(lambda: settled_in_order(Path(inside), tmp_path), 10)


def settled_in_order(there: Path, here: Path) -> bool:
    """Whether the database, copied from where SQLite does not find the way, knows the page and its end."""
    for file in ("codeblue.db", "codeblue.db-wal"):
        shutil.copyfile(there / file, here / file)
    return [(row.kind, row.status) for row in outbox(here / "codeblue.db")] == [
        ("opened", "done"),
        ("resolved", "done"),
    ]


def fill(path: Path) -> None:
    """Write until not one more byte fits."""
    result = subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=1k"], capture_output=True, check=False)
    assert b"No space left" in result.stderr, result.stderr
