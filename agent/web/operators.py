"""What people tell a running agent: that a restart is approved, and that a service is being deployed."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.core.durations import parse_duration
from agent.core.events import Approved, Deployed
from agent.operations import Operations, Refused
from agent.ports import ServiceRow
from agent.web.answers import json_answer
from agent.web.asked import refusal
from agent.web.bodies import json_body
from agent.web.deps import WebDeps

LONGEST = timedelta(hours=24)  # a deployment that takes longer is told again


class OperatorApi:
    """POST /api/approve {"key" or "service", "by"}, /api/deployed {"service", "for", "by"}, /api/restart {"service",
    "by"} and /api/ack {"service", "for", "by"}. They only hand the core an input: whether it still counts is decided
    there, and stands in the timeline."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [
            Route("/api/approve", self.approve, methods=["POST"]),
            Route("/api/deployed", self.deployed, methods=["POST"]),
            Route("/api/restart", self.restart, methods=["POST"]),
            Route("/api/ack", self.acknowledge, methods=["POST"]),
        ]

    async def approve(self, request: Request) -> Response:
        asked = _fields(await json_body(request))
        wanted = asked.get("key") or asked.get("service") or ""
        row = next((row for row in self._deps.table.values() if wanted in (row.name, _question(row))), None)
        key = _question(row) if row is not None else ""
        if row is None or not key or wanted not in (row.name, key):
            raise HTTPException(409, f"nothing waits for an approval of {wanted!r}: it was answered, expired, or ended")
        self._deps.tell(row.name, Approved(at=self._deps.now(), key=key, by=asked.get("by") or "somebody"))
        return json_answer({"approved": key, "service": row.name})

    async def deployed(self, request: Request) -> Response:
        asked = _fields(await json_body(request))
        service = asked.get("service") or ""
        if service not in self._deps.table:
            raise HTTPException(404, f"there is no service {service!r}")
        try:
            span = parse_duration(asked.get("for") or "2m")
        except ValueError as error:
            raise HTTPException(400, f"for: {error}") from error
        if span > LONGEST:
            raise HTTPException(400, "for: expected at most 24h")
        now = self._deps.now()
        self._deps.tell(service, Deployed(at=now, until=now + span, by=asked.get("by") or ""))
        return json_answer({"service": service, "until": now + span})

    async def restart(self, request: Request) -> Response:
        asked = _fields(await json_body(request))
        return await _said(self._operations().restart(asked.get("service") or "", asked.get("by") or "somebody"))

    async def acknowledge(self, request: Request) -> Response:
        asked = _fields(await json_body(request))
        try:
            span = parse_duration(asked["for"]) if asked.get("for") else None
        except ValueError as error:
            raise HTTPException(400, f"for: {error}") from error
        service, by = asked.get("service") or "", asked.get("by") or "somebody"
        return await _said(self._operations().acknowledge(service, by, span=span))

    def _operations(self) -> Operations:
        if self._deps.operations is None:
            raise HTTPException(503, "this agent takes no orders")
        return self._deps.operations


async def _said(doing: Awaitable[str]) -> Response:
    try:
        return json_answer({"said": await doing})
    except Refused as refused:
        raise refusal(refused) from refused


def _question(row: ServiceRow) -> str:
    incident = row.state.incident
    return incident.approval.key if incident is not None and incident.approval is not None else ""


def _fields(asked: Any) -> dict[str, str]:
    if not isinstance(asked, dict) or not all(isinstance(value, str) for value in asked.values()):
        raise HTTPException(400, "expected an object of texts")
    return asked
