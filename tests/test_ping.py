"""The dead man's switch outwards: what is told to whom, and that its own failure is nobody else's."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from agent.config.model import PingSpec
from agent.ping import Facts, Ping, unwell
from agent.ports import DrillOutcome, DrillReport, Vitals

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSED = DrillReport(
    id="d1", of="web", by="alice", at=NOW - timedelta(days=3), outcome=DrillOutcome.PASSED, seconds=1.5
)
SECRET = "5f2a-secret-uuid"


@dataclass
class Watcher:
    """Somebody outside: notes what he is told."""

    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # method, path, body
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    slow: float = 0.0
    port: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow)
        self.headers = dict(request.headers)
        self.told.append((request.method, request.path_qs, await request.json() if request.can_read_body else {}))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"} if self.status == 302 else {})

    def spec(self, **more: Any) -> PingSpec:
        url = f"http://127.0.0.1:{self.port}/{SECRET}"
        return PingSpec(**{"url": SecretStr(url), "fail_url": SecretStr(f"{url}/fail"), **more})


@asynccontextmanager
async def watching() -> AsyncIterator[Watcher]:
    watcher, app = Watcher(), web.Application()
    app.router.add_route("*", "/{path:.*}", watcher.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    watcher.port = runner.addresses[0][1]
    try:
        yield watcher
    finally:
        await runner.cleanup()


class Agent:
    """The vitals of an agent that has started, and what it counts."""

    def __init__(self, **vitals: Any) -> None:
        self.vitals = Vitals(started=NOW - timedelta(hours=1), ready=True, drills={"web": PASSED})
        for name, value in vitals.items():
            setattr(self.vitals, name, value)
        self.counted: list[tuple[str, str]] = []
        facts = Facts(agent="web-1", services=3, incidents=1, waiting=2)
        count = lambda kind, outcome: self.counted.append((kind, outcome))  # noqa: E731
        self.ping = Ping(self.vitals, lambda: NOW, lambda: facts, count, lambda text: text.replace("s3cret", "***"))

    async def tell(self, spec: PingSpec) -> None:
        self.ping.use(None)
        self.ping.use(spec)
        await self.ping.tick()


async def test_an_agent_that_is_well_says_how_it_is_at_the_address() -> None:
    async with watching() as watcher:
        agent = Agent(loop_lag=0.0041)
        await agent.tell(watcher.spec(headers={"Authorization": SecretStr("Bearer x")}))
        ((method, path, body),) = watcher.told
        assert (method, path) == ("POST", f"/{SECRET}")
        assert body == {
            "status": "ok",
            "reasons": [],
            "degraded": [],
            "agent": "web-1",
            "version": body["version"],
            "at": "2026-03-01T12:00:00+00:00",
            "up_seconds": 3600,
            "oldest_page_seconds": 0.0,
            "scheduler_lateness_seconds": 0.0,
            "loop_lag_seconds": 0.004,
            "store": "ok",
            "dead_letters": 0,
            "messages_waiting": 2,
            "open_incidents": 1,
            "services": 3,
            "drills": [{"of": "web", "outcome": "passed", "age_seconds": 259200, "took_seconds": 1.5}],
        }
        assert watcher.headers["Authorization"] == "Bearer x"
        assert (agent.counted, agent.vitals.ping_at, agent.vitals.ping_trouble) == ([("success", "ok")], NOW, "")


UNWELL = {
    "a page that is overdue": {"oldest_page": 61.0},
    "checks that are late": {"scheduler_stalled": 12.0},
    "a store that is away": {"store_trouble": "disk full: s3cret"},
    "a drill that failed": {"drills": {"web": replace(PASSED, outcome=DrillOutcome.FAILED, why="the drill failed")}},
    "a drill that is too old": {"drills": {"web": replace(PASSED, at=NOW - timedelta(days=9))}},
}


@pytest.mark.parametrize("vitals", UNWELL.values(), ids=UNWELL.keys())
async def test_one_that_is_not_well_says_why_at_the_other_address(vitals: dict[str, Any]) -> None:
    async with watching() as watcher:
        agent = Agent(**vitals)
        await agent.tell(watcher.spec(drill_within=timedelta(days=8)))
        ((_, path, body),) = watcher.told
        assert path == f"/{SECRET}/fail"
        assert (body["status"], len(body["reasons"])) == ("fail", 1)
        assert "s3cret" not in json.dumps(body)
        assert (agent.counted, agent.vitals.ping_at) == ([("fail", "ok")], None)


async def test_without_another_address_it_says_nothing_then() -> None:
    async with watching() as watcher:
        agent = Agent(oldest_page=61.0)
        await agent.tell(watcher.spec(fail_url=None))
        assert (watcher.told, agent.counted) == ([], [("withheld", "ok")])


async def test_get_carries_nothing() -> None:
    async with watching() as watcher:
        await Agent().tell(watcher.spec(method="GET"))
        assert watcher.told == [("GET", f"/{SECRET}", {})]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        pytest.param({"status": 500}, "answered 500", id="an error"),
        pytest.param({"status": 404}, "answered 404", id="a check that is not there"),
        pytest.param({"status": 302}, "answered 302: redirects are not followed", id="a redirect"),
        pytest.param({"slow": 5.0}, "did not answer within 0.3 s", id="no answer in time"),
    ],
)
async def test_a_ping_that_is_not_taken_is_counted_and_named_without_the_address(
    trouble: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching() as watcher:
        for name, value in trouble.items():
            setattr(watcher, name, value)
        agent = Agent()
        caplog.set_level(logging.DEBUG)
        await agent.tell(watcher.spec(timeout=0.3))
        assert agent.vitals.ping_trouble == f"127.0.0.1 {said}"
        assert (agent.counted, agent.vitals.ping_at) == ([("success", "failed")], None)
        assert SECRET not in caplog.text
        assert not any(path.endswith("elsewhere") for _, path, _ in watcher.told)


async def test_trouble_is_over_with_the_first_ping_that_is_taken() -> None:
    async with watching() as watcher:
        agent, watcher.status = Agent(), 503
        agent.ping.use(watcher.spec(every=timedelta(milliseconds=1)))
        await agent.ping.tick()
        assert agent.vitals.ping_trouble
        watcher.status = 200
        await asyncio.sleep(0.01)
        await agent.ping.tick()
        assert (agent.vitals.ping_trouble, agent.vitals.ping_at) == ("", NOW)


async def test_nobody_is_told_more_often_than_asked_for_nor_before_the_start() -> None:
    async with watching() as watcher:
        agent = Agent(ready=False)
        await agent.tell(watcher.spec())
        agent.vitals.ready = True
        await agent.ping.tick()
        await agent.ping.tick()
        assert len(watcher.told) == 1


def test_without_any_drill_the_time_counts_from_the_start() -> None:
    vitals = Vitals(started=NOW - timedelta(days=9), ready=True)
    assert unwell(vitals, None, NOW) == ()
    assert unwell(vitals, timedelta(days=10), NOW) == ()
    (why,) = unwell(vitals, timedelta(days=8), NOW)
    assert why == "no fire drill has passed since the start, 9 d ago"
