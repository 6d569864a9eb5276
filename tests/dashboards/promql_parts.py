"""Takes PromQL apart as far as the tests of dashboards and rules need it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.telemetry.catalogue import BY_NAME

FOREIGN = {  # metrics that Prometheus and prometheus_client define, with their labels
    "up": (),
    "scrape_duration_seconds": (),
    "process_cpu_seconds_total": (),
    "process_max_fds": (),
    "process_open_fds": (),
    "process_resident_memory_bytes": (),
    "process_start_time_seconds": (),
    "ALERTS": ("alertname", "alertstate", "severity", "service"),
}
OF_TARGETS = {"job", "instance"}
_SELECTOR = re.compile(r"\b(ALERTS|up|(?:codeblue|process|scrape|python)_\w+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Selector:
    """A metric and the labels that are asked of it."""

    metric: str
    labels: frozenset[str]
    text: str


def selectors(expression: str) -> Iterator[Selector]:
    """Every series selector of an expression; those of recording rules (with a colon) are not metrics."""
    for found in _SELECTOR.finditer(expression):
        before = expression[: found.start()]
        if before.endswith(":") or expression[found.end(1) :].startswith(":") or before.count('"') % 2:
            continue
        labels = frozenset(_MATCHER.findall(found[2] or ""))
        yield Selector(found[1], labels, found[0])


def groupings(expression: str) -> set[str]:
    """Every label that an expression groups or matches by."""
    return {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}


def labels_of(metric: str) -> set[str] | None:
    """The labels that a metric has, None for one that nobody exports."""
    if metric in FOREIGN:
        return {*FOREIGN[metric], *OF_TARGETS}
    for suffix in ("", "_bucket", "_sum", "_count"):
        known = BY_NAME.get(metric.removesuffix(suffix)) if metric.endswith(suffix) else None
        if known and (not suffix or known.kind == "histogram"):
            return {*known.labels, *OF_TARGETS, *(["le"] if suffix == "_bucket" else [])}
    return None


def complaints(expression: str) -> list[str]:
    """What an expression asks for that no agent exports."""
    found: list[str] = []
    offered: set[str] = set()
    for selector in selectors(expression):
        labels = labels_of(selector.metric)
        if labels is None:
            found.append(f"nobody exports {selector.metric}")
            continue
        offered |= labels
        found += [f"{selector.metric} has no label {label}" for label in selector.labels - labels]
    if offered:
        found += [f"no metric here has a label {label}" for label in groupings(expression) - offered]
    return found
