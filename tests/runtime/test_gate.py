"""Is it me? What the agent doubts before it believes that a target is bad."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.result import CheckResult, Verdict
from agent.ports import Vitals
from agent.runtime.clock import Clock
from agent.runtime.gate import Gate, has_route, is_loopback
from agent.runtime.resolver import ThreadResolver
from tests.core.story import START, result
from tests.servers import serve, silent

EVERY = 0.2


class Bench:
    """A gate whose clock the test moves."""

    def __init__(self, *control: str, routed: bool = True) -> None:
        self.wall, self.mono = START.timestamp(), 1000.0
        self.routed = routed
        self.asked = 0
        self.vitals = Vitals(started=START)
        self.gate = Gate(Clock(lambda: self.wall, lambda: self.mono), self.vitals, control, routes=self._routes)

    def _routes(self) -> bool:
        self.asked += 1
        return self.routed

    def passes(self, seconds: float, *, beats: bool = True) -> None:
        for _ in range(round(seconds / EVERY) if beats else 0):
            self.mono += EVERY
            self.wall += EVERY
            self.gate.beat(EVERY)
        if not beats:
            self.mono += seconds
            self.wall += seconds

    async def doubts(
        self, reason: str = "timeout", target: str = "192.0.2.1", *, local: bool = False, ago: float = 3
    ) -> str:
        return await self.gate.doubts(fail(reason, target), self.mono - ago, local=local)


def fail(reason: str, target: str) -> CheckResult:
    return replace(result(Verdict.FAIL, 0), reason=reason, target=target)


class TestOwnLag:
    @pytest.mark.parametrize("reason", ["timeout", "latency", "overdue"])
    async def test_what_takes_too_long_while_this_agent_hangs_says_nothing(self, reason: str) -> None:
        bench = Bench()
        bench.passes(1)
        bench.passes(2, beats=False)
        bench.gate.beat(EVERY)
        assert "late itself" in await bench.doubts(reason)

    async def test_a_hang_counts_also_before_the_loop_has_noted_it(self) -> None:
        """The timeout and the pulse come in the same round of the loop, in any order; and a small lag came before."""
        bench = Bench()
        bench.passes(0.3, beats=False)
        bench.gate.beat(EVERY)
        bench.passes(5, beats=False)
        assert "late itself" in await bench.doubts("timeout", ago=5.2)

    async def test_a_lag_before_the_check_began_is_no_excuse(self) -> None:
        bench = Bench()
        bench.passes(5, beats=False)
        bench.gate.beat(EVERY)
        bench.passes(10)
        assert await bench.doubts("timeout", ago=3) == ""

    async def test_a_refusal_is_believed_however_late_it_is_read(self) -> None:
        bench = Bench()
        bench.passes(5, beats=False)
        bench.gate.beat(EVERY)
        assert await bench.doubts("refused", "127.0.0.1") == ""

    async def test_small_lags_are_no_doubt(self) -> None:
        bench = Bench()
        for _ in range(10):
            bench.passes(0.4, beats=False)
            bench.gate.beat(EVERY)
        assert await bench.doubts("timeout") == ""

    async def test_memory_of_lags_is_bounded(self) -> None:
        bench = Bench()
        for _ in range(5000):
            bench.passes(1, beats=False)
            bench.gate.beat(EVERY)
        assert len(bench.gate._lags) <= 600


class TestTheClock:
    @pytest.mark.parametrize("step", [-3600, 3600])
    async def test_a_step_during_the_check_makes_every_failure_doubtful(self, step: int) -> None:
        bench = Bench()
        bench.wall += step
        assert "clock" in await bench.doubts("status", "127.0.0.1", local=True)
        assert bench.asked == 0

    async def test_a_step_that_was_dealt_with_before_the_check_is_none(self) -> None:
        bench = Bench()
        bench.wall += 3600
        bench.gate._clock.step()
        bench.passes(10)
        assert await bench.doubts("status", ago=3) == ""


class TestTheNetwork:
    @pytest.mark.parametrize("reason", ["refused", "timeout", "dns", "unreachable", "reset", "tls"])
    async def test_without_a_route_nothing_remote_is_blamed(self, reason: str) -> None:
        bench = Bench(routed=False)
        assert "no network route" in await bench.doubts(reason)
        assert bench.gate.blind

    @pytest.mark.parametrize(
        ("reason", "target", "local"),
        [
            pytest.param("refused", "127.0.0.1", False, id="loopback"),
            pytest.param("refused", "127.4.5.6", False, id="all of 127"),
            pytest.param("refused", "::1", False, id="loopback, IPv6"),
            pytest.param("timeout", "localhost", False, id="localhost"),
            pytest.param("timeout", "", False, id="no target"),
            pytest.param("timeout", "192.0.2.1", True, id="a local check"),
            pytest.param("status", "192.0.2.1", False, id="it answered, and badly"),
        ],
    )
    async def test_what_needs_no_network_is_believed_without_one(self, reason: str, target: str, local: bool) -> None:
        bench = Bench(routed=False)
        assert await bench.doubts(reason, target, local=local) == ""
        assert bench.asked == 0

    async def test_a_control_target_that_answers_makes_the_failure_the_targets_own(self) -> None:
        async with listening() as up:
            bench = Bench(up)
            assert await bench.doubts("refused") == ""

    async def test_one_of_several_is_enough(self) -> None:
        async with listening() as up:
            bench = Bench(await closed_port(), up, "not an address")
            assert await bench.doubts("refused") == ""

    async def test_when_none_answers_the_agent_is_blind_and_says_whom_it_asked(self) -> None:
        dead = await closed_port()
        bench = Bench(dead)
        assert dead in await bench.doubts("refused")
        assert bench.vitals.blind == bench.gate.blind != ""

    async def test_a_control_target_by_name_is_looked_up_in_threads_that_nobody_else_needs(self) -> None:
        """While DNS hangs this is asked every second: the threads that all share would be used up in no time."""
        hanging = threading.Event()

        def look_up(host: str, _family: int) -> tuple[str, ...]:
            assert host == "gateway.test"
            hanging.wait(30)
            return ()

        def shared() -> set[str]:
            return {one.name for one in threading.enumerate() if one.name.startswith("asyncio_")}

        bench, before = Bench("gateway.test:53"), shared()
        bench.gate._resolver = ThreadResolver(look_up)
        try:
            for _ in range(2):
                bench.passes(5)
                assert "none of its control targets (gateway.test:53)" in await bench.doubts("timeout")
            assert shared() <= before
        finally:
            hanging.set()

    async def test_any_address_of_a_control_targets_name_will_do(self) -> None:
        async with serve(silent) as port:
            bench = Bench(f"gateway.test:{port}")
            bench.gate._resolver = ThreadResolver(lambda *_: ("127.0.0.2", "127.0.0.1"))
            assert await bench.doubts("timeout") == ""

    async def test_missing_heartbeats_are_doubted_only_where_control_targets_are_named(self) -> None:
        assert await Bench(routed=False).doubts("overdue", "", local=True) == ""
        dead = await closed_port()
        assert dead in await Bench(dead).doubts("overdue", "", local=True)

    async def test_an_opinion_is_shared_by_all_that_ask_within_a_second(self) -> None:
        async with counting() as (up, connections):
            bench = Bench(up)
            assert set(await asyncio.gather(*(bench.doubts("refused") for _ in range(500)))) == {""}
            assert await bench.doubts("refused") == ""
            assert bench.asked == 1
            bench.passes(2)
            assert await bench.doubts("refused") == ""
            assert bench.asked == 2
            await asyncio.sleep(0.05)
            assert len(connections) == 2

    async def test_one_asker_that_goes_away_does_not_take_the_opinion_with_it(self) -> None:
        async with listening() as up:
            bench = Bench(up)
            first = asyncio.create_task(bench.doubts("refused"))
            second = asyncio.create_task(bench.doubts("refused"))
            await asyncio.sleep(0)
            first.cancel()
            assert await second == ""

    async def test_sight_returns_when_it_is_looked_for(self) -> None:
        bench = Bench(routed=False)
        await bench.doubts("refused")
        bench.routed = True
        await bench.gate.look_again()
        assert bench.gate.blind, "an opinion holds for a second"
        bench.passes(1.2)
        await bench.gate.look_again()
        assert bench.gate.blind == ""
        asked = bench.asked
        bench.passes(5)
        await bench.gate.look_again()
        assert bench.asked == asked, "who sees does not look"


class TestRoutes:
    def test_the_kernels_tables_are_read(self, tmp_path: Path) -> None:
        head = "Iface\tDestination\tGateway\tFlags\n"
        up, down, lo = "eth0\t00000000\t0100\t0003\n", "eth0\t00000000\t0100\t0000\n", "lo\t0000007F\t00\t0001\n"
        none6 = "0" * 32 + " 00 " + "0" * 32 + " 00 " + "0" * 32 + " ffffffff 00000001 00000000 00200200 lo\n"
        some6 = none6.replace("00200200 lo", "00000001 eth0")
        table, table6 = tmp_path / "route", tmp_path / "ipv6_route"
        for text, text6, expected in [
            (head + up, none6, True),
            (head + down + lo, none6, False),
            (head, some6, True),
            (head, "", False),
        ]:
            table.write_text(text)
            table6.write_text(text6)
            assert has_route(table, table6) is expected

    def test_a_table_that_cannot_be_read_says_nothing(self, tmp_path: Path) -> None:
        assert has_route(tmp_path / "none", tmp_path / "none6")

    @pytest.mark.parametrize(
        ("target", "local"),
        [("127.0.0.1", True), ("::1", True), ("localhost", True), ("", True), ("10.0.0.1", False), ("db", False)],
    )
    def test_loopback_is_this_host(self, target: str, local: bool) -> None:
        assert is_loopback(target) is local


@asynccontextmanager
async def counting() -> AsyncIterator[tuple[str, list[None]]]:
    connections: list[None] = []

    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connections


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    async with counting() as (address, _):
        yield address


async def closed_port() -> str:
    async with listening() as address:
        pass
    return address
