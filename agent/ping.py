"""The dead man's switch outwards: somebody else is told how this agent is, and pages when it falls silent.

What is told is more than that a process lives: an agent that checks nothing, or whose pages don't get out, says so by
the other address, or says nothing. Whatever becomes of a ping touches no check and no page: it is one request in a
thread of its own, counted, and named on /readyz when it fails.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from agent import __version__
from agent.config.model import PingSpec
from agent.core.budget import in_words
from agent.outgoing import NotSent, request, web_address
from agent.ports import DrillOutcome, Vitals
from agent.threads import Busy, OwnThreads
from agent.web.views import readiness

log = structlog.get_logger()

HANGING = 2  # requests that may be left behind, hanging
SUCCESS, FAIL, WITHHELD = "success", "fail", "withheld"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is told beside the vitals."""

    agent: str
    services: int
    incidents: int  # open now
    waiting: int  # messages that no channel has taken yet


class Ping:
    """Tells the configured address. `facts` are read for each ping, `count` counts it (kind, outcome), and `redact`
    takes secrets out of what is told."""

    def __init__(
        self,
        vitals: Vitals,
        now: Callable[[], datetime],
        facts: Callable[[], Facts],
        count: Callable[[str, str], None],
        redact: Callable[[str], str] = str,
    ) -> None:
        self._vitals = vitals
        self._now = now
        self._facts = facts
        self._count = count
        self._redact = redact
        self._spec: PingSpec | None = None
        self._next = 0.0
        self._threads = OwnThreads("ping", at_most=HANGING)

    def use(self, spec: PingSpec | None) -> None:
        """From now on by this configuration; None: nobody is told."""
        if spec != self._spec:
            self._spec, self._next = spec, 0.0
            self._vitals.ping_trouble, self._vitals.ping_at = "", None

    async def tick(self) -> None:
        """Every second: tell it when it is time. Nothing is told before the agent has started."""
        spec, now = self._spec, asyncio.get_running_loop().time()
        if spec is None or now < self._next or not self._vitals.ready:
            return
        self._next = now + spec.every.total_seconds()
        why = unwell(self._vitals, spec.drill_within, self._now())
        url = spec.fail_url if why else spec.url
        if url is None:
            self._count(WITHHELD, "ok")
            log.warning("ping_withheld", why=why)
            return
        kind = FAIL if why else SUCCESS
        trouble = await self._tell(spec, url.get_secret_value(), why)
        if self._spec is not spec:
            return  # reloaded meanwhile
        if not trouble and not why:
            self._vitals.ping_at = self._now()
        self._count(kind, "failed" if trouble else "ok")
        self._say(trouble)

    async def _tell(self, spec: PingSpec, url: str, why: tuple[str, ...]) -> str:
        """What went wrong with the request, without the address; empty where nothing did."""
        host = web_address(url).hostname or ""
        told = json.dumps(body(self._vitals, self._facts(), why, self._now()), ensure_ascii=False)
        payload = None if spec.method == "GET" else self._redact(told).encode()
        headers = {"User-Agent": f"codeblue/{__version__}", "Content-Type": "application/json"}
        headers |= {name: value.get_secret_value() for name, value in spec.headers.items()}
        send = partial(request, spec.method, url, headers=headers, timeout=spec.timeout, body=payload)
        try:
            status = (await self._threads.run(send, spec.timeout)).status
        except (TimeoutError, Busy):
            return f"{host} did not answer within {spec.timeout:g} s"
        except NotSent as error:
            return f"{host} {error}"
        if 300 <= status < 400:
            return f"{host} answered {status}: redirects are not followed"
        return "" if 200 <= status < 300 else f"{host} answered {status}"

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._vitals.ping_trouble:
            log.warning("ping_failed", error=trouble)
        elif self._vitals.ping_trouble and not trouble:
            log.info("ping_taken_again")
        self._vitals.ping_trouble = trouble


def unwell(vitals: Vitals, drill_within: timedelta | None, now: datetime) -> tuple[str, ...]:
    """Why the agent can't be relied on now; empty when it can: what makes it not ready, a drill that failed, and none
    that passed lately where that is asked for."""
    found = list(readiness(vitals).reasons)
    found += [one.why for one in vitals.drills.values() if one.outcome is DrillOutcome.FAILED]
    if drill_within is not None:
        passed = [one.at for one in vitals.drills.values() if one.outcome is DrillOutcome.PASSED]
        since = max(passed, default=vitals.started)
        if now - since > drill_within:
            what = "the last fire drill that passed was" if passed else "no fire drill has passed since the start,"
            found.append(f"{what} {in_words(now - since)} ago")
    return tuple(found)


def body(vitals: Vitals, facts: Facts, why: tuple[str, ...], now: datetime) -> Mapping[str, Any]:
    """What a ping carries. Ages and lags are in seconds; fields may be added, never removed."""
    drills = [
        {
            "of": one.of,
            "outcome": one.outcome.value,
            "age_seconds": round((now - one.at).total_seconds()),
            "took_seconds": round(one.seconds, 3),
        }
        for one in vitals.drills.values()
    ]
    return {
        "status": FAIL if why else "ok",
        "reasons": why,
        "degraded": readiness(vitals).degraded,
        "agent": facts.agent,
        "version": __version__,
        "at": now.isoformat(timespec="seconds"),
        "up_seconds": round((now - vitals.started).total_seconds()),
        "oldest_page_seconds": round(vitals.oldest_page, 1),
        "scheduler_lateness_seconds": round(max(0.0, vitals.scheduler_stalled), 1),
        "loop_lag_seconds": round(vitals.loop_lag, 3),
        "store": vitals.store_trouble or "ok",
        "dead_letters": vitals.dead_letters,
        "messages_waiting": facts.waiting,
        "open_incidents": facts.incidents,
        "services": facts.services,
        "drills": drills,
    }
