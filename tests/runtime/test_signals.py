"""Services that are fed from outside: paged, stored and closed like any other, and taken up again at boot."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind
from agent.core.policy import Policy
from agent.core.state import Health, Stage
from agent.ports import CheckRow, ServiceRow
from agent.runtime.recorder import Recorder
from agent.runtime.signals import Signals
from agent.stores.memory import MemoryStore
from tests.virtual_time import in_virtual_time, virtually
from tests.world import FakeChannel, World

PAGE = Policy(service="", page=("oncall",))
NAME = "storm:rack-7"


class Fed(World):
    """A world whose only services are signals of the kind "storm"."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(store=store)
        self.channels["oncall"] = FakeChannel()
        self.rows: dict[str, ServiceRow] = {}

    async def boot(self) -> None:
        await super().boot()
        self.signals = Signals(self.engine, self.clock, self.rows, Recorder(self.store).record)
        self.signals.own("storm", lambda name: replace(PAGE, labels={"restored": "yes"}))
        self.restored = self.signals.restore(await self.store.load())
        await self.outbox.recover({name: watched.row.state for name, watched in self.engine.table.items()})

    def sent(self) -> list[tuple[NoticeKind, str]]:
        return [(notice.kind, notice.title) for notice in self.channels["oncall"].sent]


@virtually
async def test_one_bad_word_pages_at_once_and_one_good_word_closes() -> None:
    async with Fed().alive() as world:
        world.signals.ensure(NAME, PAGE)
        world.signals.fail(NAME, "40 services fail", {"Tree": "rack-7\n  a\n  b"})
        await world.live(1)
        (page,) = world.channels["oncall"].sent
        assert (page.kind, page.summary) == (NoticeKind.OPENED, "storm: 40 services fail")
        assert page.evidence == {"Tree": "rack-7\n  a\n  b"}
        world.signals.clear(NAME)
        await world.live(1)
        assert [kind for kind, _ in world.sent()] == [NoticeKind.OPENED, NoticeKind.RESOLVED]


@virtually
async def test_the_live_table_shows_it_like_any_service() -> None:
    async with Fed().alive() as world:
        world.signals.ensure(NAME, PAGE)
        world.signals.fail(NAME, "40 services fail")
        await world.engine.quiesce()
        row = world.rows[NAME]
        assert (row.health, row.checks["storm"].summary, row.checks["storm"].reason) == (
            Health.DOWN,
            "40 services fail",
            "storm",
        )


def test_after_a_kill_it_goes_on_with_its_incident_and_pages_nobody_twice() -> None:
    async def story() -> None:
        store = MemoryStore()
        world = Fed(store)
        await world.boot()
        world.signals.ensure(NAME, PAGE)
        world.signals.fail(NAME, "40 services fail")
        await world.live(1)
        incident = world.state(NAME).incident
        await world.die()
        await world.boot()
        assert world.restored == [NAME]
        assert world.state(NAME).incident == incident
        assert world.engine.table[NAME].policy.labels == {"restored": "yes"}
        world.signals.fail(NAME, "40 services fail")
        await world.live(1)
        world.signals.clear(NAME)
        await world.live(1)
        assert [kind for kind, _ in world.sent()] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
        await world.die()

    in_virtual_time(story())


def test_a_stored_one_whose_kind_nobody_owns_is_left_alone() -> None:
    async def story() -> None:
        store = MemoryStore()
        world = Fed(store)
        await world.boot()
        world.signals.ensure("drill:x", PAGE)
        world.signals.fail("drill:x", "this is a drill")
        await world.live(1)
        await world.die()
        await world.boot()
        assert world.restored == []
        await world.die()

    in_virtual_time(story())


@virtually
async def test_nobody_can_tell_keeps_the_incident_open() -> None:
    async with Fed().alive() as world:
        world.signals.ensure(NAME, PAGE)
        world.signals.fail(NAME, "40 services fail")
        await world.live(1)
        world.signals.unsure(NAME, "not heard of for 12h")
        await world.live(3600)
        incident = world.state(NAME).incident
        assert incident is not None
        assert incident.stage is Stage.PAGED


def test_forgetting_closes_what_is_open_and_leaves_nothing_behind() -> None:
    async def story() -> None:
        store = MemoryStore()
        world = Fed(store)
        await world.boot()
        world.signals.ensure(NAME, PAGE)
        world.signals.fail(NAME, "40 services fail")
        await world.live(1)
        await world.signals.forget(NAME)
        await world.live(1)
        assert [kind for kind, _ in world.sent()] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
        assert world.signals.names("storm") == []
        assert (world.rows, dict(await store.load())) == ({}, {})
        await world.signals.forget(NAME)
        await world.die()

    in_virtual_time(story())


@virtually
async def test_a_changed_policy_is_taken_over_and_the_incident_goes_on() -> None:
    async with Fed().alive() as world:
        world.signals.ensure(NAME, replace(PAGE, page=()))
        world.signals.fail(NAME, "40 services fail")
        await world.live(1)
        assert world.sent() == []
        world.signals.ensure(NAME, replace(PAGE, remind=timedelta(hours=1)))
        await world.live(1)
        assert [kind for kind, _ in world.sent()] == [NoticeKind.OPENED]


@pytest.mark.parametrize("name", ["storm", "storm:", ":x", ""], ids=["no kind", "no rest", "empty kind", "empty"])
@virtually
async def test_a_name_that_a_configuration_could_have_is_refused(name: str) -> None:
    async with Fed().alive() as world:
        with pytest.raises(ValueError, match="KIND:REST"):
            world.signals.ensure(name, PAGE)


@virtually
async def test_speaking_of_one_that_is_not_watched_is_an_error_of_the_caller() -> None:
    async with Fed().alive() as world:
        with pytest.raises(KeyError, match="ensure it first"):
            world.signals.fail(NAME, "40 services fail")


@virtually
async def test_its_row_is_of_the_kind_of_its_name() -> None:
    async with Fed().alive() as world:
        world.signals.ensure(NAME, PAGE)
        (row,) = world.rows[NAME].checks.values()
        assert isinstance(row, CheckRow)
        assert (row.service, row.check, row.type) == (NAME, "storm", "storm")
