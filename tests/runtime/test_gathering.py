"""Pages of services that belong together are one message, while everything else about each of them goes on."""

from datetime import timedelta

import pytest

from agent.core.commands import NoticeKind
from agent.core.contact import Contact
from agent.core.events import Acknowledged, EventKind
from agent.core.policy import Escalation, EscalationStep, Gather, Policy
from agent.core.state import Stage
from agent.core.storm import StormRule
from agent.runtime.gathering import gathered, group_of
from tests.crowd import Crowd, many, policy
from tests.virtual_time import in_virtual_time, virtually

BY_GROUP = Gather(by=("group",))
WEB = {"group": "web", "gather": BY_GROUP, "restart": None}
NAME = "group:web/oncall"
NO_STORM = StormRule(services=10_000)


@virtually
async def test_the_pages_of_a_group_are_one_message_after_the_wait() -> None:
    async with Crowd(*many(4, **WEB), policy("alone", restart=None)).alive(15) as world:
        world.down = {"s000", "s001", "s002", "alone"}
        await world.live(30)
        assert world.pages() == ["alone"]
        await world.live(10)
        assert world.pages() == ["alone", NAME]
        page = world.told(NoticeKind.OPENED)[-1]
        assert page.summary == "group: 3 services: s000, s001, s002"
        assert page.evidence["What is down"] == "group web (3): s000, s001, s002"
        assert page.evidence["s001: Last log lines"] == "s001: something went wrong"
        assert world.stages()["s001"] is Stage.QUIET


@virtually
async def test_one_member_is_shown_like_a_page_of_its_own() -> None:
    async with Crowd(*many(4, **WEB)).alive(15) as world:
        world.down = {"s002"}
        await world.live(60)
        (page,) = world.told(NoticeKind.OPENED)
        assert (page.summary, page.evidence) == ("group: s002", {"Last log lines": "s002: something went wrong"})


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("silenced", "is no page of its own any more, still down: s000 (silenced)"),
        ("storm", "still down: s000 (it is part of a storm, which is paged as storm:services)"),
    ],
)
@virtually
async def test_a_group_whose_members_are_silent_or_in_a_storm_is_never_said_to_have_recovered(
    how: str, why: str
) -> None:
    async with Crowd(*many(4, **WEB), *many(4, "other", restart=None), rule=StormRule(services=3)).alive(15) as world:
        world.down = {"s000"}
        await world.live(45)
        assert world.pages() == [NAME]
        if how == "silenced":
            world.silent = {"s000"}
            world.engine.review()
        else:
            world.down |= {"other000", "other001", "other002"}
        await world.live(30 if how == "silenced" else 600)
        closing = next(notice for notice in world.told(NoticeKind.RESOLVED) if notice.service == NAME)
        assert why in closing.title
        assert "recovered" not in closing.title
        world.silent, world.down = set(), set()
        await world.live(600)
        assert world.stages() == {}


@virtually
async def test_what_is_well_again_within_the_wait_wakes_nobody() -> None:
    async with Crowd(*many(4, **WEB)).alive(15) as world:
        world.down = {"s000", "s001"}
        await world.live(15)
        assert world.stages() == {"s000": Stage.QUIET, "s001": Stage.QUIET}
        world.down = set()
        await world.live(120)
        assert world.channels["oncall"].sent == []
        assert NAME not in world.engine.table


@virtually
async def test_it_is_closed_once_when_all_are_well_with_a_list_of_who_was_down() -> None:
    async with Crowd(*many(4, **WEB)).alive(15) as world:
        world.down = {"s000", "s001"}
        await world.live(60)
        world.down = {"s001"}
        await world.live(60)
        assert world.told(NoticeKind.RESOLVED) == []
        world.down = set()
        await world.live(60)
        (closing,) = world.told(NoticeKind.RESOLVED)
        assert (closing.service, closing.evidence) == (NAME, {"Were down": "s000\ns001"})


@virtually
async def test_changes_are_told_at_most_every_interval_and_new_members_as_loud_as_a_page() -> None:
    async with Crowd(*many(6, **WEB)).alive(15) as world:
        world.down = {"s000", "s001"}
        await world.live(60)
        world.engine.tell(NAME, Acknowledged(at=world.clock.now(), by="alice"))
        world.down = {"s001", "s002", "s003"}
        await world.live(200)
        assert world.told(NoticeKind.REMINDER) == []
        await world.live(120)
        (louder,) = world.told(NoticeKind.REMINDER)
        assert louder.title.startswith(f"{NAME}: 3 down now")
        assert louder.title.endswith("; 2 more: s002, s003; 1 well again: s000")
        assert louder.evidence["What is down"] == "group web (3): s001, s002, s003"
        incident = world.state(NAME).incident
        assert incident is not None
        assert incident.ack is None  # she had taken on less than this
        updates = len(world.told(NoticeKind.UPDATE))
        world.down = {"s003"}
        await world.live(400)
        assert [notice.title for notice in world.told(NoticeKind.UPDATE)[updates:]] == [
            f"{NAME}: 1 down now; 2 well again: s001, s002"
        ]
        assert len(world.told(NoticeKind.REMINDER)) == 1


