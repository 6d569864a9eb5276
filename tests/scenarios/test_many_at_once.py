"""Hundreds of incidents within a minute: how many messages they are, whether Slack takes them, and how soon."""

import asyncio
from datetime import datetime, timedelta

import pytest

from agent.core.commands import Notice, NoticeKind
from agent.core.events import EventKind
from agent.core.policy import Gather
from agent.core.storm import StormRule
from agent.ports import Receipt
from agent.runtime.storm_pages import NAME
from alerts.slack_blocks import full_message
from tests.crowd import Crowd, many
from tests.slack_limits import TEXT, problems_of, too_long, units
from tests.virtual_time import in_virtual_time
from tests.world import FakeChannel

NO_STORM = StormRule(services=10_000)


class SlowChannel(FakeChannel):
    """Takes as long for a message as Slack does on a slow day, and remembers when it took it."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_at: dict[str, float] = {}

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        await asyncio.sleep(0.4)
        self.taken_at[notice.key] = asyncio.get_running_loop().time()
        return await super().send(notice, opening)


def test_two_hundred_services_down_at_once_are_one_message_that_slack_takes() -> None:
    async def story() -> list[Notice]:
        world = Crowd(*many(200, "a-service-with-a-name-as-long-as-names-may-be-in-this-system-"))
        await world.boot()
        await world.live(15)
        world.down = {*world.policies}
        await world.live(300)
        world.down = {name for name in world.policies if name.endswith("7")}
        await world.live(20)
        world.down = set()
        await world.live(60)
        await world.die()
        return world.channels["oncall"].sent

    sent = in_virtual_time(story())
    assert [notice.service for notice in sent if notice.kind is NoticeKind.OPENED] == [NAME]
    assert {notice.service for notice in sent} == {NAME}
    assert sent[-1].kind is NoticeKind.RESOLVED
    for notice in sent:
        message = full_message(notice)
        assert problems_of(list(message.blocks)) == []
        assert not too_long(list(message.blocks))
        assert units(message.text) <= TEXT


@pytest.mark.parametrize("group", ["one", "four"])
def test_a_thousand_incidents_in_a_minute_are_at_the_channel_within_a_second_of_the_decision(group: str) -> None:
    """Ungrouped, at Slack's one message a second, the last of them would be there after a quarter of an hour."""

    async def story() -> dict[str, float]:
        teams = ["t0"] if group == "one" else ["t0", "t1", "t2", "t3"]
        gather = Gather(by=("team",), wait=timedelta(seconds=30))
        world = Crowd(
            *(
                policy
                for team in teams
                for policy in many(
                    1000 // len(teams), f"{team}-", labels={"team": team}, page=(team,), gather=gather, restart=None
                )
            ),
            rule=NO_STORM,
        )
        channels = {team: SlowChannel() for team in teams}
        world.channels.update(channels)
        await world.boot()
        world.outbox.use({team: (channel, 1.0) for team, channel in channels.items()}, world.remediators)
        loop = asyncio.get_running_loop()
        began: datetime = world.clock.now()
        offset = loop.time()
        await world.live(15)
        names = sorted(world.policies, key=lambda name: name.partition("-")[2])
        for second in range(60):
            world.down |= {*names[second * len(names) // 60 : (second + 1) * len(names) // 60]}
            await world.live(1)
        world.down = {*names}
        await world.live(330)
        decided = {
            event.data["key"]: (event.at - began).total_seconds() + offset
            for event in world.events
            if event.kind in (EventKind.PAGED, EventKind.REMINDED)
        }
        taken = {key: at for channel in channels.values() for key, at in channel.taken_at.items()}
        opened = [event for event in world.events if event.kind is EventKind.OPENED and ":" not in event.service]
        assert len(opened) == 1000
        assert all(key in taken for key in decided)
        await world.die()
        return {key: taken[key] - at for key, at in decided.items()}

    delays = in_virtual_time(story())
    assert len(delays) <= 8  # a page for each group, and one louder update
    assert max(delays.values()) <= 1.0
