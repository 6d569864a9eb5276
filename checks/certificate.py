"""How long a certificate is still valid, and when that is worth a word."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.ports import HttpAnswer

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Days that must be left: fewer than `warn_days` is a WARN, fewer than `fail_days` a FAIL."""

    warn_days: float = 21
    fail_days: float = 7


@dataclass(frozen=True, slots=True)
class Finding:
    failed: bool
    reason: str
    summary: str


def days_left(answer: HttpAnswer, now: datetime) -> float | None:
    """Days until the certificate runs out, below zero when it has; None when there was none."""
    expires = answer.certificate_expires
    return None if expires is None else (expires - now) / _DAY


def certificate_values(answer: HttpAnswer, now: datetime) -> dict[str, float]:
    left = days_left(answer, now)
    return {} if left is None else {"certificate_days": round(left, 3)}


def certificate_finding(answer: HttpAnswer, now: datetime, limits: Limits) -> Finding | None:
    """What is to be said of the time that a certificate has left; None when all is well or there is none."""
    left = days_left(answer, now)
    if left is None or (left > 0 and left >= max(limits.warn_days, limits.fail_days)):
        return None
    until = f"{answer.certificate_expires:%Y-%m-%d %H:%M} UTC"
    if left <= 0:
        return Finding(True, "certificate", f"the certificate expired {-left:.1f} days ago, on {until}")
    failed = left < limits.fail_days
    return Finding(failed, "certificate", f"the certificate runs out in {left:.1f} days, on {until}")