def test_restarts_and_timelines_of_the_members_go_on() -> None:
    async def story() -> None:
        world = Crowd(*many(3, gather=BY_GROUP, group="web"))
        world.remediators["s000"].effect = lambda _: world.down.discard("s000")
        await world.boot()
        await world.live(15)
        world.down = {"s000", "s001"}
        await world.live(600)
        assert "s000" in world.restarted
        assert world.pages() == [NAME]
        (page,) = world.told(NoticeKind.OPENED)
        assert page.summary == "group: s001"
        why = [event.text for event in world.events if event.kind is EventKind.QUIETED]
        assert why == [f"nobody is asked: it is paged together with others, as {NAME}"]
        await world.die()

    in_virtual_time(story())


def test_an_agent_that_is_killed_pages_no_group_twice_and_closes_it_once() -> None:
    async def story() -> None:
        world = Crowd(*many(4, **WEB))
        await world.boot()
        await world.live(15)
        world.down = {"s000", "s001"}
        await world.live(60)
        await world.die()
        await world.boot()
        await world.live(60)
        assert world.pages() == [NAME]
        world.down = set()
        await world.live(60)
        assert [notice.service for notice in world.told(NoticeKind.RESOLVED)] == [NAME]
        assert world.told(NoticeKind.RESOLVED)[0].evidence == {"Were down": "s000\ns001"}
        await world.die()

    in_virtual_time(story())


def test_an_agent_that_is_killed_within_the_wait_still_pages() -> None:
    async def story() -> None:
        world = Crowd(*many(4, **WEB))
        await world.boot()
        await world.live(15)
        world.down = {"s000", "s001"}
        await world.live(20)
        assert world.pages() == []
        await world.die()
        await world.boot()
        await world.live(60)
        assert world.pages() == [NAME]
        await world.die()

    in_virtual_time(story())


def test_a_member_that_is_silenced_is_not_in_the_message() -> None:
    async def story() -> None:
        world = Crowd(*many(4, **WEB))
        world.silent = {"s000"}
        await world.boot()
        await world.live(15)
        world.down = {"s000", "s001"}
        await world.live(60)
        (page,) = world.told(NoticeKind.OPENED)
        assert page.summary == "group: s001"
        world.silent = {"s001"}
        world.engine.review()
        await world.live(400)
        (louder,) = world.told(NoticeKind.REMINDER)
        assert louder.title.endswith("1 more: s000; 1 quiet: s001")
        await world.die()

    in_virtual_time(story())


@virtually
async def test_a_gathered_group_in_a_storm_is_the_storms_business() -> None:
    async with Crowd(*many(30, **WEB)).alive(15) as world:
        world.down = {*world.policies}
        await world.live(90)
        assert world.pages() == ["storm:services"]
        world.down = {"s000", "s001"}
        await world.live(120)
        assert world.pages() == ["storm:services", NAME]


def test_a_louder_update_asks_whoever_is_on_call_now() -> None:
    async def story() -> None:
        steps = (EscalationStep(notify=("oncall:ops",), wait=timedelta(minutes=5)),)
        world = Crowd(*many(4, **WEB, escalation=Escalation(name="ops", steps=steps)), rule=NO_STORM)
        on_call = ["alice"]
        await world.boot()
        world.channels["sms"] = world.channels["oncall"]
        world.outbox.use({"sms": (world.channels["oncall"], 25.0)}, world.remediators)
        world.engine.contexts.reach = lambda *_: {"oncall:ops": (Contact(channel="sms", to="+49", person=on_call[0]),)}
        await world.live(15)
        world.down = {"s000"}
        await world.live(60)
        world.engine.tell("group:web/ops+oncall", Acknowledged(at=world.clock.now(), by="alice"))
        on_call[0] = "bob"
        world.down = {"s000", "s001"}
        await world.live(330)
        asked = [(notice.kind, notice.person) for notice in world.channels["oncall"].sent]
        assert asked.count((NoticeKind.OPENED, "alice")) == 1
        assert asked.count((NoticeKind.OPENED, "bob")) == 1
        assert asked.count((NoticeKind.REMINDER, "")) == 1
        assert asked.count((NoticeKind.REMINDER, "alice")) == 0
        await world.die()

    in_virtual_time(story())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        pytest.param(policy("a", group="web"), "", id="gathers nothing"),
        pytest.param(policy("a", gather=BY_GROUP), "", id="is in no group: paged by itself"),
        pytest.param(policy("a", gather=BY_GROUP, group="web", page=()), "", id="pages nobody"),
        pytest.param(policy("a", gather=BY_GROUP, group="web"), NAME, id="by group"),
        pytest.param(
            policy("a", gather=Gather(by=("team", "severity")), labels={"team": "photos"}),
            "group:photos,critical/oncall",
            id="by a label and the severity",
        ),
        pytest.param(
            policy("a", gather=BY_GROUP, group="web", page=("a", "b"), escalation=Escalation(name="ops", steps=())),
            "group:web/ops+a+b",
            id="other people, another group",
        ),
    ],
)
def test_the_name_of_a_group(given: Policy, name: str) -> None:
    assert group_of(given) == name


def test_a_group_is_as_severe_as_the_worst_in_it_and_says_only_what_holds_for_all() -> None:
    one = policy("a", severity="warning", labels={"team": "x", "zone": "1"}, runbook="https://r/a")
    other = policy("b", severity="critical", labels={"team": "x", "zone": "2"}, runbook="https://r/b")
    both = gathered([one, other])
    assert (both.severity, dict(both.labels), both.runbook) == ("critical", {"team": "x"}, "")
    assert gathered([one]).runbook == "https://r/a"
