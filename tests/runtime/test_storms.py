"""Many services at once: one incident that tells them all, restarts held, and a fresh look at each when it is over."""

from collections.abc import ValuesView
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from agent.core.commands import NoticeKind
from agent.core.events import EventKind
from agent.core.policy import CheckPolicy, Escalation, EscalationStep
from agent.core.state import Stage
from agent.core.storm import StormRule
from agent.runtime.probe import Probe
from agent.runtime.storm_pages import NAME, merged
from tests.crowd import Crowd, many, policy
from tests.virtual_time import in_virtual_time, virtually
from tests.world import FakeChannel


@virtually
async def test_two_hundred_services_down_at_once_are_one_message_and_no_restart() -> None:
    async with Crowd(*many(200)).alive(15) as world:
        world.down = {*world.policies}
        await world.live(60)
        (page,) = world.told(NoticeKind.OPENED)
        assert page.service == NAME
        assert page.summary == "storm: 200 of 200 services went down within 60 s"
        assert "s000" in page.evidence["What is down"]
        assert world.restarted == []
        assert set(world.stages().values()) == {Stage.HELD}


@virtually
async def test_the_page_names_what_they_have_in_common() -> None:
    async with Crowd(*many(20, "web", group="web"), *many(100, "other")).alive(15) as world:
        world.down = {name for name in world.policies if name.startswith("web")}
        await world.live(60)
        (page,) = world.told(NoticeKind.OPENED)
        assert page.summary == (
            "storm: 20 of 120 services went down within 60 s; the likely root is group web, which 20 of 20 share"
        )
        assert page.evidence["What is down"].startswith("group web (20): web000, web001")


@virtually
async def test_when_it_is_over_each_is_looked_at_afresh_and_only_what_is_still_down_is_dealt_with() -> None:
    async with Crowd(*many(30)).alive(15) as world:
        world.down = {*world.policies}
        await world.live(30)
        assert world.pages() == [NAME]
        world.down = {"s001", "s002"}
        await world.live(300)
        assert {*world.restarted} == {"s001", "s002"}
        assert {*world.pages()} == {NAME, "s001", "s002"}
        (closing,) = world.told(NoticeKind.RESOLVED)
        assert closing.service == NAME
        assert closing.evidence == {
            "Still down, and now dealt with one by one": "s001: connection refused\ns002: connection refused"
        }


@virtually
async def test_all_well_again_is_one_closing_message_and_nobody_hears_of_the_members() -> None:
    async with Crowd(*many(30)).alive(15) as world:
        world.down = {*world.policies}
        await world.live(30)
        world.down = set()
        await world.live(60)
        assert world.pages() == [NAME]
        assert [notice.service for notice in world.told(NoticeKind.RESOLVED)] == [NAME]
        assert world.restarted == []
        assert world.stages() == {}


@virtually
async def test_a_dependency_with_two_hundred_dependants_is_no_storm() -> None:
    async with Crowd(policy("db"), *many(200, depends_on=("db",))).alive(15) as world:
        world.down = {*world.policies}
        await world.live(180)
        assert world.pages() == ["db"]
        assert {*world.restarted} == {"db"}
        assert NAME not in world.engine.table


@virtually
async def test_as_many_as_are_allowed_go_down_together_without_being_a_storm() -> None:
    async with Crowd(*many(30, restart=None)).alive(15) as world:
        world.down = {f"s{number:03}" for number in range(10)}
        await world.live(60)
        assert sorted(world.pages()) == sorted(world.down)


@virtually
async def test_many_first_misses_that_are_taken_back_hold_up_nobody_for_long() -> None:
    async with Crowd(*many(30, restart=None)).alive(15) as world:
        world.down = {*world.policies}
        await world.live(5.5)  # every check misses at 20 s
        world.down = {"s001"}
        await world.live(20)
        assert world.pages() == ["s001"]
        assert NAME not in world.engine.table
        (page,) = world.told(NoticeKind.OPENED)
        assert (page.at - page.opened_at) < timedelta(seconds=5)


