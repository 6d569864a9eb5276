"""What is said of services, incidents and the agent: plain data out of the live table, for the API and the pages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.core.budget import in_words
from agent.core.policy import Policy
from agent.core.result import Verdict
from agent.core.state import Health
from agent.ports import CheckRow, DrillOutcome, ServiceRow, Vitals

WORST_FIRST = (Health.DOWN, Health.SUSPECT, Health.UNKNOWN, Health.DEGRADED, Health.PENDING, Health.UP)
_RANK = {health: rank for rank, health in enumerate(WORST_FIRST)}
_VERDICT_RANK = {Verdict.FAIL: 0, Verdict.UNKNOWN: 1, Verdict.WARN: 2, Verdict.PASS: 4, None: 3}
OVERDUE_PAGE = 60.0  # seconds that a page may wait before the agent is not ready any more


def worst_first(rows: Iterable[ServiceRow]) -> list[ServiceRow]:
    """Services by how much they need somebody, then those that are so for longest, then by name."""
    return sorted(rows, key=_urgency)


def _urgency(row: ServiceRow) -> tuple[int, float, str]:
    since = row.state.since
    return _RANK[row.state.health], since.timestamp() if since else 0.0, row.name


def worst_check(row: ServiceRow) -> CheckRow | None:
    """The check that explains the service's health, None where every check passes."""
    worst = min(row.checks.values(), key=lambda check: _VERDICT_RANK[check.verdict], default=None)
    return None if worst is None or worst.verdict is Verdict.PASS else worst


def service_brief(row: ServiceRow) -> dict[str, Any]:
    """One line of a listing."""
    worst, incident = worst_check(row), row.state.incident
    return {
        "name": row.name,
        "health": row.state.health,
        "since": row.state.since,
        "checks": len(row.checks),
        "failing": [check.check for check in row.checks.values() if check.verdict is Verdict.FAIL],
        "summary": f"{worst.check}: {worst.summary}" if worst and worst.summary else "",
        "incident": incident.id if incident else None,
        "stage": incident.stage if incident else None,
        "held_by": incident.held_by if incident else (),
    }


def service_full(row: ServiceRow) -> dict[str, Any]:
    """A service with its checks and its open incident."""
    checks = [check_full(row, check) for check in row.checks.values()]
    return {
        **service_brief(row),
        "checks": checks,
        "depends_on": row.depends_on,
        "restarts": row.state.restarts,
        "incident": row.state.incident,
        "wake_at": row.state.wake_at,
    }


def check_full(row: ServiceRow, check: CheckRow) -> dict[str, Any]:
    state = row.state.checks.get(check.check)
    return {
        "name": check.check,
        "type": check.type,
        "verdict": check.verdict,
        "reason": check.reason,
        "summary": check.summary,
        "at": datetime.fromtimestamp(check.at, UTC) if check.at else None,
        "took": check.took,
        "phases": check.phases,
        "values": check.values,
        "misses": check.misses,
        "down": state.down if state else False,
        "since": state.since if state else None,
        "runs": dict(zip(("pass", "warn", "fail", "unknown"), check.runs, strict=True)),
    }


def limits(row: ServiceRow, policy: Policy | None, shared: Mapping[str, int], now: datetime) -> dict[str, Any]:
    """The thresholds and budgets that a decision about the service stands on, and what is left of them."""
    if policy is None:
        return {"policy": None, "restarts": None}
    restart = policy.restart
    if restart is None:
        return {"policy": policy, "restarts": None}
    spent = [at for at in row.state.restarts if now - at < restart.per]
    left = max(0, restart.at_most - len(spent))
    free_at = min(spent) + restart.per if spent and not left else None
    return {"policy": policy, "restarts": {"spent": spent, "left": left, "next_free_at": free_at, "shared": shared}}


@dataclass(frozen=True, slots=True)
class Readiness:
    """`reasons` are why the agent cannot do its job now; `degraded` is what somebody should look at all the same."""

    reasons: tuple[str, ...]
    degraded: tuple[str, ...]


def readiness(vitals: Vitals) -> Readiness:
    """Whether the agent watches, decides and pages as it should."""
    reasons, degraded = [], []
    if not vitals.ready:
        reasons.append("not started yet")
    if vitals.oldest_page > OVERDUE_PAGE:
        reasons.append(f"a page has waited for {in_words(timedelta(seconds=vitals.oldest_page))}")
    if vitals.store_trouble:
        reasons.append(f"store: {vitals.store_trouble}")
    if vitals.scheduler_stalled > 0:
        reasons.append(f"checks are late by {in_words(timedelta(seconds=vitals.scheduler_stalled))}")
    if vitals.dead_letters:
        degraded.append(f"{vitals.dead_letters} undelivered messages were given up: see dead letters")
    if vitals.config_trouble:
        degraded.append(f"configuration: {vitals.config_trouble}")
    if vitals.blind:
        degraded.append(f"cannot trust what it sees: {vitals.blind}")
    degraded += [f"channel {name}: {trouble}" for name, trouble in vitals.channel_trouble.items()]
    degraded += [f"on-call schedule {name}: {trouble}" for name, trouble in vitals.oncall_trouble.items()]
    degraded += [each.why for each in vitals.drills.values() if each.outcome is DrillOutcome.FAILED]
    if vitals.ping_trouble:
        degraded.append(f"ping: {vitals.ping_trouble}")
    return Readiness(tuple(reasons), tuple(degraded))
