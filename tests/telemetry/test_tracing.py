"""What is promised about traces, seen by a receiver that decodes the protocol's own messages."""

import gzip
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from time import monotonic

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from agent.core.events import Event, EventKind
from agent.core.result import CheckResult, Verdict
from agent.telemetry.logging import configure
from agent.telemetry.otlp import QuietExporter
from agent.telemetry.semantics import address, run_attributes, without_credentials
from agent.telemetry.spans import Recent, nanoseconds
from agent.telemetry.tracing import ProbeTrace, Tracing, traces_url

NOW = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)


class Receiver:
    """Takes OTLP over HTTP on a loopback port."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = []
        taken = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                taken.append((self.path, dict(self.headers), ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> dict[str, Span]:
        return {
            span.name: span
            for _, _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


def result(verdict: Verdict = Verdict.FAIL, **more: object) -> CheckResult:
    fields: dict[str, object] = {"reason": "status", "summary": "answered 503", "took": timedelta(milliseconds=30)}
    return CheckResult(verdict=verdict, at=NOW, **{**fields, **more})  # type: ignore[arg-type]


def event(kind: EventKind, trace: ProbeTrace, after: float = 0.0, **data: str) -> Event:
    at = NOW + timedelta(seconds=after)
    return Event(kind=kind, service="photos", at=at, text="said", incident="i1", data=data, trace_id=trace.trace_id)


def attributes(span: Span) -> dict[str, object]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


def test_ids_are_made_without_any_endpoint_and_are_never_marked_as_sampled() -> None:
    tracing = Tracing(sample=1.0)
    trace = tracing.probe()
    assert (len(trace.trace_id), len(trace.span_id), trace.sampled) == (32, 16, False)
    assert trace.traceparent == f"00-{trace.trace_id}-{trace.span_id}-00"
    assert tracing.probe().trace_id != trace.trace_id
    tracing.check_finished("photos", "http", "http", result(), trace)
    tracing.on_event(event(EventKind.OPENED, trace))
    tracing.close()


def test_a_confirming_run_asks_the_target_to_record_its_side_too() -> None:
    trace = Tracing().probe(force=True)
    assert trace.sampled
    assert trace.traceparent.endswith("-01")


def test_a_run_is_sent_under_the_very_ids_that_the_target_was_told(receiver: Receiver) -> None:
    tracing = Tracing(receiver.url, sample=0.0, headers={"x-tenant": "home"}, agent="web-1")
    trace = tracing.probe()
    assert not trace.sampled
    found = result(
        phases={"dns": 0.001, "connect": 0.002, "first_byte": 0.02},
        values={"status": 503.0},
        evidence={"request": "GET https://user:pw@photos.internal/health?key=1"},
        target="photos.internal:443",
    )
    tracing.check_finished("photos", "front", "http", found, trace)
    tracing.close()
    (path, headers, request), spans = receiver.requests[0], receiver.spans()
    assert path == "/v1/traces"
    assert headers["x-tenant"] == "home"
    names = {pair.key: pair.value.string_value for pair in request.resource_spans[0].resource.attributes}
    assert (names["service.name"], names["service.instance.id"]) == ("codeblue", "web-1")
    run = spans["check http"]
    assert (run.trace_id.hex(), run.span_id.hex(), run.parent_span_id) == (trace.trace_id, trace.span_id, b"")
    assert (run.start_time_unix_nano, run.end_time_unix_nano) == (nanoseconds(NOW), nanoseconds(NOW) + 30_000_000)
    assert (run.status.code, run.status.message, run.kind) == (2, "answered 503", Span.SPAN_KIND_CLIENT)
    assert attributes(run) == {
        "codeblue.service": "photos",
        "codeblue.check": "front",
        "codeblue.check.type": "http",
        "codeblue.verdict": "fail",
        "codeblue.reason": "status",
        "codeblue.summary": "answered 503",
        "error.type": "status",
        "http.response.status_code": 503,
        "http.request.method": "GET",
        "url.full": "https://photos.internal/health",
        "server.address": "photos.internal",
        "server.port": 443,
    }


def test_phases_are_children_laid_end_to_end(receiver: Receiver) -> None:
    tracing = Tracing(receiver.url)
    trace = tracing.probe(force=True)
    found = result(Verdict.PASS, phases={"dns": 0.001, "connect": 0.002, "first_byte": 0.02})
    tracing.check_finished("photos", "front", "http", found, trace)
    tracing.close()
    spans = receiver.spans()
    start = nanoseconds(NOW)
    for phase, begin, end in [("dns", 0, 1), ("connect", 1, 3), ("first_byte", 3, 23)]:
        span = spans[phase]
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace.trace_id, trace.span_id)
        assert span.start_time_unix_nano == start + begin * 1_000_000
        assert span.end_time_unix_nano == start + end * 1_000_000
    assert spans["check http"].status.code == 0


@pytest.mark.parametrize(
    ("verdict", "sent"),
    [
        pytest.param(Verdict.PASS, False, id="an unsampled pass is not sent"),
        pytest.param(Verdict.WARN, True, id="a warning is"),
        pytest.param(Verdict.FAIL, True, id="a failure is"),
        pytest.param(Verdict.UNKNOWN, True, id="not being able to tell is"),
    ],
)
def test_which_unsampled_runs_are_sent(receiver: Receiver, verdict: Verdict, sent: bool) -> None:
    tracing = Tracing(receiver.url, sample=0.0)
    tracing.check_finished("photos", "front", "http", result(verdict), tracing.probe())
    tracing.close()
    assert bool(receiver.spans()) is sent


def test_decision_restart_and_page_share_the_trace_of_the_deciding_check(receiver: Receiver) -> None:
    tracing = Tracing(receiver.url, sample=0.0)
    trace = tracing.probe()
    tracing.check_finished("photos", "front", "http", result(), trace)
    for happened in (
        event(EventKind.OPENED, trace, 1, reason="status"),
        event(EventKind.RESTART_ORDERED, trace, 1, action="systemd", key="k1"),
        event(EventKind.RESTART_FINISHED, trace, 4, action="systemd", outcome="failed", key="k1"),
        event(EventKind.PAGED, trace, 5, channel="oncall"),
        event(EventKind.DELIVERED, trace, 7, channel="oncall"),
        event(EventKind.CLOSED, trace, 60),
    ):
        tracing.on_event(happened)
    tracing.close()
    spans = receiver.spans()
    assert set(spans) == {"check http", "decide opened", "restart", "page", "decide closed"}
    for name in set(spans) - {"check http"}:
        assert (spans[name].trace_id.hex(), spans[name].parent_span_id.hex()) == (trace.trace_id, trace.span_id)
    seconds = {name: (s.end_time_unix_nano - s.start_time_unix_nano) / 1e9 for name, s in spans.items()}
    assert (seconds["restart"], seconds["page"], seconds["decide opened"]) == (3.0, 2.0, 0.0)
    assert (spans["restart"].status.code, spans["page"].status.code) == (2, 0)
    assert attributes(spans["restart"])["codeblue.action"] == "systemd"


def test_an_end_whose_order_was_given_in_a_former_life_is_still_told(receiver: Receiver) -> None:
    tracing = Tracing(receiver.url)
    trace = tracing.probe()
    tracing.on_event(event(EventKind.DELIVERED, trace, 9, channel="oncall", seconds="4.000"))
    tracing.on_event(event(EventKind.RESTART_FINISHED, trace, 9, outcome="done", seconds="rubbish"))
    tracing.close()
    page = receiver.spans()["page"]
    assert page.end_time_unix_nano - page.start_time_unix_nano == 4_000_000_000
    assert (page.trace_id.hex(), page.parent_span_id) == (trace.trace_id, b"")


@pytest.mark.parametrize("trace_id", ["", "xyz", "0" * 32, "A" * 32], ids=["none", "no hex", "all zero", "upper case"])
def test_an_event_without_a_valid_trace_makes_no_span(receiver: Receiver, trace_id: str) -> None:
    tracing = Tracing(receiver.url)
    tracing.on_event(Event(kind=EventKind.OPENED, service="photos", at=NOW, text="", trace_id=trace_id))
    tracing.close()
    assert receiver.spans() == {}


@contextmanager
def logged() -> Iterator[StringIO]:
    """What the agent logs meanwhile."""
    out, before = StringIO(), structlog.get_config()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure("info", stream=out)
    try:
        yield out
    finally:
        structlog.configure(**before)
        root.handlers, root.level = handlers, level


def test_a_collector_that_is_not_there_costs_neither_time_nor_more_than_one_log_line() -> None:
    with logged() as out:
        tracing = Tracing("http://127.0.0.1:9", sample=1.0)
        began = monotonic()
        for _ in range(2_000):
            tracing.check_finished("photos", "front", "http", result(), tracing.probe())
        handed_over = monotonic() - began
        tracing.close(seconds=0.5)
        closed = monotonic() - began - handed_over
    assert handed_over < 2.0
    assert closed < 1.5
    assert out.getvalue().count("traces_not_delivered") <= 1


class Broken(SpanExporter):
    outcome = SpanExportResult.FAILURE

    def export(self, spans: object) -> SpanExportResult:
        return self.outcome

    def shutdown(self) -> None:
        pass


def test_the_log_hears_once_of_an_outage_and_once_of_its_end() -> None:
    with logged() as out:
        inner = Broken()
        exporter = QuietExporter(inner)
        for _ in range(5):
            exporter.export([ReadableSpan("lost")])
        inner.outcome = SpanExportResult.SUCCESS
        exporter.export([])
        exporter.export([])
    assert out.getvalue().count("traces_not_delivered") == 1
    assert out.getvalue().count("traces_delivered_again") == 1


def test_what_is_remembered_is_bounded() -> None:
    recent: Recent[int, int] = Recent(limit=2)
    for number in (1, 2, 1, 3):
        recent.put(number, number)
    assert (recent.get(1), recent.get(2), recent.get(3)) == (1, None, 3)


def test_a_run_without_an_answer_has_no_status() -> None:
    attributes = run_attributes("photos", "front", "http", result(values={"status": 0.0}, reason="refused"))
    assert "http.response.status_code" not in attributes
    assert attributes["error.type"] == "refused"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("photos.internal", {"server.address": "photos.internal"}),
        ("127.0.0.1:8080", {"server.address": "127.0.0.1", "server.port": 8080}),
        ("[::1]:8080", {"server.address": "::1", "server.port": 8080}),
        ("2001:db8::1", {"server.address": "2001:db8::1"}),
        ("https://photos.internal:8443/x", {"server.address": "photos.internal", "server.port": 8443}),
        ("host:notaport", {"server.address": "host:notaport"}),
    ],
)
def test_a_target_is_told_as_address_and_port(target: str, expected: dict[str, object]) -> None:
    assert address(target) == expected


def test_a_url_in_a_span_has_no_credentials() -> None:
    assert without_credentials("https://u:p@h:1/a?token=x#f") == "https://h:1/a"
    assert without_credentials("http://[broken") == ""


@pytest.mark.parametrize("endpoint", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"])
def test_a_base_url_gets_the_path_of_traces(endpoint: str) -> None:
    assert traces_url(endpoint) == "http://c:4318/v1/traces"
