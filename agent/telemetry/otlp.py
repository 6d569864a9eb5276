"""Sending spans by OTLP over HTTP, in batches on a thread of its own. Imports the OpenTelemetry SDK: only to be
imported where traces are configured."""

import logging
from collections.abc import Mapping, Sequence
from threading import Thread
from time import monotonic

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

log = structlog.get_logger()

QUEUE = 4096  # spans that wait; beyond that the oldest are dropped
BATCH = 512
DELAY_MS = 2000.0
EXPORT_TIMEOUT = 5.0  # seconds for one batch, tries included
QUIET = 60.0  # seconds between two log lines about an unreachable collector


class Sender:
    """A bounded queue and the thread that empties it. A collector that does not answer costs spans, never time."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._exporter = QuietExporter(
            OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=EXPORT_TIMEOUT, compression=Compression.Gzip)
        )
        self.processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUE, schedule_delay_millis=DELAY_MS, max_export_batch_size=BATCH
        )

    def close(self, seconds: float) -> None:
        """Send what waits, for at most this long; what is left then is lost."""
        flush = Thread(target=self.processor.shutdown, name="traces-flush", daemon=True)
        flush.start()
        flush.join(seconds)
        if flush.is_alive():
            self._exporter.shutdown()  # wakes a try that waits for its next


class QuietExporter(SpanExporter):
    """Passes batches on. Says at most once a minute that they do not get through, and once that they do again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._reason = _LastMessage()
        self._silent_until = 0.0
        self._lost = 0
        self._closed = False
        library = logging.getLogger("opentelemetry")
        library.handlers = [self._reason]
        library.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("traces_delivered_again", lost=self._lost)
            self._lost = 0
            return result
        self._lost += len(spans)
        if monotonic() >= self._silent_until and not self._closed:
            self._silent_until = monotonic() + QUIET
            log.warning("traces_not_delivered", lost=self._lost, error=self._reason.text)
        return result

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            self._inner.shutdown()


class _LastMessage(logging.Handler):
    """Keeps what the library would have logged, as the reason of a failed batch."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()[:500]
