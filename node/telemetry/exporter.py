"""Traces to a collector by OTLP; the only module that knows OpenTelemetry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, set_span_in_context

from node.config import TelemetrySettings
from node.config.notifications import without_path
from node.config.telemetry import read_headers
from node.errors import PeerUnavailable
from node.telemetry.spans import Span, Trace

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Exporter:
    """Sends traces.

    Parameters
    ----------
    settings
        With an endpoint.
    instance
        Name of this node among all that send to the collector.

    Raises
    ------
    ConfigurationError
        If the file of headers is no good.
    """

    def __init__(self, settings: TelemetrySettings, instance: str) -> None:
        assert settings.otlp_endpoint is not None
        self._server = without_path(settings.otlp_endpoint)
        headers = {} if settings.headers_file is None else read_headers(settings.headers_file)
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the node says once what it says every time
        self._exporter = OTLPSpanExporter(
            endpoint=settings.otlp_endpoint,
            certificate_file=None if settings.trusted is None else str(settings.trusted),
            headers=headers,
            timeout=settings.timeout_s,
            compression=Compression.Gzip,
        )
        self._ids = _Ids()
        self._made = InMemorySpanExporter()
        named = {"service.name": "condyle", "service.version": version("condyle"), "service.instance.id": instance}
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource(named), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(SimpleSpanProcessor(self._made))
        self._tracer = self._provider.get_tracer("condyle")

    def send(self, traces: Sequence[Trace]) -> None:
        """Send them in one request.

        Raises
        ------
        PeerUnavailable
            If the collector did not take them.
        """
        self._made.clear()
        for trace in traces:
            for span in trace.spans:
                self._make(trace.id, span)
        spans = self._made.get_finished_spans()
        self._made.clear()
        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise PeerUnavailable(f"telemetry.otlp_endpoint: {self._server} does not take traces")

    def close(self) -> None:
        """End what is under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._provider.shutdown()

    def _make(self, trace: int, span: Span) -> None:
        self._ids.trace, self._ids.span = trace, span.id
        parent = None
        if span.parent is not None:
            known = SpanContext(trace, span.parent, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            parent = set_span_in_context(NonRecordingSpan(known))
        made = self._tracer.start_span(
            span.name, context=parent, attributes=dict(span.attributes), start_time=_nanoseconds(span.start)
        )
        if span.failed:
            made.set_status(StatusCode.ERROR)
        made.end(_nanoseconds(max(span.start, span.end)))


class _Ids(IdGenerator):
    """Gives the next span the ids that were chosen for it."""

    trace = span = 1

    def generate_trace_id(self) -> int:
        """128 bits."""
        return self.trace

    def generate_span_id(self) -> int:
        """64 bits."""
        return self.span


def _nanoseconds(moment: datetime) -> int:
    """Since the epoch; whole microseconds, which a float would not keep."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000
