"""The span processor: every span that ends is safe on disk before `on_end` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from hush_otel.model import Destination
from hush_otel.records import FLAG_COMPLETE, FLAG_PROVISIONAL
from hush_otel.spool.process import on_fork
from hush_otel.spool.writer import SpoolWriter

from .open_spans import OpenSpans
from .pipeline import SpanPipeline


class SpoolingSpanProcessor(SpanProcessor):
    """Publishes spans to the spool as they start and end.

    Thread-, signal- and fork-safe. No method raises, blocks on another process, or starts a thread.

    Args:
        writer: This process's way into the spool.
        destinations: Where what is captured here is delivered.
        live: Publish starts, too: running spans are seen, and those a dead process left open.
        flush: Waits until this process's records are in SQLite; gets milliseconds.
    """

    def __init__(
        self,
        writer: SpoolWriter,
        destinations: Sequence[Destination],
        *,
        live: bool,
        flush: Callable[[int], bool],
    ) -> None:
        self._pipeline = SpanPipeline(writer, destinations)
        self._open = OpenSpans()
        self._live = live
        self._flush = flush
        self._stopped = False
        on_fork(self._open)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Count the span as open; publish its start when live."""
        try:
            context = span.get_span_context()
            if context is None or not context[3] & 1:
                return  # only sampled spans are exported (specification, trace/sdk.md, Sampled)
            self._open.opened(context[0], context[1])
            if self._live:
                self._pipeline.write_start(span)
        except Exception as exc:  # noqa: BLE001 - boundary to the app
            self._pipeline.failed("recording the start of a span", exc)

    def on_end(self, span: ReadableSpan) -> None:
        """Publish the span. When this returns, no process death can lose it."""
        try:
            context = span.get_span_context()
            if context is None or not context[3] & 1:
                return
            parent = span.parent
            self._publish(span, context[0], context[1], parent is None or parent[2])
        except Exception as exc:  # noqa: BLE001 - boundary to the app
            self._pipeline.failed("recording a span", exc)

    def _publish(self, span: ReadableSpan, trace_id: int, span_id: int, local_root: bool) -> None:
        spans = self._open
        self._pipeline.writer.notice_fork()
        if spans.is_foreign(span_id):
            self._pipeline.write_end(span, FLAG_PROVISIONAL)
            return
        last = spans.is_last(trace_id, span_id, local_root=local_root)
        self._pipeline.write_end(span, FLAG_COMPLETE if last else 0)
        # Only now does the count drop: another thread that then reaches zero finds this span published.
        if spans.closed(trace_id, span_id, local_root=local_root) and not last:
            self._pipeline.write_complete(trace_id)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until every record of this process is in SQLite.

        Returns:
            False when that did not happen in time, or a record was dropped since the last call.
        """
        return self._flush(timeout_millis)

    def shutdown(self) -> None:
        """Wait a bounded moment for the store; nothing is lost if it is late.

        What ends later is recorded all the same: spans end in atexit handlers, finalisers and daemon
        threads after the SDK's own atexit handler has called this.
        """
        if not self._stopped:
            self._stopped = True
            self._flush(SHUTDOWN_FLUSH_MS)
            self._pipeline.writer.seal()


SHUTDOWN_FLUSH_MS = 500
"""Exit takes at most a second in all; what is not in SQLite by then is in the spool all the same."""
