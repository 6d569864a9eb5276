"""A small world to serve: services in every state, the real book of beats, the real store in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.core.commands import Outcome
from agent.core.events import Input
from agent.core.policy import CheckPolicy, Policy, RestartPolicy
from agent.core.result import Verdict
from agent.core.state import Asked, CheckState, Health, Incident, ServiceState, Stage, Tried
from agent.operations import Refused
from agent.operator import Operator
from agent.ports import CheckRow, ServiceRow, Vitals
from agent.runtime.beats import Beats
from agent.stores.memory import MemoryStore
from agent.telemetry.metrics import Metrics
from agent.web.api import WebDeps, create_app
from agent.web.server import Server

NOW = datetime(2026, 11, 21, 3, 7, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def a_check(name: str = "http", verdict: Verdict | None = Verdict.PASS, summary: str = "", **more: Any) -> CheckRow:
    row = CheckRow(
        service="", check=name, type=name, verdict=verdict, summary=summary, at=ago(4).timestamp(), took=0.0123
    )
    for key, value in more.items():
        setattr(row, key, value)
    return row


def a_service(name: str, health: Health = Health.UP, *checks: CheckRow, **state: Any) -> ServiceRow:
    for check in checks:
        check.service = name
    known = replace(ServiceState(service=name, health=health, since=ago(4000)), **state)
    return ServiceRow(name=name, state=known, checks={check.check: check for check in checks})


def an_incident(service: str = "photos-api", **more: Any) -> Incident:
    known: dict[str, Any] = {
        "summary": "connection refused by 10.1.2.3:8080",
        "tried": (Tried(key="k1", at=ago(70), action="systemd", outcome=Outcome.DONE),),
        "asked": (Asked(channel="oncall", key="k2", at=ago(30), delivered=True),),
        "evidence": {"last log lines": "ERROR pool exhausted\n<script>alert(1)</script>"},
        "trace_id": "ab" * 16,
    }
    return Incident(
        id="i1",
        service=service,
        opened_at=ago(75),
        first_miss_at=ago(85),
        check="http",
        reason="refused",
        stage=Stage.PAGED,
        failing=("http",),
        **{**known, **more},
    )


def some_services() -> list[ServiceRow]:
    refused = a_check("http", Verdict.FAIL, "connection refused by 10.1.2.3:8080", misses=9, phases={"connect": 0.001})
    down = a_service(
        "photos-api",
        Health.DOWN,
        refused,
        a_check("disk", Verdict.WARN, "81 % used"),
        incident=an_incident(),
        since=ago(85),
        restarts=(ago(70),),
        checks={"http": CheckState(verdict=Verdict.FAIL, down=True, since=ago(85))},
    )
    down.depends_on = ("photos-db",)
    return [
        a_service("photos-db", Health.UP, a_check("tcp")),
        down,
        a_service(
            "mail",
            Health.DEGRADED,
            a_check("queue", Verdict.WARN, "212 messages wait, 100 are the limit"),
            since=ago(900),
        ),
        a_service(
            "shop", Health.SUSPECT, a_check("http", Verdict.FAIL, "status 503, expected 200", misses=1), since=ago(3)
        ),
        a_service(
            "edge", Health.UNKNOWN, a_check("dns", Verdict.UNKNOWN, "our own resolver does not answer"), since=ago(50)
        ),
        a_service("new", Health.PENDING, a_check("http", None), since=None),
        *(a_service(f"worker-{number}", Health.UP, a_check("heartbeat")) for number in range(3)),
    ]


@dataclass
class Site:
    """What is served, and what came of it."""

    services: list[ServiceRow] = field(default_factory=some_services)
    tokens: tuple[str, ...] = ()
    now: datetime = NOW
    vitals: Vitals = field(default_factory=lambda: Vitals(started=ago(90_000), ready=True))
    beat_tokens: dict[tuple[str, str], str | None] = field(default_factory=lambda: {("worker", "beat"): "s3cret-beat"})
    replayed: list[str] = field(default_factory=list)
    secret: str = ""
    store: Any = field(default_factory=MemoryStore)
    told: list[tuple[str, Input]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.beats = Beats(lambda: self.now)
        self.beats.configure(self.beat_tokens, self.now)
        self.metrics = Metrics({row.name: row for row in self.services}, self.vitals)
        self.policies = {
            "photos-api": Policy(
                service="photos-api",
                checks={"http": CheckPolicy()},
                restart=RestartPolicy(action="systemd"),
                page=("oncall",),
                runbook="https://wiki.internal/photos",
            )
        }

    async def replay(self, keys: Sequence[str]) -> int:
        self.replayed += keys
        return len(keys)

    def deps(self) -> WebDeps:
        return WebDeps(
            agent="web-1",
            version="0.1.0",
            table={row.name: row for row in self.services},
            vitals=self.vitals,
            store=self.store,
            beats=self.beats,
            metrics=self.metrics.render,
            count_beat=self.metrics.count_beat,
            replay=self.replay,
            tell=lambda service, event: self.told.append((service, event)),
            policy=self.policies.get,
            shared_budgets=lambda _: {"host": 7},
            tokens=lambda: self.tokens,
            redact=lambda text: text.replace(self.secret, "***") if self.secret else text,
            now=lambda: self.now,
            operations=self.operator(),
        )

    def operator(self) -> Operator:
        return Operator(
            table={row.name: row for row in self.services},
            policy=self.policies.get,
            tell=lambda service, event: self.told.append((service, event)),
            now=lambda: self.now,
            silences=NoSilences(),
            on_call=lambda: "",
            seen=_nothing_seen,
        )


class NoSilences:
    async def silence(
        self, matchers: str, by: str, *, span: timedelta | None, comment: str = "", incident: str = ""
    ) -> str:
        raise Refused("nothing is silenced here")


async def _nothing_seen(drill: str, by: str) -> str:
    raise Refused("there is no drill here")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Browser:
    """Sends exactly the bytes that a test wants to send, over a real connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        fields = {"Host": f"127.0.0.1:{self.port}", "Connection": "close", **(headers or {})}
        if body:
            fields["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return await self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def send(self, data: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(20):
                return parse_answer(await reader.read())
        finally:
            writer.close()


def parse_answer(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Answer(int(first.split(" ")[1]), headers, body)


def unchunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        whole, data = whole + data[:length], data[length + 2 :]
    return whole


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Browser]:
    server = Server(create_app(site.deps()), "127.0.0.1", 0)
    await server.start()
    try:
        yield Browser(server.port)
    finally:
        await server.stop()
