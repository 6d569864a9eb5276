"""What Prometheus sees of the agent. The list of metrics is `agent.telemetry.catalogue`.

Series of checks and services are computed from the live table when somebody scrapes: what is no longer in the
table is no longer exported. Counters of events live in a registry of this object's own.
"""

import platform
from collections.abc import Callable, Iterator, Mapping
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from agent import __version__
from agent.core.drills import is_drill
from agent.core.events import Event, EventKind
from agent.ports import ServiceRow, Vitals
from agent.telemetry.catalogue import (
    BY_NAME,
    CHECKS,
    DELIVERY_BUCKETS,
    DETECTION_BUCKETS,
    SERVICE_HEALTH,
)
from agent.telemetry.exposition import CHECK_SERIES, check_chunks, gathered, header, health_chunks
from agent.telemetry.lateness import Lateness
from agent.telemetry.live_state import LiveState
from agent.telemetry.negotiation import wants_openmetrics


class Metrics:
    """All metrics of one agent. `table` and `vitals` are live: they are read on every scrape, never written.

    Everything but `count_log` is meant for the event loop's thread.
    """

    def __init__(self, table: Mapping[str, ServiceRow], vitals: Vitals) -> None:
        self._table = table
        self.registry = CollectorRegistry(auto_describe=False)
        self._incidents = self._counter("codeblue_incidents_total")
        self._restarts = self._counter("codeblue_restarts_total")
        self._escalations = self._counter("codeblue_escalations_total")
        self._of_services = {
            "codeblue_incidents_total": self._incidents,
            "codeblue_restarts_total": self._restarts,
            "codeblue_escalations_total": self._escalations,
        }
        self._notices = self._counter("codeblue_notices_total")
        self._beats = self._counter("codeblue_beats_total")
        self._answers = self._counter("codeblue_answers_total")
        self._alerts = self._counter("codeblue_alerts_received_total")
        self._drills = self._counter("codeblue_drills_total")
        self._pings = self._counter("codeblue_pings_total")
        self._logs = self._counter("codeblue_log_lines_total")
        self._detection = self._histogram("codeblue_detection_seconds", DETECTION_BUCKETS)
        self._delivery = self._histogram("codeblue_page_delivery_seconds", DELIVERY_BUCKETS)
        self._acknowledge = self._histogram("codeblue_acknowledge_seconds", DETECTION_BUCKETS)
        self.state = LiveState(table, vitals)
        self.lateness = Lateness()
        self.skipped = self._counter("codeblue_runs_skipped_total")
        self._reloaded = self._gauge("codeblue_config_reload_success")
        self._reloaded_at = self._gauge("codeblue_config_reload_success_timestamp_seconds")
        self._gauge("codeblue_build_info").labels(version=__version__, python=platform.python_version()).set(1)
        self.registry.register(self.state)
        self.registry.register(self.lateness)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._count: dict[EventKind, Callable[[Event], None]] = {
            EventKind.OPENED: self._opened,
            EventKind.RESTART_FINISHED: self._restart_finished,
            EventKind.DELIVERED: lambda event: _observe(self._delivery, event),
            EventKind.ACKNOWLEDGED: lambda event: _observe(self._acknowledge, event),
            EventKind.ESCALATED: lambda event: self._escalations.labels(event.service).inc(),
        }

    def _counter(self, name: str) -> Counter:
        metric = BY_NAME[name]
        return Counter(metric.name, metric.about, metric.labels, registry=self.registry)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        metric = BY_NAME[name]
        return Histogram(metric.name, metric.about, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        metric = BY_NAME[name]
        return Gauge(metric.name, metric.about, metric.labels, registry=self.registry)

    # ------------------------------------------------------------------------------------------- what happens

    def on_event(self, event: Event) -> None:
        """Counts an event. From `event.data` it reads `reason` and `seconds` (opened), `seconds` (delivered,
        acknowledged), `action` and `outcome` (restart_finished); what is missing counts as "unknown"."""
        count = self._count.get(event.kind)
        if count is not None and not is_drill(event.service):
            count(event)

    def _opened(self, event: Event) -> None:
        self._incidents.labels(event.service, event.data.get("reason", "unknown")).inc()
        _observe(self._detection, event)

    def _restart_finished(self, event: Event) -> None:
        data = event.data
        self._restarts.labels(event.service, data.get("action", "unknown"), data.get("outcome", "unknown")).inc()

    def notice(self, channel: str, kind: str, outcome: str) -> None:
        """A try to send a message ended; all three are from small fixed sets."""
        self._notices.labels(channel, kind, outcome).inc()

    def config_read(self, success: bool) -> None:
        """A configuration was read at start or on reload; a bad one leaves the time of the last good one."""
        self._reloaded.set(1 if success else 0)
        if success:
            self._reloaded_at.set(time())

    def count_beat(self, kind: str, outcome: str) -> None:
        """A heartbeat came in; both are from small fixed sets."""
        self._beats.labels(kind, outcome).inc()

    def count_answer(self, channel: str, what: str, outcome: str) -> None:
        """A person pressed or typed something; all three are from small fixed sets."""
        self._answers.labels(channel, what, outcome).inc()

    def drill(self, outcome: str) -> None:
        """A fire drill ended."""
        self._drills.labels(outcome).inc()

    def count_ping(self, kind: str, outcome: str) -> None:
        """The address outside was told, or was to be; both are from small fixed sets. What has not been counts 0, so
        that a rate sees the first."""
        for each in ("ok", "failed"):
            self._pings.labels(kind, each).inc(each == outcome)

    def count_alerts(self, outcome: str, count: int) -> None:
        """So many alerts of others came in; the outcomes are firing, over, refused and own."""
        self._alerts.labels(outcome).inc(count)

    def count_log(self, service: str, source: str, level: str, count: int = 1) -> None:
        """`count` lines were read; may be called from any thread."""
        self._logs.labels(service, source, level or "none").inc(count)

    # ------------------------------------------------------------------------------------------- what is scraped

    def render(self, accept: str = "") -> tuple[str, Iterator[bytes]]:
        """The content type, and the text in chunks of a few hundred rows each: OpenMetrics 1.0 for who accepts it,
        else Prometheus text 0.0.4. Each chunk is computed when it is asked for."""
        openmetrics = wants_openmetrics(accept)
        content_type = CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN_0_0_4
        return content_type, gathered(self._chunks(openmetrics))

    def _chunks(self, openmetrics: bool) -> Iterator[bytes]:
        services = list(self._table.values())
        rows = [row for service in services for row in service.checks.values()]
        for metric in CHECKS:
            yield header(metric.name, metric.kind, metric.about, openmetrics=openmetrics)
            yield from check_chunks(rows, CHECK_SERIES[metric.name])
        yield header(SERVICE_HEALTH.name, SERVICE_HEALTH.kind, SERVICE_HEALTH.about, openmetrics=openmetrics)
        yield from health_chunks(services)
        del rows, services
        self._forget_removed()
        if openmetrics:
            yield generate_openmetrics(self.registry)  # type: ignore[no-untyped-call]  # ends with "# EOF"
        else:
            yield generate_latest(_WithoutCreated(self.registry))

    def _forget_removed(self) -> None:
        """A service that config no longer names takes its counters along."""
        for name, counter in self._of_services.items():
            for sample in next(iter(counter.collect())).samples:
                if sample.name == name and sample.labels["service"] not in self._table:
                    counter.remove(*(sample.labels[label] for label in BY_NAME[name].labels))


def _observe(histogram: Histogram, event: Event) -> None:
    seconds = _seconds(event.data.get("seconds", ""))
    if seconds is not None:
        histogram.observe(seconds, {"trace_id": event.trace_id} if event.trace_id else None)


class _WithoutCreated:
    """The text format has no creation times: as series of their own they would only be noise."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
