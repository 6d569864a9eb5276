"""Counting beats: how one run moves a check, and what the checks say of their service."""

from collections.abc import Mapping
from dataclasses import replace

from agent.core.policy import CheckPolicy
from agent.core.result import CheckResult, Verdict
from agent.core.state import CheckState, Health


def steady(state: CheckState) -> bool:
    """A healthy check with nothing pending: another PASS would change nothing, so nobody need be asked."""
    return state.verdict is Verdict.PASS and not state.misses and not state.down


def advance(state: CheckState, result: CheckResult, policy: CheckPolicy) -> CheckState:
    """The check after one more run; the very same object when the run says nothing new."""
    misses, passes, down = state.misses, state.passes, state.down
    first_miss_at, warned = state.first_miss_at, state.warned
    match result.verdict:
        case Verdict.FAIL:
            misses = min(misses + 1, policy.misses)
            passes = 0
            down = down or misses >= policy.misses
            first_miss_at = first_miss_at or result.at
        case Verdict.PASS | Verdict.WARN:
            passes = passes + 1 if down else 0
            if not down or passes >= policy.recover:
                misses, passes, down, first_miss_at = 0, 0, False, None
            warned = result.verdict is Verdict.WARN and (warned or state.verdict is Verdict.WARN)
        case Verdict.UNKNOWN:
            pass
    same_counts = (misses, passes, down, warned) == (state.misses, state.passes, state.down, state.warned)
    if same_counts and result.verdict is state.verdict and result.reason == state.reason:
        return state
    return replace(
        state,
        verdict=result.verdict,
        reason=result.reason,
        summary=result.summary,
        since=state.since if result.verdict is state.verdict else result.at,
        misses=misses,
        passes=passes,
        down=down,
        warned=warned,
        first_miss_at=first_miss_at,
        trace_id=result.trace_id,
    )


def health_of(checks: Mapping[str, CheckState], expected: Mapping[str, CheckPolicy]) -> Health:
    """The worst that the expected checks say. One that never ran makes the service PENDING, not well."""
    states = [checks.get(name) for name in expected]
    known = [state for state in states if state is not None and state.verdict is not None]
    if any(state.down for state in known):
        return Health.DOWN
    if any(state.misses for state in known):
        return Health.SUSPECT
    if any(state.verdict is Verdict.UNKNOWN for state in known):
        return Health.UNKNOWN
    if len(known) < len(states):
        return Health.PENDING
    if any(state.verdict is Verdict.WARN for state in known):
        return Health.DEGRADED
    return Health.UP
