"""After a restart: which passes count. Healthy means that the checks passed as often as they must since it was done."""

from collections.abc import Mapping
from dataclasses import replace

from agent.core.draft import Draft
from agent.core.result import CheckResult, Verdict
from agent.core.state import CheckState, Stage


def counting_anew(draft: Draft) -> Mapping[str, CheckState]:
    """Only passes since the restart make a service well: those before it were the old process's."""
    checks, failing = draft.state.checks, draft.incident.failing
    return {name: replace(one, passes=0) if name in failing and one.passes else one for name, one in checks.items()}


def old_news(draft: Draft, result: CheckResult) -> bool:
    """Whether a pass is of a run that began before the restart which it would verify was done."""
    incident = draft.state.incident
    if incident is None or incident.stage is not Stage.VERIFYING or result.verdict not in (Verdict.PASS, Verdict.WARN):
        return False
    done_at = incident.tried[-1].done_at if incident.tried else None
    return done_at is not None and result.at < done_at
