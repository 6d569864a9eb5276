"""A channel that refuses messages for good is an incident of its own: told elsewhere, once, closed when it works."""

from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.core.commands import NoticeKind
from agent.core.contact import Contact
from agent.core.policy import Escalation, EscalationStep, Policy
from agent.pagers import Pagers
from agent.ports import DeliveryError, Vitals
from agent.runtime.channel_alarms import ChannelAlarms
from agent.runtime.recorder import Recorder
from agent.runtime.signals import Signals
from tests.core.story import START, policy
from tests.virtual_time import in_virtual_time
from tests.world import FakeChannel, World

OPENED, REMINDER, RESOLVED = NoticeKind.OPENED, NoticeKind.REMINDER, NoticeKind.RESOLVED
REVOKED = DeliveryError("auth", "token_revoked", retryable=False)
ARCHIVED = DeliveryError("archived", "is_archived", retryable=False)
UNKNOWN = DeliveryError("not_found", "550 no such user", retryable=False)
FALLBACKS = {"oncall": ("mail",), "mail": ("hook",)}


class Told(World):
    """A world in which channels break: "oncall" falls back to "mail", and that to "hook"."""

    def __init__(self, **more: Any) -> None:
        super().__init__(policy(service="web", fallback=FALLBACKS, restart=None, notify=(), **more))

    async def boot(self) -> None:
        await super().boot()
        self.rows: dict[str, Any] = {}
        self.signals = Signals(self.engine, self.clock, self.rows, Recorder(self.store).record)
        self.alarms = ChannelAlarms(self.signals, self.vitals, self.clock, told_by)
        self.outbox.notices.refused, self.outbox.notices.taken = self.alarms.refused, self.alarms.taken
        self.signals.restore(await self.store.load())

    async def live(self, seconds: float) -> None:
        for _ in range(int(seconds // 30)):
            await super().live(30)
            await self.alarms.look()
        await super().live(seconds % 30)

    def said(self, channel: str) -> list[tuple[str, NoticeKind]]:
        return [(notice.service, notice.kind) for notice in self.channels[channel].sent]


def told_by(channel: str, broken: Collection[str]) -> Policy:
    page = next((name for name in ("mail", "hook") if name not in broken), "")
    return Policy(
        service="",
        page=(page,) if page else (),
        fallback={name: tuple(o for o in others if o not in broken) for name, others in FALLBACKS.items()},
        unknown_after=timedelta(0),
        remind=timedelta(0),
    )


def lived(story: Callable[[Told], Coroutine[Any, Any, None]], **more: Any) -> None:
    async def run() -> None:
        world = Told(**more)
        await world.boot()
        await story(world)
        await world.die()

    in_virtual_time(run())


async def down(world: Told, seconds: float = 60) -> None:
    world.down.add("web")
    await world.live(seconds)


def test_the_page_goes_to_the_fallback_at_once_and_the_channel_is_told_of_once() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = REVOKED
        await down(world)
        assert world.said("mail") == [("web", OPENED), ("channel:oncall", OPENED)]
        page, alarm = world.channels["mail"].sent
        assert (alarm.at - page.at).total_seconds() < 1
        assert "oncall has not got this page: auth" in page.note
        assert "messages are refused: auth: token_revoked" in alarm.summary
        assert world.vitals.channel_trouble == {"oncall": "auth: token_revoked"}
        world.down.clear()
        await world.live(60)
        await down(world)
        assert [service for service, _ in world.said("mail")].count("channel:oncall") == 1

    lived(story)


def test_it_is_closed_once_when_the_channel_takes_a_message_again_and_forgotten_later() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = ARCHIVED
        await down(world)
        assert not world.alarms.verified("oncall"), "a token that works proves nothing about an archived channel"
        world.channels["oncall"].broken = None
        world.down.clear()
        await world.live(60)
        assert world.said("mail")[-1] == ("channel:oncall", RESOLVED)
        assert [kind for service, kind in world.said("mail") if service == "channel:oncall"] == [OPENED, RESOLVED]
        assert world.vitals.channel_trouble == {}
        await world.live(2 * 3600)
        assert "channel:oncall" not in world.engine.table

    lived(story)


def test_credentials_that_work_again_are_enough_where_they_were_the_trouble() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = REVOKED
        await down(world)
        assert world.alarms.verified("oncall")
        await world.live(1)
        assert ("channel:oncall", RESOLVED) in world.said("mail")

    lived(story)


def test_a_configuration_that_is_mended_is_enough() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = ARCHIVED
        await down(world)
        world.alarms.renewed({"oncall"}, {})
        await world.live(1)
        assert ("channel:oncall", RESOLVED) in world.said("mail")

    lived(story)


def test_one_that_is_used_although_its_credentials_do_not_work_is_told_of_at_once() -> None:
    async def story(world: Told) -> None:
        world.alarms.asked({"mail", "hook"}, {"oncall": REVOKED})
        await world.live(1)
        assert world.said("mail") == [("channel:oncall", OPENED)]
        world.alarms.renewed(set(), {"oncall": REVOKED})
        await world.live(1)
        assert world.said("mail") == [("channel:oncall", OPENED)], "its new credentials work no better"

    lived(story)


def test_an_alarm_of_a_channel_that_config_no_longer_names_is_closed_saying_so() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = ARCHIVED
        await down(world)
        await world.alarms.keep({"mail", "hook"})
        await world.live(1)
        assert "config does not name the channel any more" in world.channels["mail"].sent[-1].title

    lived(story)


def test_the_fallback_of_a_fallback_is_asked_where_both_are_broken_and_each_is_told_of() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = REVOKED
        world.channels["mail"].broken = UNKNOWN
        await down(world)
        assert ("web", OPENED) in world.said("hook")
        told_of = [service for service, kind in world.said("hook") if kind is OPENED]
        assert sorted(told_of) == ["channel:mail", "channel:oncall", "web"]

    lived(story)


def test_where_nothing_works_it_is_open_all_the_same_and_does_not_go_round_in_circles() -> None:
    async def story(world: Told) -> None:
        for channel in world.channels.values():
            channel.broken = REVOKED
        await down(world, 600)
        open_ones = {name for name, watched in world.engine.table.items() if watched.row.state.incident}
        assert open_ones == {"web", "channel:oncall", "channel:mail", "channel:hook"}
        assert len(await world.store.dead_letters()) < 10

    lived(story)


def test_it_survives_a_kill_and_is_not_told_twice() -> None:
    async def story(world: Told) -> None:
        world.channels["oncall"].broken = ARCHIVED
        await down(world)
        await world.die()
        await world.boot()
        world.channels["oncall"].broken = None
        world.down.clear()
        await world.live(60)
        assert [kind for service, kind in world.said("mail") if service == "channel:oncall"] == [OPENED, RESOLVED]

    lived(story)


def test_an_address_that_is_unknown_is_told_of_and_the_channel_of_others_is_not() -> None:
    async def story(world: Told) -> None:
        steps = (EscalationStep(notify=("person:alice",), wait=timedelta(minutes=5)),)
        world.engine.contexts.reach = lambda *_: {
            "person:alice": (Contact(channel="mail", to="gone@example.com", person="alice"),)
        }
        await world.engine.unwatch("web")
        world.policies["web"] = replace(
            world.policies["web"], page=(), escalation=Escalation(name="default", steps=steps), fallback={}
        )
        await world.die()
        await world.boot()
        world.engine.contexts.reach = lambda *_: {
            "person:alice": (Contact(channel="mail", to="gone@example.com", person="alice"),)
        }
        world.channels["mail"].errors.append(UNKNOWN)
        await down(world)
        assert world.said("mail")[0] == ("channel:mail:alice", OPENED)
        assert world.vitals.channel_trouble == {}

    lived(story)


@pytest.mark.parametrize("how", ["left out", "delivered"])
def test_a_message_that_was_left_out_on_purpose_proves_nothing(how: str) -> None:
    async def story(world: Told) -> None:
        from agent.ports import Receipt

        world.channels["oncall"].broken = ARCHIVED
        await down(world)
        notice = replace(world.channels["mail"].sent[0], channel="oncall", person="")
        world.alarms.taken(notice, Receipt(data={"left_out": "updates: false"} if how == "left out" else {}))
        await world.live(1)
        assert (("channel:oncall", RESOLVED) in world.said("mail")) is (how == "delivered")

    lived(story)


def test_credentials_are_asked_for_before_they_are_needed() -> None:
    class Spec:
        name = "oncall"

    class Broken(FakeChannel):
        error: DeliveryError | None = None

        async def verify(self) -> None:
            if self.error is not None:
                raise self.error

    async def run() -> None:
        from agent.pagers import Connected

        told: list[tuple[str, str]] = []
        channel = Broken()
        vitals = Vitals(started=START)
        pagers = Pagers(vitals, allow_unverified=True)
        pagers.failed = lambda name, error: told.append((name, error.reason))
        pagers.use({"oncall": Connected(Spec(), channel)})  # type: ignore[arg-type]
        await pagers.prove(["oncall", "unheard of"])
        channel.error = DeliveryError("network", "away", retryable=True)
        await pagers.prove(["oncall"])
        assert told == [], "what can't be asked proves nothing"
        channel.error = REVOKED
        await pagers.prove(["oncall"])
        assert told == [("oncall", "auth")]

    in_virtual_time(run())
