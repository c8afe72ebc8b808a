"""The span exporter, for use behind the SDK's own processors: safe when `export` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from hush_otel.model import Destination
from hush_otel.records import FLAG_COMPLETE
from hush_otel.signalled import let_through
from hush_otel.spool.writer import SpoolWriter

from .metrics import Kind, register
from .pipeline import SpanPipeline
from .processor import flush_at_shutdown


class SpoolingSpanExporter(SpanExporter):
    """Publishes batches of finished spans. Does not retry, block or raise.

    Args: as of SpoolingSpanProcessor.
    """

    def __init__(
        self, writer: SpoolWriter, destinations: Sequence[Destination], *, flush: Callable[[int], bool]
    ) -> None:
        self._pipeline = SpanPipeline(writer, destinations)
        self._flush = flush
        self._stopped = False
        register(Kind.EXPORTER, self._pipeline)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Publish each span; SUCCESS when every one of them is safe.

        A local root completes its request: spans arrive in the order in which they ended, and
        what comes later is delivered as a delta.
        """
        if self._stopped:
            return SpanExportResult.FAILURE
        safe = True
        for span in spans:
            try:
                parent = span.parent
                root = parent is None or parent.is_remote
                safe = self._pipeline.write_end(span, FLAG_COMPLETE if root else 0) and safe
            except Exception as exc:  # noqa: BLE001 - boundary to the app
                let_through(exc)
                self._pipeline.failed_end(exc)
                safe = False
        return SpanExportResult.SUCCESS if safe else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until every record of this process is in SQLite; see the processor."""
        return self._flush(timeout_millis)

    def shutdown(self) -> None:
        """Refuse further spans."""
        if not self._stopped:
            self._stopped = True
            flush_at_shutdown(self._flush)
            self._pipeline.writer.seal()
