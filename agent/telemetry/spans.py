"""Spans out of results and events, after the fact. Imports the OpenTelemetry SDK: only to be imported where traces
are configured."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import getrandbits
from typing import Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from agent import __version__
from agent.core.events import Event, EventKind
from agent.core.result import CheckResult, Verdict
from agent.telemetry.otlp import Sender
from agent.telemetry.semantics import Attributes, event_attributes, run_attributes
from agent.telemetry.tracing import ProbeTrace

REMEMBERED = 4096  # runs, and orders under way, that later spans may refer to

DECISIONS = frozenset(
    {
        EventKind.OPENED,
        EventKind.CHECK_JOINED,
        EventKind.HELD,
        EventKind.RELEASED,
        EventKind.RESTART_REFUSED,
        EventKind.VERIFY_FAILED,
        EventKind.CLOSED,
    }
)
ORDERS = {EventKind.RESTART_ORDERED: "restart", EventKind.PAGED: "page"}
ENDS = {EventKind.RESTART_FINISHED: "restart", EventKind.DELIVERED: "page", EventKind.UNDELIVERED: "page"}

OK = Status(StatusCode.UNSET)  # the convention: OK is only ever set by people

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that forgets its oldest entries beyond a limit."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def get(self, key: K) -> V | None:
        return self._entries.get(key)

    def pop(self, key: K) -> V | None:
        return self._entries.pop(key, None)


class ChosenIds(IdGenerator):
    """Gives the next span the ids that the target was told already, and random ones where none were chosen."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        chosen, self.trace_id = self.trace_id, 0
        return chosen or getrandbits(128) or 1

    def generate_span_id(self) -> int:
        chosen, self.span_id = self.span_id, 0
        return chosen or getrandbits(64) or 1


class OtlpSpans:
    """Makes spans and hands them to the sender. Everything here happens on the event loop's thread."""

    def __init__(self, url: str, headers: Mapping[str, str], agent: str) -> None:
        self._sender = Sender(url, headers)
        self._ids = ChosenIds()
        resource = {"service.name": "codeblue", "service.version": __version__, "service.instance.id": agent}
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({key: value for key, value in resource.items() if value}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._sender.processor)
        self._tracer = provider.get_tracer("codeblue", __version__)
        self._runs: Recent[str, SpanContext] = Recent()  # by trace id
        self._ordered: Recent[tuple[str, str], datetime] = Recent()

    def run(self, service: str, check: str, type: str, result: CheckResult, trace: ProbeTrace) -> None:
        """A run, and its phases as children laid end to end."""
        failed = result.verdict is Verdict.FAIL
        start = nanoseconds(result.at)
        context = self._emit(
            f"check {type}",
            (start, nanoseconds(result.at + result.took)),
            run_attributes(service, check, type, result),
            ids=(trace.trace_id, trace.span_id),
            kind=SpanKind.CLIENT if result.target else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, result.summary) if failed else OK,
        )
        self._runs.put(trace.trace_id, context)
        for phase, seconds in result.phases.items():
            end = start + max(0, round(seconds * 1e9))
            self._emit(phase, (start, end), {}, parent=context)
            start = end

    def event(self, event: Event) -> None:
        """A decision is a moment; a restart or a page lasts from its order to its end."""
        if not is_trace_id(event.trace_id):
            return
        if event.kind in ORDERS:
            self._ordered.put(order_of(event, ORDERS[event.kind]), event.at)
        elif event.kind in ENDS:
            name = ENDS[event.kind]
            ordered = self._ordered.pop(order_of(event, name)) or event.at - timedelta(seconds=took(event))
            good = event.kind is EventKind.DELIVERED or event.data.get("outcome") == "done"
            self._tell(name, min(ordered, event.at), event, good=good)
        elif event.kind in DECISIONS:
            self._tell(f"decide {event.kind.value}", event.at, event, good=True)

    def _tell(self, name: str, start: datetime, event: Event, *, good: bool) -> None:
        self._emit(
            name,
            (nanoseconds(start), nanoseconds(event.at)),
            event_attributes(event),
            ids=(event.trace_id, ""),
            parent=self._runs.get(event.trace_id),
            status=OK if good else Status(StatusCode.ERROR, event.text),
        )

    def _emit(
        self,
        name: str,
        span: tuple[int, int],
        attributes: Attributes,
        *,
        ids: tuple[str, str] = ("", ""),
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status = OK,
    ) -> SpanContext:
        """`span` is start and end in nanoseconds; `ids` are a trace and a span id to use, empty for new ones."""
        self._ids.trace_id, self._ids.span_id = (int(text or "0", 16) for text in ids)
        context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
        started = self._tracer.start_span(name, context=context, kind=kind, attributes=attributes, start_time=span[0])
        started.set_status(status)
        started.end(span[1])
        return started.get_span_context()

    def close(self, seconds: float) -> None:
        self._sender.close(seconds)


def order_of(event: Event, name: str) -> tuple[str, str]:
    """What ties an order to its end: a restart's key, or the channel that an incident asked."""
    if name == "restart":
        return name, event.data.get("key", event.incident)
    return event.incident, event.data.get("channel", "")


def took(event: Event) -> float:
    """The seconds that the event itself names, for an order that was given in a former life."""
    try:
        return max(0.0, float(event.data.get("seconds", "0")))
    except ValueError:
        return 0.0


def is_trace_id(text: str) -> bool:
    return len(text) == 32 and text.strip("0123456789abcdef") == "" and text.strip("0") != ""


def nanoseconds(moment: datetime) -> int:
    """Since the epoch, exact to the microsecond."""
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1000
