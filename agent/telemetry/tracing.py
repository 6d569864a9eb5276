"""Traces of runs, decisions, restarts and pages, by OTLP over HTTP (protobuf).

Ids are made for every run, whether or not it is sent anywhere: they go out with the probe as `traceparent` (W3C Trace
Context) and stand in pages and log lines. Spans are made after the fact, and only for runs that were sampled or
did not pass. The OpenTelemetry SDK is imported only where an endpoint is configured.
"""

from collections.abc import Mapping
from random import getrandbits, random
from typing import NamedTuple, Protocol

from agent.core.events import Event
from agent.core.result import CheckResult, Verdict


class ProbeTrace(NamedTuple):
    """The ids of one run, as lower-case hexadecimal. `traceparent` is the header's value."""

    trace_id: str
    span_id: str
    sampled: bool
    traceparent: str


class SpanSink(Protocol):
    """Where finished runs and events become spans. Nothing here blocks or raises."""

    def run(self, service: str, check: str, type: str, result: CheckResult, trace: ProbeTrace) -> None: ...

    def event(self, event: Event) -> None: ...

    def close(self, seconds: float) -> None: ...


class Tracing:
    """Makes trace ids, and spans where there is an endpoint to send them to.

    `endpoint` is an OTLP/HTTP base or traces URL, empty for none. `sample` is the part of passing runs that is sent
    (0 to 1). `agent` becomes `service.instance.id` of the spans' resource.
    """

    def __init__(
        self, endpoint: str = "", sample: float = 0.01, headers: Mapping[str, str] | None = None, agent: str = ""
    ) -> None:
        self._sample = sample if endpoint else 0.0
        self._sink: SpanSink | None = None
        if endpoint:
            from agent.telemetry.spans import OtlpSpans

            self._sink = OtlpSpans(traces_url(endpoint), headers or {}, agent)

    def probe(self, force: bool = False) -> ProbeTrace:
        """New ids for one run. A sampled or forced one asks the target to record its side too."""
        ids = f"{getrandbits(192):048x}"
        trace_id, span_id = ids[:32], ids[32:]
        if force or random() < self._sample:
            return ProbeTrace(trace_id, span_id, True, f"00-{trace_id}-{span_id}-01")
        return ProbeTrace(trace_id, span_id, False, f"00-{trace_id}-{span_id}-00")

    def check_finished(self, service: str, check: str, type: str, result: CheckResult, trace: ProbeTrace) -> None:
        """Send the run if it was sampled or did not pass."""
        if self._sink is not None and (trace.sampled or result.verdict is not Verdict.PASS):
            self._sink.run(service, check, type, result, trace)

    def on_event(self, event: Event) -> None:
        """Send decisions, restarts and pages under the trace of the check that led to them."""
        if self._sink is not None and event.trace_id:
            self._sink.event(event)

    def close(self, seconds: float = 2.0) -> None:
        """Send what is left, for at most this long. Blocks: call it off the event loop, or last."""
        if self._sink is not None:
            self._sink.close(seconds)


def traces_url(endpoint: str) -> str:
    """A base URL completed with the path that OTLP gives traces; one that ends in it stays as it is."""
    endpoint = endpoint.rstrip("/")
    return endpoint if endpoint.endswith("/v1/traces") else f"{endpoint}/v1/traces"
