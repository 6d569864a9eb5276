"""What a restart may ask of the agent while it is under way."""

from agent.core.policy import CheckPolicy, Policy
from agent.core.result import Verdict
from tests.virtual_time import in_virtual_time
from tests.world import World


def test_a_check_is_run_now_and_its_result_is_decided_on_like_every_other() -> None:
    async def story() -> None:
        world = World(Policy(service="api", checks={"http": CheckPolicy()}))
        await world.boot()
        await world.live(15)
        world.down.add("api")
        reach = world.reach
        assert await reach.verdict("api", "http") is Verdict.FAIL
        await world.engine.quiesce()
        assert world.state("api").checks["http"].misses == 1
        assert await reach.verdict("api", "nothing") is Verdict.UNKNOWN
        assert await reach.verdict("nobody", "http") is Verdict.UNKNOWN
        await world.die()

    in_virtual_time(story())


def test_a_run_that_is_under_way_is_waited_for_and_another_begun() -> None:
    async def story() -> None:
        world = World(Policy(service="api", checks={"http": CheckPolicy()}))
        await world.boot()
        await world.live(15)
        probe = world.engine.table["api"].probes["http"]
        world.prober.start(probe)
        assert probe.running
        world.down.add("api")  # the run under way began before it, and passes
        assert await world.reach.verdict("api", "http") is Verdict.FAIL
        await world.die()

    in_virtual_time(story())
