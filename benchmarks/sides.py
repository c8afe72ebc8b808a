"""The processors that are compared. A side lives in a fresh process of its own."""

from __future__ import annotations

import os
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
HUSH_REDACTING: Final = 'hush redact_in = "app"'
OURS: Final = (HUSH, HUSH_NOT_LIVE, HUSH_REDACTING)

RULES: Final = """
[redaction]
keys = ["password", "*secret*", "authorization", "*api_key*"]
"""
"""Four keys and the ready patterns. The spans hold nothing of that kind: most hold nothing."""

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
        return _hush(side, endpoints, Path(directory))
    if side == SIMPLE_HTTP:
        return SimpleSpanProcessor(_otlp_http(endpoints))
    exporters = {BATCH_HTTP: _otlp_http, BATCH_GRPC: _otlp_grpc, BATCH_NULL: lambda _: _Null()}
    return BatchSpanProcessor(exporters[side](endpoints), max_queue_size=QUEUE_SPANS)


def _hush(side: str, sink: Sink, directory: Path) -> SpanProcessor:
    from hush_otel import Destination, HushSpanProcessor

    if side == HUSH_REDACTING:
        file = directory / "hush.toml"
        file.write_text(f'{RULES}redact_in = "app"\n')
        os.environ["HUSH_CONFIG"] = str(file)
    receiver = Destination("otlp", name="sink", endpoint=sink.http)
    return HushSpanProcessor(directory / "traces.db", destinations=[receiver], live=side != HUSH_NOT_LIVE)


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