def test_doubt_that_never_ends_is_given_up() -> None:
    async def story() -> None:
        slow = CheckPolicy(misses=60, retry=timedelta(0))  # stays a suspect for ten minutes
        world = Crowd(
            *many(300, "slow", checks={"http": slow}), policy("quick", restart=None), rule=StormRule(services=5)
        )
        await world.boot()
        await world.live(15)
        world.down.add("quick")
        for number in range(0, 300, 12):  # and new ones all the time
            world.down |= {f"slow{each:03}" for each in range(number, number + 12)}
            await world.live(10)
        (page,) = world.told(NoticeKind.OPENED)
        assert page.service == "quick"
        assert page.at - page.opened_at < timedelta(seconds=40)
        await world.die()

    in_virtual_time(story())


@virtually
async def test_what_was_paged_before_the_storm_was_seen_keeps_its_own_incident() -> None:
    async with Crowd(policy("early", restart=None), *many(30)).alive(15) as world:
        world.down = {"early"}
        await world.live(30)
        world.down = {*world.policies}
        await world.live(30)
        assert world.pages() == ["early", NAME]
        world.down = set()
        await world.live(60)
        assert sorted(notice.service for notice in world.told(NoticeKind.RESOLVED)) == ["early", NAME]


def test_an_agent_that_is_killed_in_a_storm_goes_on_with_it() -> None:
    async def story() -> None:
        world = Crowd(*many(30))
        await world.boot()
        await world.live(15)
        world.down = {*world.policies}
        await world.live(30)
        await world.die()
        await world.boot()
        await world.live(60)
        assert world.pages() == [NAME]
        assert world.restarted == []
        world.down = set()
        await world.live(60)
        assert [notice.service for notice in world.told(NoticeKind.RESOLVED)] == [NAME]
        assert world.stages() == {}
        await world.die()

    in_virtual_time(story())


def test_an_agent_that_is_killed_before_the_storm_was_paged_goes_on_with_it_too() -> None:
    async def story() -> None:
        world = Crowd(*many(30))
        await world.boot()
        await world.live(15)
        world.down = {*world.policies}
        await world.live(8)  # misses at 20 s, decisions at 22 s, the page at 25 s
        assert world.pages() == []
        assert set(world.stages().values()) == {Stage.HELD}
        await world.die()
        await world.live(300)
        await world.boot()
        await world.live(60)
        assert world.pages() == [NAME]
        assert world.restarted == []
        await world.die()

    in_virtual_time(story())


def test_a_storm_that_ended_while_the_agent_was_dead_is_closed_once() -> None:
    async def story() -> None:
        world = Crowd(*many(30))
        await world.boot()
        await world.live(15)
        world.down = {*world.policies}
        await world.live(30)
        await world.die()
        world.down = set()
        await world.boot()
        await world.live(60)
        assert world.pages() == [NAME]
        assert [notice.service for notice in world.told(NoticeKind.RESOLVED)] == [NAME]
        await world.die()

    in_virtual_time(story())


@virtually
async def test_with_nothing_new_restarts_go_on_and_the_storm_still_pages_for_its_members() -> None:
    async with Crowd(*many(30), rule=StormRule(calm=timedelta(minutes=2))).alive(15) as world:
        world.down = {*world.policies}
        await world.live(60)
        assert world.restarted == []
        await world.live(600)
        assert {*world.restarted} == {*world.policies}
        assert world.pages() == [NAME]
        assert set(world.stages().values()) == {Stage.QUIET}
        world.down = {"s007"}
        await world.live(120)
        assert world.pages() == [NAME, "s007"]


@virtually
async def test_what_goes_down_after_the_storm_has_settled_is_paged_by_itself() -> None:
    async with Crowd(policy("late", restart=None), *many(30), rule=StormRule(calm=timedelta(minutes=2))).alive(
        15
    ) as world:
        world.down = {*world.policies} - {"late"}
        await world.live(300)
        world.down = {*world.policies}
        await world.live(30)
        assert world.pages() == [NAME, "late"]


