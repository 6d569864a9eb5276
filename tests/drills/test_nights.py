"""Drills on the virtual clock: by the calendar, into any night, and beside whatever really happens."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from agent.config.model import Cron, DrillSpec
from agent.core.commands import NoticeKind
from agent.core.contact import Contact
from agent.core.events import Quiet
from agent.core.policy import CheckPolicy, Escalation, EscalationStep, Policy, RestartPolicy
from agent.operations import Refused
from agent.ports import DeliveryError, DrillOutcome
from tests.drills.site import legs
from tests.drills.town import Town
from tests.scenarios.test_any_night import APP, DB
from tests.virtual_time import in_virtual_time, virtually

WEB = Policy(
    service="web",
    checks={"http": CheckPolicy()},
    restart=RestartPolicy(action="process"),
    page=("oncall",),
    fallback={"oncall": ("hook",)},
)
OPENED, RESOLVED, REMINDER = NoticeKind.OPENED, NoticeKind.RESOLVED, NoticeKind.REMINDER
BROKEN = DeliveryError("server", retryable=True)


@virtually
async def test_while_everything_is_down_and_silent_a_drill_still_goes_through() -> None:
    async with Town(WEB).alive() as town:
        silent = Quiet(why="silenced")
        town.engine.contexts.quiet = lambda _, policy, __: None if policy.drill else silent
        town.down.add("web")
        await town.live(60)
        report = await town.ended(town.drills.hold("web", "alice"))
        assert (report.outcome, report.seconds < 2) == (DrillOutcome.PASSED, True)
        assert town.kinds("oncall", drills=True) == [OPENED, RESOLVED]


@virtually
async def test_a_channel_that_is_gone_is_late_is_paged_by_the_fallback_and_gets_no_second_message() -> None:
    async with Town(WEB).alive() as town:
        town.channels["oncall"].broken = BROKEN
        report = await town.ended(town.drills.hold("web", "alice"))
        assert report.why == "the fire drill for web failed: delivery/oncall: late: not taken within 60 s"
        await town.live(5)
        assert town.sent("hook", drills=True) == []
        (page,) = town.sent("hook", drills=False)
        assert (page.kind, page.service) == (OPENED, "paging:web")
        assert town.counted.outcomes == ["failed"]
        town.channels["oncall"].broken = None
        await town.live(900)
        assert town.kinds("oncall", drills=True) in ([], [RESOLVED])


@virtually
async def test_a_failed_drill_is_reminded_of_and_told_again_with_what_is_new_until_one_passes() -> None:
    async with Town(replace(WEB, remind=timedelta(hours=1))).alive() as town:
        oncall = town.channels["oncall"]
        oncall.errors.append(DeliveryError("archived", retryable=False))
        await town.ended(town.drills.hold("web", "alice"))
        await town.live(3700)
        assert town.kinds("hook", drills=False) == [OPENED, REMINDER]
        oncall.errors.append(DeliveryError("auth", retryable=False))
        await town.ended(town.drills.hold("web", "alice"))
        await town.live(5)
        assert "auth" in town.sent("hook", drills=False)[-1].title
        await town.ended(town.drills.hold("web", "alice"))
        await town.live(5)
        assert town.kinds("hook", drills=False)[-1] is RESOLVED
        assert town.rows.keys() == set()


def test_only_whoever_is_asked_first_is_drilled_even_when_nobody_answers() -> None:
    escalation = Escalation(
        name="default",
        steps=(
            EscalationStep(notify=("oncall:empty",), wait=timedelta(minutes=5)),
            EscalationStep(notify=("person:alice",), wait=timedelta(minutes=5)),
            EscalationStep(notify=("person:boss",), wait=timedelta(minutes=5)),
        ),
        repeat=3,
    )
    reach = {
        "person:alice": (Contact(channel="sms", to="+49", person="alice"),),
        "person:boss": (Contact(channel="sms", to="+1", person="boss"),),
    }

    async def night() -> None:
        town = Town(replace(WEB, escalation=escalation), drill=DrillSpec(seen=timedelta(hours=2)))
        town.channel("sms")
        await town.boot()
        town.engine.contexts.reach = lambda *_: reach
        report = await town.ended(town.drills.hold("web", "alice"), within=9000)
        assert legs(report)["seen"] == "failed"
        assert {notice.person for notice in town.sent("sms", drills=True)} == {"alice"}
        assert town.kinds("sms", drills=True) == [OPENED, RESOLVED]
        await town.die()

    in_virtual_time(night())


def test_where_no_step_reaches_anybody_the_drill_says_so() -> None:
    async def night() -> None:
        nobody = Escalation(name="x", steps=(EscalationStep(notify=("oncall:empty",), wait=timedelta(minutes=5)),))
        town = Town(replace(WEB, page=(), escalation=nobody))
        town.channel("hook")
        await town.boot()
        report = await town.ended(town.drills.hold("web", "alice"))
        assert "nobody could be asked" in report.why
        assert "codeblue oncall coverage" in report.remedy
        await town.live(5)
        assert town.kinds("hook", drills=False) == [OPENED]
        await town.die()

    in_virtual_time(night())


def test_by_the_calendar_each_service_in_turn_and_a_restart_does_not_repeat_it() -> None:
    async def week() -> None:
        every_hour = DrillSpec(cron=Cron(expression="0 * * * *"), services=("web", "db"))
        town = Town(WEB, replace(WEB, service="db"), drill=every_hour)
        await town.boot()
        for _ in range(2):
            for _ in range(300):
                await town.live(10)
                await town.drills.tick()
            await town.die()
            await town.boot()
        drilled = [notice.service for notice in town.sent("oncall", drills=True) if notice.kind is OPENED]
        assert drilled == ["drill:web", "drill:db"]
        await town.die()

    in_virtual_time(week())


@pytest.mark.parametrize("restarts", [0, 9], ids=["one life", "a restart every four minutes"])
def test_every_so_often_counts_over_restarts(restarts: int) -> None:
    async def morning() -> None:
        town = Town(WEB, drill=DrillSpec(every=timedelta(minutes=12), services=("web",)))
        await town.boot()
        for lap in range(10):
            for _ in range(12):
                await town.live(20)
                await town.drills.tick()
            if lap < restarts:
                await town.die()
                await town.boot()
        assert town.kinds("oncall", drills=True) == [OPENED, RESOLVED] * 3
        await town.die()

    in_virtual_time(morning())


def test_a_kill_in_the_middle_leaves_one_closing_and_the_next_drill_works() -> None:
    async def night() -> None:
        town = Town(WEB, drill=DrillSpec(seen=timedelta(hours=1)))
        await town.boot()
        town.drills.hold("web", "alice")
        await town.live(30)
        await town.die()
        await town.boot()
        await town.live(30)
        assert town.kinds("oncall", drills=True) == [OPENED, RESOLVED]
        assert "Not finished" in town.sent("oncall", drills=True)[-1].evidence["Result"]
        assert town.counted.outcomes == ["unfinished"]
        assert [one.outcome for one in town.drills.reports()] == [DrillOutcome.UNFINISHED]
        with pytest.raises(Refused, match="no drill waits"):
            await town.drills.seen("", "alice")
        drill = town.drills.hold("web", "alice")
        await town.live(1)
        await town.drills.seen(drill, "bob")
        assert (await town.ended(drill)).outcome is DrillOutcome.PASSED
        assert [one.id for one in town.drills.reports()] == [drill]
        await town.die()

    in_virtual_time(night())


# on a virtual clock two services are seen at the same instant, in an order that any further timer may change: none of
# them looks at the other here
ALONE = replace(APP, depends_on=())
STORY = st.lists(
    st.tuples(
        st.sampled_from(["down db", "up db", "down app", "up app", "slack gone", "slack back"]),
        st.floats(0.01, 90, allow_nan=False),
    ),
    max_size=12,
)
FOUND = [("slack gone", 28.0), ("down db", 44.0), ("down db", 70.0), ("up db", 1.0), ("down app", 29.0)]
DRILLS = st.lists(st.tuples(st.sampled_from(["app", "db", ""]), st.floats(0.5, 300, allow_nan=False)), max_size=4)


async def _lived(story: list[tuple[str, float]], drills: list[tuple[str, float]]) -> Town:
    town = Town(DB, ALONE)
    await town.boot()

    def hold(of: str) -> None:
        with suppress(Refused):  # one of the same is being held
            town.drills.hold(of, "alice")

    loop, moment = asyncio.get_running_loop(), 0.0
    for of, after in drills:
        moment += after
        loop.call_later(moment, hold, of)
    for fault, seconds in [*story, ("up db", 0.01), ("up app", 0.01), ("slack back", 1500.0)]:
        match fault.split():
            case ["down", name]:
                town.down.add(name)
            case ["up", name]:
                town.down.discard(name)
            case [_, how]:
                town.channels["oncall"].broken = BROKEN if how == "gone" else None
        await town.live(seconds)
    return town


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(STORY, DRILLS)
@example(
    [("slack gone", 28.0), ("down db", 44.0), ("down db", 70.0), ("up db", 1.0), ("down app", 29.0)], [("app", 1.0)]
)
def test_a_drill_at_any_moment_leaves_the_messages_of_real_incidents_as_they_are(
    story: list[tuple[str, float]], drills: list[tuple[str, float]]
) -> None:
    async def real(drills: list[tuple[str, float]]) -> dict[object, list[Any]]:
        town = await _lived(story, drills)
        found = {
            (name, service): [notice for notice in channel.sent if notice.service == service]
            for name, channel in town.channels.items()
            for service in town.policies
        }
        for channel in town.channels.values():
            begun = {n.incident for n in channel.sent if n.drill and n.kind is OPENED}
            closed = [n.incident for n in channel.sent if n.drill and n.kind is RESOLVED]
            assert begun <= set(closed), "a drill was never closed"
            assert len(closed) == len(set(closed)), "a drill was closed twice"
        assert not any(order.service.startswith("drill:") for one in town.remediators.values() for order in one.orders)
        orders = {name: [order.at for order in one.orders] for name, one in town.remediators.items()}
        await town.die()
        return {**found, **orders}

    with_drills = in_virtual_time(real(drills))
    assert with_drills == in_virtual_time(real([]))
