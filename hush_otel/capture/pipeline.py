"""From a span to the spool, for processor and exporter alike: encode, intern its origin, append."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, Span

from hush_otel import records
from hush_otel.codec import ENCODER, MAX_RECORD_BYTES, encode
from hush_otel.diagnostics import swallow
from hush_otel.model import Destination
from hush_otel.secrets import with_fingerprints
from hush_otel.signalled import let_through
from hush_otel.spool.process import on_fork
from hush_otel.spool.writer import SpoolWriter

from .spans import end_record, origin_record, start_record

_encode = ENCODER.encode

CACHED_ORIGINS: Final = 1000
"""Scopes known by identity. An app that asks for a tracer in every request makes a new one each time."""


class SpanPipeline:
    """Writes spans for one set of destinations. Thread-, signal- and fork-safe; never raises.

    Args:
        writer: This process's way into the spool.
        destinations: Where the spans captured here are delivered; empty: stored only.
    """

    def __init__(self, writer: SpoolWriter, destinations: Sequence[Destination]) -> None:
        self.writer = writer
        place = str(writer.directory.path)
        self._destinations = [with_fingerprints(one.as_record(), place) for one in destinations]
        self._append = writer.append
        self.published = 0
        """Ended spans that are safe. No lock: nothing comes between reading and writing it under the GIL."""
        self.lost: dict[str, int] = {}
        """Ended spans that are not, by reason."""
        on_fork(self)
        self._origins: dict[tuple[int, int], tuple[int, Any, Any]] = {}
        self._last: tuple[int, Any, Any] = (0, self, self)

    def write_end(self, span: ReadableSpan, flags: int) -> bool:
        """Publish a finished span."""
        last = self._last
        try:
            # `_origin_of` without the call, for most: this is the hot path.
            same = last[1] is span._resource and last[2] is span._instrumentation_scope
            origin = last[0] if same else self._origin_of(span)
            payload = _encode(end_record(span, origin, flags))
        except Exception as exc:  # noqa: BLE001 - a strange value; the walk in encode() handles it
            let_through(exc)
            origin, payload = self._origin_of(span), b""
        if not 0 < len(payload) <= MAX_RECORD_BYTES:
            payload = self._encode_whatever(end_record(span, origin, flags))
        if self._append(payload, origin):
            self.published += 1
            return True
        self._count_lost(self.writer.drop_reason)
        return False

    def write_start(self, span: Span) -> bool:
        """Publish a span that has just started."""
        last = self._last
        try:
            same = last[1] is span._resource and last[2] is span._instrumentation_scope
            origin = last[0] if same else self._origin_of(span)
            payload = _encode(start_record(span, origin))
        except Exception as exc:  # noqa: BLE001 - as above
            let_through(exc)
            origin, payload = self._origin_of(span), b""
        if not 0 < len(payload) <= MAX_RECORD_BYTES:
            payload = self._encode_whatever(start_record(span, origin))
        return self._append(payload, origin)

    def write_complete(self, trace_id: int) -> bool:
        """Publish that this process has nothing open in a trace, and its local root has ended."""
        return self._append(_encode((records.COMPLETE, trace_id.to_bytes(16, "big"))), None)

    def _encode_whatever(self, record: tuple[Any, ...]) -> bytes:
        payload, cut = encode(record)
        if cut:
            self.writer.count_cut()
        return payload

    def _origin_of(self, span: ReadableSpan) -> int:
        """The interned index of a span's resource, scope and destinations.

        By identity: hashing a resource costs more than the rest of on_end. The last one first: most
        spans come from the same scope as the one before. The objects are kept, so that an id is
        never reused while it stands here.
        """
        try:
            resource, scope = span._resource, span._instrumentation_scope
        except AttributeError:
            resource, scope = span.resource, span.instrumentation_scope
        last = self._last
        if last[1] is resource and last[2] is scope:
            return last[0]
        found = self._origins.get((id(resource), id(scope)))
        if found is None:
            index = self.writer.definitions.intern(
                lambda i: encode(origin_record(i, resource, scope, self._destinations))[0]
            )
            if len(self._origins) >= CACHED_ORIGINS:
                self._origins.clear()
            found = self._origins[id(resource), id(scope)] = (index, resource, scope)
        self._last = found  # one reference: another thread sees the old one or the new one
        return found[0]

    def failed_end(self, exc: Exception) -> None:
        """The end of a span could not be published at all."""
        self._count_lost("error")
        self.failed("recording a span", exc)

    def _count_lost(self, reason: str) -> None:
        self.lost[reason] = self.lost.get(reason, 0) + 1

    def after_fork(self) -> None:
        """The child has recorded nothing."""
        self.published = 0
        self.lost = {}

    def failed(self, doing: str, exc: Exception) -> None:
        """A span could not be published at all: counted, said once a minute."""
        self.writer.count_error()
        swallow(doing, exc)
