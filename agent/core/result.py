"""What one run of a check says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from agent.core.few import no_figures, no_text

HANDED_OVER = "handed_over"  # the reason of a pass that ends an incident which isn't over: its summary says what is
HEARTBEAT = "Heartbeat"  # the piece of evidence that says what the checks said last, in one line


class Verdict(StrEnum):
    """What one run of a check says. FAIL means the target is bad; UNKNOWN means we could not tell."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One run of a check.

    `reason` is a bounded slug that is safe as a metric label ("ok", "refused", "timeout", "overdue", "status");
    `summary` is one line for people. `at` is when the run began, `took` how long it took. `phases` are seconds by
    name (dns, connect, tls, first_byte, transfer), `values` figures by name, `evidence` texts for the page
    (bounded by whoever makes them). `target` is the host or address that was asked, empty for local things.
    """

    verdict: Verdict
    reason: str
    summary: str
    at: datetime
    took: timedelta
    phases: Mapping[str, float] = field(default_factory=no_figures)
    values: Mapping[str, float] = field(default_factory=no_figures)
    evidence: Mapping[str, str] = field(default_factory=no_text)
    target: str = ""
    trace_id: str = ""
