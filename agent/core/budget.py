"""The restart budget: whether one more restart is allowed, and when."""

from datetime import datetime, timedelta

from agent.core.policy import RestartPolicy

REMEMBERED = timedelta(days=1)  # the host's budget may count over longer than the service's own
MOST = 100


def remembered(restarts: tuple[datetime, ...], policy: RestartPolicy | None, at: datetime) -> tuple[datetime, ...]:
    """The restarts worth remembering once another is ordered now: all that some budget may still count."""
    span, most = (max(REMEMBERED, policy.per), max(MOST, policy.at_most)) if policy else (REMEMBERED, MOST)
    return (*(moment for moment in restarts if at - moment < span), at)[-most:]


def spent(restarts: tuple[datetime, ...], policy: RestartPolicy, at: datetime) -> tuple[datetime, ...]:
    """The restarts that still count: those within the window that ends now."""
    return tuple(moment for moment in restarts if at - moment < policy.per)


def refusal(restarts: tuple[datetime, ...], policy: RestartPolicy, at: datetime) -> str:
    """Why the service's own budget allows no restart, in words for the page; empty when it allows one."""
    used = len(spent(restarts, policy, at))
    if used >= policy.at_most:
        return f"restart budget used up: {used} of {policy.at_most} in {in_words(policy.per)}"
    return ""


def not_before(restarts: tuple[datetime, ...], policy: RestartPolicy, at: datetime) -> datetime:
    """The earliest moment for the next restart: now for the first of a window, then doubling from `backoff`, but never
    longer than the window itself: waiting is no way of giving up unseen."""
    recent = spent(restarts, policy, at)
    if not recent:
        return at
    doublings = min(len(recent) - 1, 30)
    return max(recent) + min(policy.backoff * (1 << doublings), policy.per)


def in_words(span: timedelta) -> str:
    """A duration as people say it, two units at most: "45 s", "4 min 10 s", "2 h 5 min", "3 d"."""
    seconds = max(0, round(span.total_seconds()))
    if seconds == 0 and span > timedelta(0):
        return f"{span.total_seconds() * 1000:.0f} ms"
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
