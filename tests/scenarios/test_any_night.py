"""Any night at all: random faults, kills at random moments, and what must be true in the morning."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.commands import Notice, NoticeKind, Outcome
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.ports import DeliveryError
from tests.virtual_time import in_virtual_time
from tests.world import World

BUDGET = RestartPolicy(
    action="process", at_most=3, per=timedelta(minutes=20), backoff=timedelta(seconds=5), verify=timedelta(seconds=15)
)
DB = Policy(service="db", checks={"tcp": CheckPolicy()}, restart=BUDGET, page=("oncall",), notify=("quiet",))
APP = replace(
    DB,
    service="app",
    depends_on=("db",),
    page=("oncall", "ops"),
    fallback={"oncall": ("hook",)},
    remind=timedelta(minutes=5),
)
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["down db", "up db", "down app", "up app", "slack gone", "slack back", "auth", "kill", "heal", "fail"]
        ),
        st.floats(0.01, 90, allow_nan=False),
    ),
    max_size=25,
)


async def _apply(world: World, fault: str) -> None:
    oncall = world.channels["oncall"]
    match fault.split():
        case ["down", name]:
            world.down.add(name)
        case ["up", name]:
            world.down.discard(name)
        case ["slack", "gone"]:
            oncall.broken = DeliveryError("server", retryable=True)
        case ["slack", "back"]:
            oncall.broken = None
        case ["auth"]:
            oncall.errors.append(DeliveryError("auth", retryable=False))
        case ["kill"]:
            await world.die()
            await world.boot()
        case ["heal"]:
            for name, remediator in world.remediators.items():
                remediator.outcome = Outcome.DONE
                remediator.effect = lambda _, name=name: world.down.discard(name)  # type: ignore[misc]
        case ["fail"]:
            for remediator in world.remediators.values():
                remediator.outcome = Outcome.FAILED
                remediator.effect = lambda _: None


async def _lived(faults: list[tuple[str, float]]) -> World:
    world = World(DB, APP)
    await world.boot()
    for fault, seconds in faults:
        await _apply(world, fault)
        await world.live(seconds)
    world.down.clear()
    for channel in world.channels.values():
        channel.broken = None
        channel.errors.clear()
    await world.live(600)
    dead = [letter.command for letter in await world.store.dead_letters()]
    owed = [command.key for command in dead if isinstance(command, Notice) and command.kind is NoticeKind.RESOLVED]
    await world.store.replay(owed, world.clock.now())
    await world.outbox.replayed(owed)  # what a person does in the morning with `dead-letters replay`
    await world.live(60)
    return world


@settings(max_examples=300, deadline=None)
@given(FAULTS)
def test_in_the_morning_all_is_closed_once_and_nothing_was_done_twice(faults: list[tuple[str, float]]) -> None:
    async def night() -> None:
        world = await _lived(faults)
        for name in world.policies:
            assert world.state(name).incident is None
        for remediator in world.remediators.values():
            keys = Counter(order.key for order in remediator.orders)
            assert set(keys.values()) <= {1}, "a restart was repeated"
            times = [order.at for order in remediator.orders]
            for moment in times:
                assert sum(moment <= other < moment + BUDGET.per for other in times) <= BUDGET.at_most
        for channel in world.channels.values():
            opened = Counter(notice.incident for notice in channel.sent if notice.kind is NoticeKind.OPENED)
            closed = {
                n.incident: {m.key for m in channel.sent if m.incident == n.incident and m.kind is n.kind}
                for n in channel.sent
                if n.kind is NoticeKind.RESOLVED
            }
            assert set(opened) <= set(closed), "a page was never closed"
            assert all(len(keys) == 1 for keys in closed.values()), "a page was closed under two keys"
            sent = Counter(notice.key for notice in channel.sent)
            kills = sum(fault == "kill" for fault, _ in faults)
            assert max(sent.values(), default=0) <= 1 + kills
        assert world.outbox.lanes.waiting() == 0
        await world.die()

    in_virtual_time(night())
