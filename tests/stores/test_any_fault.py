"""Whatever happens to the file, and whenever: the agent is told the same as by a store that has no file.

A real SQLite file is deleted, replaced, overwritten, filled up, locked; the agent is stopped or killed and started
again whenever the file is well. The model is the store in memory, which nothing can happen to.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.core.commands import Notice, NoticeKind, Outcome, Restart
from agent.core.events import Decision
from agent.ports import ActionOutcome, Outgoing, Receipt, StoreUnavailable, VersionConflict
from agent.stores import MemoryStore, ResilientStore, SqlStore
from agent.stores.journal import Journal
from tests.stores import faults
from tests.stores.makers import T0, Troubles, at, down, event, healthy, notice, restart

T = TypeVar("T")
NAMES = ("photos", "db", "mail")


class AnyFault(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "codeblue.db"
        self.model = MemoryStore()
        self.store = self.open()
        self.old: list[ResilientStore] = []
        self.undo: faults.Undo | None = None
        self.lost = False  # what is settled and of no open incident may be gone from the file
        self.clock = 0
        self.incidents = dict.fromkeys(NAMES, 0)
        self.versions = dict.fromkeys(NAMES, 0)
        self.keys: list[str] = []
        self.performed: Counter[str] = Counter()

    def open(self) -> ResilientStore:
        primary = SqlStore(f"sqlite:///{self.path}", busy=0.02, reopens=False)
        return ResilientStore(primary, on_trouble=Troubles(), journal=Journal(Path(f"{self.path}.begun")))

    def wait(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def tick(self) -> float:
        self.clock += 1
        return self.clock

    @initialize()
    def start(self) -> None:
        self.wait(self.store.load())

    # -------------------------------------------------------------------------------- what an agent does

    @rule(name=st.sampled_from(NAMES), data=st.data(), closes=st.booleans(), repeats=st.booleans())
    def commit(self, name: str, data: st.DataObject, closes: bool, repeats: bool) -> None:
        now = self.tick()
        incident = f"{name}-{self.incidents[name]}"
        new: list[Restart | Notice] = [restart(f"{incident}-r{now}", name, incident, now)]
        new.append(notice(f"{incident}-n{now}", name, incident, kind=NoticeKind.OPENED, seconds=now))
        if repeats:
            same = [key for key in self.keys if key.startswith(f"{incident}-r")]
            new += [restart(key, name, incident, now) for key in same[:1]]
        cancelled = data.draw(st.lists(st.sampled_from(self.keys), max_size=2)) if self.keys else []
        self.keys += [command.key for command in new if command.key not in self.keys]
        state = healthy(name, now) if closes else down(name, incident, now)
        self.incidents[name] += closes
        rows = (event(f"row {now}", name, seconds=now),)
        decision = Decision(state=state, commands=tuple(new), cancelled=tuple(cancelled), events=rows)
        seen = self.versions[name]
        self.versions[name] = self.wait(self.model.commit(name, seen, decision))
        assert self.wait(self.store.commit(name, seen, decision)) == self.versions[name]

    @rule(name=st.sampled_from(NAMES), ahead=st.integers(1, 3))
    def commit_on_a_version_that_is_not(self, name: str, ahead: int) -> None:
        try:
            self.wait(self.store.commit(name, self.versions[name] + ahead, Decision(state=healthy(name))))
        except VersionConflict:
            return
        raise AssertionError("no conflict")

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self.keys), max_size=4))
        now = at(self.tick())
        ours = self.wait(self.store.claim(some, now))
        assert ours == self.wait(self.model.claim(some, now))
        self.performed.update(key for key in ours if "-r" in key)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), end=st.sampled_from(["settle", "postpone", "bury", "retract", "replay", "reclaim"]))
    def finish(self, data: st.DataObject, end: str) -> None:
        key = data.draw(st.sampled_from(self.keys))
        now = at(self.tick())
        results = []
        for store in (self.store, self.model):
            if end == "settle":
                results.append(self.wait(self.settle(store, key)))
            elif end in ("postpone", "bury"):
                results.append(self.wait(getattr(store, end)(key, now, "server: 500")))
            elif end == "replay":
                results.append(self.wait(store.replay([key], now)))
            else:
                results.append(self.wait(getattr(store, end)(key, now)))
        assert results[0] == results[1]

    async def settle(self, store: ResilientStore | MemoryStore, key: str) -> None:
        if "-r" in key:
            await store.settle(key, at(self.clock), outcome=ActionOutcome(outcome=Outcome.DONE))
        else:
            await store.settle(key, at(self.clock), receipt=Receipt(data={"ts": key}))

    @rule(text=st.text(max_size=5))
    def note(self, text: str) -> None:
        self.wait(self.store.set_note("alive", text))
        assert self.wait(self.store.get_note("alive")) == text.replace("\0", "\N{REPLACEMENT CHARACTER}")

    # -------------------------------------------------------------------------------- what happens to it

    @precondition(lambda self: self.undo is None and self.path.is_file() and Path(f"{self.path}-wal").exists())
    @rule(fault=st.sampled_from([*faults.LOSSES, faults.locked]))
    def the_file_suffers(self, fault: object) -> None:
        self.undo = fault(self.path)  # type: ignore[operator]
        self.lost = self.lost or fault is not faults.locked

    @precondition(lambda self: self.undo is None and not self.store.trouble)
    @rule()
    def the_disk_is_full(self) -> None:
        def fill(pages: int) -> str:
            return f"PRAGMA max_page_count={pages}"

        async def limit(pages: int) -> None:
            writer = self.store._primary._writer  # type: ignore[attr-defined]
            try:
                await writer.submit(lambda conn: conn.exec_driver_sql(fill(pages)).scalar(), writes=False)
            except StoreUnavailable:
                return

        self.wait(limit(1))
        undo_by_reopening = self.store._primary._database  # type: ignore[attr-defined]
        self.undo = lambda: undo_by_reopening._drop()

    @precondition(lambda self: self.undo is not None)
    @rule()
    def the_file_is_well_again(self) -> None:
        assert self.undo is not None
        self.undo()
        self.undo = None

    @rule()
    def heal(self) -> None:
        assert self.wait(self.store.heal()) is None

    @precondition(lambda self: self.undo is None)
    @rule(killed=st.booleans())
    def the_agent_is_started_again(self, killed: bool) -> None:
        """Stopped at any time; killed only while it is in step: what was decided from memory alone dies with it."""
        self.wait(self.store.heal())
        self.wait(self.store.heal())
        if killed and not self.broken_unseen():
            self.old.append(self.store)
        else:
            self.wait(self.store.set_note("stop", "now"))
            self.wait(self.store.heal())
            self.wait(self.store.close())
        self.store = self.open()
        found = self.wait(self.store.load())
        assert {name: item.version for name, item in found.items()} == {
            name: version for name, version in self.versions.items() if version
        }

    def broken_unseen(self) -> bool:
        """The file was taken away and nobody has written since: what it held dies with the process."""
        try:
            self.store._primary._database.check()  # type: ignore[attr-defined]
        except StoreUnavailable:
            return True
        return bool(self.store.trouble)

    # -------------------------------------------------------------------------------- what must be true

    @invariant()
    def no_restart_is_given_out_twice(self) -> None:
        assert not self.performed or max(self.performed.values()) == 1

    @invariant()
    def it_knows_what_the_model_knows(self) -> None:
        expected = self.wait(self.model.pending())
        assert bare(self.wait(self.store.pending())) == bare(expected)
        assert sorted(order.key for order in self.wait(self.store.interrupted())) == sorted(
            order.key for order in self.wait(self.model.interrupted())
        )

    def teardown(self) -> None:
        try:
            if self.undo:
                self.undo()
            self.wait(self.store.set_note("end", "now"))
            self.wait(self.store.heal())
            self.wait(self.store.heal())
            assert self.store.trouble == ""
            self.wait(self.store.close())
            self.wait(self.compare_with_the_file())
        finally:
            for store in self.old:
                self.wait(store.close())
            self.loop.close()
            self.folder.cleanup()

    async def compare_with_the_file(self) -> None:
        disk = SqlStore(f"sqlite:///{self.path}")
        assert dict(await disk.load()) == dict(await self.model.load())
        expected, found = await self.model.outgoing(self.keys), await disk.outgoing(self.keys)
        for key, item in expected.items():
            if key in found:
                assert bare([found[key]]) == bare([item])
            else:
                assert self.lost
                assert item.status in ("done", "dead", "cancelled")
        if not self.lost:
            assert await disk.history(None, since=T0) == await self.model.history(None, since=T0)
        await disk.close()


def bare(items: object) -> dict[str, Outgoing]:
    return {item.command.key: replace(item) for item in items}  # type: ignore[attr-defined]


AnyFault.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyFault = AnyFault.TestCase
