"""A collector that others wrote (rotel) takes our traces and prints what it understood."""

import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.core.events import Event, EventKind
from agent.core.result import CheckResult, Verdict
from agent.telemetry.tracing import Tracing


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    spec = find_spec("rotel")
    assert spec is not None, "rotel is not installed: it is among the development dependencies"
    assert spec.origin is not None
    port, printed = free_port(), tmp_path / "collector.out"
    command = [
        str(Path(spec.origin).parent / "rotel-agent"),
        "start",
        "--exporter",
        "blackhole",
        "--batch-timeout",
        "20ms",
    ]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    command += ["--debug-log", "traces", "--debug-log-verbosity", "detailed", "--pid-file", str(tmp_path / "pid")]
    with printed.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path)
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}", printed
        finally:
            process.terminate()
            process.wait(10)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the collector does not listen"
            time.sleep(0.02)


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
