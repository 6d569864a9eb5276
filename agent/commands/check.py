"""`codeblue check`: the results as rows, with a progress line while they come in."""

from contextlib import nullcontext
from typing import Any

from rich.console import Console
from rich.progress import Progress

from agent.commands.ask import AgentUnreachable, ask
from agent.commands.once import only_in_the_agent, run_once
from agent.config.model import CheckSpec, Config
from agent.core.result import CheckResult
from agent.runtime.probe import Probe


def results_of(config: Config, chosen: list[CheckSpec], progress: Console | None) -> list[dict[str, Any]]:
    """Run what can be run from here, ask the agent for the rest; in the configuration's order."""
    rows: dict[str, dict[str, Any]] = {}
    bar = Progress(console=progress, transient=True) if progress else nullcontext()
    with bar as shown:
        task = shown.add_task("checking", total=len(chosen)) if shown else None

        def seen(probe: Probe, result: CheckResult) -> None:
            rows[probe.key] = _row(probe.service, probe.name, probe.type.name, result)
            if shown and task is not None:
                shown.advance(task)

        run_once(config, chosen, seen)
    for check in chosen:
        if only_in_the_agent(check):
            rows[f"{check.service}/{check.name}"] = _from_agent(config, check)
    return [rows[f"{check.service}/{check.name}"] for check in chosen]


def _row(service: str, check: str, kind: str, result: CheckResult) -> dict[str, Any]:
    return {
        "service": service,
        "check": check,
        "type": kind,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "summary": result.summary,
        "took": result.took.total_seconds(),
        "phases": dict(result.phases),
        "values": dict(result.values),
        "evidence": dict(result.evidence),
    }


def _from_agent(config: Config, check: CheckSpec) -> dict[str, Any]:
    """What the running agent says of a check that only it can judge."""
    row = {"service": check.service, "check": check.name, "type": check.type.name, "took": None}
    try:
        found = ask(config, f"/api/services/{check.service}")
    except AgentUnreachable as error:
        return {
            **row,
            "verdict": "unknown",
            "reason": "no_agent",
            "summary": f"only the running agent can tell: {error}",
        }
    one = next((each for each in found["checks"] if each["name"] == check.name), None)
    if one is None or one["verdict"] is None:
        return {**row, "verdict": "unknown", "reason": "pending", "summary": "the running agent has not looked yet"}
    return {**row, **{name: one[name] for name in ("verdict", "reason", "summary", "took", "phases", "values")}}
