"""Nights on call, told from start to end: the whole agent but its edges, on a virtual clock."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from agent.core.commands import NoticeKind
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.result import Verdict
from agent.ports import DeliveryError
from tests.virtual_time import in_virtual_time, virtually
from tests.world import World

RESTART = RestartPolicy(action="process", at_most=2, backoff=timedelta(seconds=5), verify=timedelta(seconds=20))


def service(name: str = "api", **more: object) -> Policy:
    base = Policy(service=name, checks={"http": CheckPolicy()}, restart=RESTART, page=("oncall",), notify=("quiet",))
    return replace(base, **more)  # type: ignore[arg-type]


@virtually
async def test_one_missed_beat_and_nothing_happens() -> None:
    async with World(service()).alive(15) as world:
        world.down.add("api")
        await world.live(6)  # the run at second 20 misses
        world.down.clear()
        await world.live(60)
        assert world.remediators["api"].orders == []
        assert world.channels["oncall"].sent == []
        assert world.state("api").incident is None


def test_two_missed_beats_a_restart_that_heals_and_a_quiet_note() -> None:
    async def night() -> None:
        world = World(service())
        world.remediators["api"].effect = lambda _: world.down.clear()
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(60)
        assert len(world.remediators["api"].orders) == 1
        assert world.channels["oncall"].sent == []
        assert [notice.kind for notice in world.channels["quiet"].sent] == [NoticeKind.NOTE]
        assert world.state("api").health == "up"
        await world.die()

    in_virtual_time(night())


@virtually
async def test_a_service_that_stays_broken_uses_its_budget_is_paged_and_closed_once() -> None:
    async with World(service()).alive(15) as world:
        world.down.add("api")
        await world.live(120)
        oncall = world.channels["oncall"]
        assert len(world.remediators["api"].orders) == 2
        assert len(oncall.keys(NoticeKind.OPENED)) == 1
        world.down.clear()
        await world.live(60)
        assert len(oncall.keys(NoticeKind.RESOLVED)) == 1
        world.down.clear()
        await world.live(600)
        assert len(oncall.sent) == 2


@virtually
async def test_the_second_miss_comes_two_seconds_after_the_first() -> None:
    async with World(service(restart=None)).alive(15) as world:
        world.down.add("api")
        await world.live(7.2)
        assert len(world.channels["oncall"].sent) == 1


def test_the_database_dies_and_its_six_dependants_go_red_but_only_the_database_is_restarted_and_paged() -> None:
    async def night() -> None:
        apps = [service(f"app-{number}", depends_on=("db",)) for number in range(6)]
        world = World(service("db"), *apps)
        await world.boot()
        await world.live(15)
        world.down |= {"db", *(app.service for app in apps)}
        await world.live(120)
        assert {name for name, fake in world.remediators.items() if fake.orders} == {"db"}
        assert {notice.service for notice in world.channels["oncall"].sent} == {"db"}
        assert world.channels["oncall"].sent[0].facts["Needed by"] == ", ".join(app.service for app in apps)
        world.down.clear()
        await world.live(60)
        assert all(world.state(app.service).incident is None for app in apps)
        assert {notice.service for notice in world.channels["oncall"].sent} == {"db"}
        await world.die()

    in_virtual_time(night())


@virtually
async def test_a_dependant_that_stays_red_after_the_database_is_back_is_dealt_with_itself() -> None:
    async with World(service("db", restart=None), service("app", depends_on=("db",))).alive(15) as world:
        world.down |= {"db", "app"}
        await world.live(60)
        assert world.remediators["app"].orders == []
        world.down = {"app"}
        await world.live(30)
        assert len(world.remediators["app"].orders) >= 1


def test_slack_refuses_for_good_and_the_fallback_is_asked_within_seconds() -> None:
    async def night() -> None:
        world = World(service(restart=None, fallback={"oncall": ("hook",)}))
        world.channels["oncall"].broken = DeliveryError("auth", "invalid_auth", retryable=False)
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(10)
        assert "oncall" in world.channels["hook"].sent[0].note
        assert world.vitals.dead_letters == 1
        world.down.clear()
        await world.live(60)
        assert len(world.channels["hook"].keys(NoticeKind.RESOLVED)) == 1
        await world.die()

    in_virtual_time(night())


def test_slack_is_down_across_the_recovery_and_says_only_that_it_was() -> None:
    """Hole 1 of the first draft: "opened" was delivered for a healthy service and "resolved" never."""

    async def night() -> None:
        world = World(service(restart=None))
        oncall = world.channels["oncall"]
        oncall.broken = DeliveryError("server", "503", retryable=True)
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(30)
        world.down.clear()
        await world.live(60)
        oncall.broken = None
        await world.live(600)
        assert [notice.kind for notice in oncall.sent] == [NoticeKind.RESOLVED]
        assert "never arrived" in oncall.sent[0].note
        await world.die()

    in_virtual_time(night())


def test_killed_between_doing_a_restart_and_noting_it_the_agent_does_not_do_it_again() -> None:
    """Hole 2 of the first draft: the restart ran twice."""

    async def night() -> None:
        world = World(service(restart=replace(RESTART, at_most=1)))
        world.remediators["api"].takes = 5
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(9)
        assert len(world.remediators["api"].orders) == 1
        await world.die()
        await world.boot()
        await world.live(120)
        assert len(world.remediators["api"].orders) == 1
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
        await world.die()

    in_virtual_time(night())


def test_a_permanent_delivery_error_reaches_the_core() -> None:
    """Hole 3 of the first draft: the core believed that it had paged."""

    async def night() -> None:
        world = World(service(restart=None))
        world.channels["oncall"].broken = DeliveryError("auth", retryable=False)
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(10)
        incident = world.state("api").incident
        assert incident is not None
        assert incident.asked[0].failed == "auth"
        await world.die()

    in_virtual_time(night())


def test_page_kill_recover_while_dead_boot_and_exactly_one_closing_message() -> None:
    async def night() -> None:
        world = World(service(restart=None))
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(20)
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
        await world.die()
        world.down.clear()
        await world.boot()
        await world.live(60)
        await world.die()
        await world.boot()
        await world.live(60)
        assert len(world.channels["oncall"].keys(NoticeKind.RESOLVED)) == 1
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
        await world.die()

    in_virtual_time(night())


@virtually
async def test_unknown_for_an_hour_restarts_nothing_and_pages_once() -> None:
    async with World(service()).alive(15) as world:
        world.verdict["api"] = Verdict.UNKNOWN
        await world.live(3600)
        assert world.remediators["api"].orders == []
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1


@virtually
async def test_five_hundred_services_fail_in_the_same_second_and_each_is_decided_on_within_two() -> None:
    async with World(*(service(f"s{number}", restart=None) for number in range(500))).alive(15) as world:
        world.down |= set(world.policies)
        await world.live(9.5)
        assert all(world.state(name).incident is not None for name in world.policies)
        await world.live(60)
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 500


@virtually
async def test_ten_replicas_die_at_once_one_canary_is_restarted_and_its_result_decides_for_the_rest() -> None:
    async with World(
        *(service(f"web-{number}", group="web", restart=replace(RESTART, at_most=1)) for number in range(10))
    ).alive(15) as world:
        world.down |= set(world.policies)
        await world.live(120)
        restarted = [name for name, fake in world.remediators.items() if fake.orders]
        assert len(restarted) == 1
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 10
        assert restarted[0] in str([notice.note for notice in world.channels["oncall"].sent])


def test_ten_replicas_die_at_once_and_restarts_help_so_they_are_restarted_one_after_the_other() -> None:
    async def night() -> None:
        world = World(*(service(f"web-{number}", group="web") for number in range(10)))
        under_way, most = 0, 0

        for name, fake in world.remediators.items():
            fake.effect = lambda _, name=name: world.down.discard(name)  # type: ignore[misc]
        await world.boot()
        await world.live(15)
        world.down |= set(world.policies)
        for _ in range(900):
            await world.live(0.2)
            stages = [world.state(name).incident for name in world.policies]
            under_way = sum(
                incident is not None and incident.stage in ("restarting", "verifying") for incident in stages
            )
            most = max(most, under_way)
        assert most == 1
        assert all(len(fake.orders) == 1 for fake in world.remediators.values())
        assert world.channels["oncall"].sent == []
        await world.die()

    in_virtual_time(night())


@virtually
async def test_a_host_that_is_full_pages_and_restarts_nothing() -> None:
    async with World(service()).alive() as world:
        world.engine.contexts.host_trouble = lambda: "out of disk: / is 99.9 % full"
        await world.live(15)
        world.down.add("api")
        await world.live(30)
        assert world.remediators["api"].orders == []
        assert "99.9 %" in world.channels["oncall"].sent[0].note


def test_a_service_that_needs_ninety_seconds_to_start_is_given_them() -> None:
    async def night() -> None:
        world = World(service(restart=replace(RESTART, verify=timedelta(seconds=120))))

        def mend(_: object) -> None:
            asyncio.get_running_loop().call_later(90, world.down.clear)

        world.remediators["api"].effect = mend
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(200)
        assert len(world.remediators["api"].orders) == 1
        assert world.channels["oncall"].sent == []
        await world.die()

    in_virtual_time(night())


def test_a_host_rebooted_in_the_middle_of_a_budget_goes_on_counting() -> None:
    async def night() -> None:
        world = World(service(restart=replace(RESTART, at_most=2, backoff=timedelta(seconds=1))))
        await world.boot()
        await world.live(15)
        world.down.add("api")
        await world.live(12)
        assert len(world.remediators["api"].orders) == 1
        await world.die()
        await asyncio.sleep(120)  # the machine comes up again
        await world.boot()
        await world.live(300)
        assert len(world.remediators["api"].orders) == 2
        assert len(world.channels["oncall"].keys(NoticeKind.OPENED)) == 1
        await world.die()

    in_virtual_time(night())
