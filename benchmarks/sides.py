"""The processors that are compared. A side lives in a fresh process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from sinks import Sink

NOTHING: Final = "no processor"
BATCH_HTTP: Final = "Batch + OTLP/HTTP"
BATCH_GRPC: Final = "Batch + OTLP/gRPC"
BATCH_NULL: Final = "Batch + null exporter"
SIMPLE_HTTP: Final = "Simple + OTLP/HTTP"
HUSH: Final = "hush live=True"
HUSH_NOT_LIVE: Final = "hush live=False"
OURS: Final = (HUSH, HUSH_NOT_LIVE)

QUEUE_SPANS: Final = 1_000_000
"""Batch's queue holds all that a benchmark records: what it drops would cost nothing."""


class _Null(SpanExporter):
    """Takes everything and does nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Hold nothing."""


def processor(side: str, sink: Sequence[str], directory: str) -> SpanProcessor | None:
    """A side's processor; None for the app without one.

    Args:
        side: Its name.
        sink: The endpoints of a running sink: HTTP, gRPC.
        directory: For the database and spool.
    """
    endpoints = Sink(*sink)
    if side == NOTHING:
        return None
    if side in OURS:
        from hush_otel import Destination, HushSpanProcessor

        receiver = Destination("otlp", name="sink", endpoint=endpoints.http)
        return HushSpanProcessor(Path(directory, "traces.db"), destinations=[receiver], live=side == HUSH)
    if side == SIMPLE_HTTP:
        return SimpleSpanProcessor(_otlp_http(endpoints))
    exporters = {BATCH_HTTP: _otlp_http, BATCH_GRPC: _otlp_grpc, BATCH_NULL: lambda _: _Null()}
    return BatchSpanProcessor(exporters[side](endpoints), max_queue_size=QUEUE_SPANS)


def _otlp_http(sink: Sink) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(f"{sink.http}/v1/traces")


def _otlp_grpc(sink: Sink) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(sink.grpc, insecure=True)


def provider(one: SpanProcessor | Any | None) -> TracerProvider:
    """A provider with that processor. The caller shuts it down."""
    made = TracerProvider(shutdown_on_exit=False)
    if one is not None:
        made.add_span_processor(one)
    return made
