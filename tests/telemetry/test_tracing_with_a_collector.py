"""A collector that others wrote takes our traces and prints what it understood."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.core.events import Event, EventKind
from agent.core.result import CheckResult, Verdict
from agent.telemetry.tracing import Tracing
from tests.collector import collecting


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    with collecting(tmp_path) as found:
        yield found


def test_a_collector_takes_a_whole_incident_as_one_trace(collector: tuple[str, Path]) -> None:
    url, printed = collector
    tracing = Tracing(url, sample=0.0, agent="web-1")
    trace, now = tracing.probe(), datetime.now(UTC)
    result = CheckResult(
        verdict=Verdict.FAIL,
        reason="refused",
        summary="connection refused",
        at=now,
        took=timedelta(milliseconds=3),
        phases={"dns": 0.001, "connect": 0.002},
        target="127.0.0.1:8080",
    )
    tracing.check_finished("photos", "front", "http", result, trace)
    tracing.on_event(Event(kind=EventKind.OPENED, service="photos", at=now, text="opened", trace_id=trace.trace_id))
    tracing.close()
    text, deadline = "", time.monotonic() + 10
    while "decide opened" not in text and time.monotonic() < deadline:
        time.sleep(0.02)
        text = printed.read_text(errors="replace")
    for name in ("check http", "dns", "connect", "decide opened"):
        assert f"Name           : {name}\n" in text
    assert text.count(f"Trace ID       : {trace.trace_id}\n") == 4
    assert text.count(f"Parent ID      : {trace.span_id}\n") == 3
    assert "Status message : connection refused" in text
    assert "service.instance.id: Str(web-1)" in text