@virtually
async def test_updates_come_at_most_every_ten_seconds_and_name_who_came_and_went() -> None:
    async with Crowd(*many(60), rule=StormRule(services=5)).alive(15) as world:
        for number in range(0, 60, 6):
            world.down |= {f"s{each:03}" for each in range(number, number + 6)}
            await world.live(5)
        await world.live(30)
        updates = [notice for notice in world.told(NoticeKind.UPDATE) if notice.service == NAME]
        gaps = [(after.at - before.at).total_seconds() for before, after in pairwise(updates)]
        assert updates
        assert all(gap >= 10 for gap in gaps)
        assert "60 down now" in updates[-1].title
        assert "more: s0" in updates[-1].title
        assert updates[-1].evidence["What is down"].count("s0") >= 30


@virtually
async def test_the_page_goes_to_everybody_whom_its_members_would_have_paged_late_ones_too() -> None:
    async with Crowd(*many(20, "a", page=("team-a",)), *many(20, "b", page=("team-b",))).alive(15) as world:
        world.down = {name for name in world.policies if name.startswith("a")}
        await world.live(30)
        assert [notice.service for notice in world.told(NoticeKind.OPENED, "team-a")] == [NAME]
        assert world.told(NoticeKind.OPENED, "team-b") == []
        world.down = {*world.policies}
        await world.live(30)
        assert [notice.service for notice in world.told(NoticeKind.OPENED, "team-a")] == [NAME]
        assert [notice.service for notice in world.told(NoticeKind.OPENED, "team-b")] == [NAME]


def test_config_may_name_who_is_paged() -> None:
    async def story() -> None:
        world = Crowd(*many(20), rule=StormRule(page=("chiefs",)))
        world.channels["chiefs"] = FakeChannel()
        await world.boot()
        await world.live(15)
        world.down = {*world.policies}
        await world.live(30)
        assert world.pages() == []
        assert [notice.service for notice in world.told(NoticeKind.OPENED, "chiefs")] == [NAME]
        await world.die()

    in_virtual_time(story())


@virtually
async def test_the_timeline_of_each_member_says_why_nothing_was_done() -> None:
    async with Crowd(*many(20)).alive(15) as world:
        world.down = {*world.policies}
        await world.live(30)
        held = {event.service: event.text for event in world.events if event.kind is EventKind.HELD}
        assert held.keys() == world.policies.keys()
        assert set(held.values()) == {f"held: the cause is probably {NAME}"}


def step(*notify: str, wait: int) -> EscalationStep:
    return EscalationStep(notify=notify, wait=timedelta(minutes=wait))


A = Escalation(name="a", steps=(step("oncall:a", wait=5), step("person:boss", wait=5)))
B = Escalation(name="b", steps=(step("oncall:b", wait=3),), repeat=2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([], None, id="none: only channels are asked"),
        pytest.param([A, A], A, id="all the same"),
        pytest.param(
            [A, B, A],
            replace(A, steps=(step("oncall:a", "oncall:b", wait=3), step("person:boss", wait=5)), repeat=2),
            id="everybody, at the pace of the quickest",
        ),
    ],
)
def test_different_escalations_become_one_that_asks_everybody(
    given: list[Escalation], expected: Escalation | None
) -> None:
    assert merged(given) == expected


def test_services_are_counted_once_a_second_however_many_decisions_there_are() -> None:
    class Counting(dict[str, Probe]):
        looks = 0

        def values(self) -> ValuesView[Probe]:
            Counting.looks += 1
            return super().values()

    async def story() -> None:
        world = Crowd(*many(200, restart=None))
        await world.boot()
        for watched in world.engine.table.values():
            watched.probes = Counting(watched.probes)
        world.down = {f"s{number:03}" for number in range(8)}  # few enough that it is no storm
        await world.live(20)
        assert len(world.pages()) == 8
        assert Counting.looks < 30 * 200  # and not 200 * 200: the first run of each is decided on
        await world.die()

    in_virtual_time(story())
