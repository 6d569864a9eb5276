"""What a restart may ask of the agent while it is under way."""

from agent.core.policy import CheckPolicy, Policy
from agent.core.result import Verdict
from tests.virtual_time import virtually
from tests.world import World


@virtually
async def test_a_check_is_run_now_and_its_result_is_decided_on_like_every_other() -> None:
    async with World(Policy(service="api", checks={"http": CheckPolicy()})).alive(15) as world:
        world.down.add("api")
        reach = world.reach
        assert await reach.verdict("api", "http") is Verdict.FAIL
        await world.engine.quiesce()
        assert world.state("api").checks["http"].misses == 1
        assert await reach.verdict("api", "nothing") is Verdict.UNKNOWN
        assert await reach.verdict("nobody", "http") is Verdict.UNKNOWN


@virtually
async def test_a_run_that_is_under_way_is_waited_for_and_another_begun() -> None:
    async with World(Policy(service="api", checks={"http": CheckPolicy()})).alive(15) as world:
        probe = world.engine.table["api"].probes["http"]
        world.prober.start(probe)
        assert probe.running
        world.down.add("api")  # the run under way began before it, and passes
        assert await world.reach.verdict("api", "http") is Verdict.FAIL
