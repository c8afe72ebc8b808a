"""The span processor: every span that ends is safe on disk before `on_end` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from hush_otel.model import Destination
from hush_otel.records import FLAG_COMPLETE, FLAG_PROVISIONAL
from hush_otel.signalled import came_by_signal, let_through
from hush_otel.spool.process import on_fork, run_fork_hooks
from hush_otel.spool.writer import SpoolWriter

from .metrics import Kind, register
from .open_spans import OpenSpans
from .pipeline import SpanPipeline
from .spans import context_and_parent, public_context_and_parent


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
        self._writer = writer
        self._pipeline = SpanPipeline(writer, destinations)
        self._open = OpenSpans()
        # Bound once: each look-up through two objects costs as much as a call.
        self._opened, self._is_last = self._open.opened, self._open.is_last
        self._closed, self._forget = self._open.closed, self._open.forget
        self._unsaid = self._open.unsaid
        self._write_start, self._write_end = self._pipeline.write_start, self._pipeline.write_end
        self._live = live
        self._flush = flush
        self._stopped = False
        on_fork(self._open)
        register(Kind.PROCESSOR, self._pipeline)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Count the span as open; publish its start when live."""
        try:
            if not self._writer.fork_page[0]:
                run_fork_hooks()  # before it is counted: what is open after a fork is the parent's
            try:
                context, _ = context_and_parent(span)
            except AttributeError:
                context, _ = public_context_and_parent(span)
            if context is None or not context[3] & 1:
                return  # only sampled spans are exported (specification, trace/sdk.md, Sampled)
            self._opened(context[0], context[1])
            if self._live:
                self._write_start(span)
        except Exception as exc:
            if came_by_signal(exc):
                self._forsake(span)
                raise
            self._pipeline.failed("recording the start of a span", exc)
        except BaseException:
            self._forsake(span)
            raise

    def on_end(self, span: ReadableSpan) -> None:
        """Publish the span. When this returns, no process death can lose it."""
        try:
            try:
                context, parent = context_and_parent(span)
            except AttributeError:
                context, parent = public_context_and_parent(span)
            if context is None or not context[3] & 1:
                return
            if not self._writer.fork_page[0]:
                run_fork_hooks()
            trace_id, span_id = context[0], context[1]
            if self._open.foreign and span_id in self._open.foreign:
                self._write_end(span, FLAG_PROVISIONAL)
                return
            local_root = parent is None or parent[2]
            if self._is_last(trace_id, span_id, local_root):
                safe = self._write_end(span, FLAG_COMPLETE) or self._open.not_said(trace_id)
                self._forget(trace_id, None)
            else:
                safe = self._write_end(span, 0)
                # The count drops only now: another thread that then reaches zero finds it published.
                if self._closed(trace_id, span_id, local_root) and not self._pipeline.write_complete(
                    trace_id
                ):
                    self._open.not_said(trace_id)
            if self._unsaid and safe:
                self._say_what_is_complete()
        except Exception as exc:  # noqa: BLE001 - boundary to the app
            self._forsake(span)
            let_through(exc)
            self._pipeline.failed_end(exc)
        except BaseException:
            self._forsake(span)
            raise

    def _say_what_is_complete(self) -> None:
        """Records get through again: complete the traces whose last record did not.

        Their requests would be seen as running, and not be delivered, for as long as this process lives.
        """
        for trace_id in list(self._unsaid):
            if not self._pipeline.write_complete(trace_id):
                return
            self._unsaid.pop(trace_id, None)

    def _forsake(self, span: ReadableSpan) -> None:
        """Its record has failed, or a signal handler raised amid it: its trace must not stay open."""
        try:
            context, parent = public_context_and_parent(span)
            if context is None or context.span_id in self._open.foreign:
                return
            trace_id, local_root = context.trace_id, parent is None or parent.is_remote
            if self._closed(trace_id, context.span_id, local_root):
                self._open.not_said(trace_id)
        except Exception as exc:  # noqa: BLE001 - a strange span, never counted; the first error is said
            let_through(exc)

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
            flush_at_shutdown(self._flush)
            self._writer.seal()


SHUTDOWN_FLUSH_MS: Final = 500
"""Exit takes at most a second in all; what is not in SQLite by then is in the spool all the same."""
ONE_EXIT_S: Final = 2.0
"""Shutdowns that follow one another within this long are one exit of the application."""


class _Exit:
    """All processors and exporters of a process share SHUTDOWN_FLUSH_MS at its exit."""

    left_s = 0.0
    ended = -ONE_EXIT_S  # the last shutdown, by the monotonic clock


def flush_at_shutdown(flush: Callable[[int], bool]) -> None:
    """Wait for the store, for what is left of this exit's time."""
    began = monotonic()
    if began >= _Exit.ended + ONE_EXIT_S:
        _Exit.left_s = SHUTDOWN_FLUSH_MS / 1000
    try:
        flush(int(_Exit.left_s * 1000))
    finally:
        _Exit.ended = monotonic()
        _Exit.left_s = max(_Exit.left_s - (_Exit.ended - began), 0.0)
