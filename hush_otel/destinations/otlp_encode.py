"""Spans to one OTLP request, as protobuf.

The fast path checks nothing: `otlp_wire` raises at what the format cannot carry. Only then is the span
repaired and written again, so that no span ever fails to encode.

Source: opentelemetry-proto v1.x `trace_service.proto`, `trace.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

from hush_otel.destinations import otlp_wire as wire
from hush_otel.destinations.otlp_repair import repaired_origin, repaired_span
from hush_otel.model import Origin, SpanData

_UNFIT: Final = (ValueError, TypeError, AttributeError, struct.error)
"""What writing a value raises that protobuf cannot carry."""

_RESOURCE_SPANS: Final = b"\x0a"
"""Field 1 of ExportTraceServiceRequest."""
_SCOPE_SPANS: Final = b"\x12"
"""Field 2 of ResourceSpans."""

_Content: TypeAlias = tuple[bytes, bytes]
"""A serialised resource or scope, and its schema URL. Unlike dict equality it tells 1, 1.0 and True apart."""


def encode(spans: Sequence[SpanData]) -> bytes:
    """One serialised ExportTraceServiceRequest: a ResourceSpans for each resource, in it one for each scope.

    Spans keep their order within each scope. Never raises for the content of spans (`otlp_repair` says what
    becomes of it). Ids are sent as given.
    """
    scopes = _Scopes()
    targets: dict[int, list[bytes]] = {}
    for span in spans:
        target = targets.get(id(span.origin))
        if target is None:
            target = targets[id(span.origin)] = scopes.find(span.origin)
        try:
            wire.write_span(target, span)
        except _UNFIT:
            wire.write_span(target, repaired_span(span))
    return scopes.request()


class _Scopes:
    """The spans of each scope of each resource, by content: equal origins that are two objects share one."""

    def __init__(self) -> None:
        self._resources: dict[_Content, dict[_Content, list[bytes]]] = {}

    def find(self, origin: Origin) -> list[bytes]:
        """Where spans of this origin are written to."""
        try:
            return self._find(origin)
        except _UNFIT:
            return self._find(repaired_origin(origin))

    def _find(self, origin: Origin) -> list[bytes]:
        resource = wire.resource(origin), wire.schema_url(origin.resource_schema_url)
        scope = wire.scope(origin), wire.schema_url(origin.scope_schema_url)
        return self._resources.setdefault(resource, {}).setdefault(scope, [])

    def request(self) -> bytes:
        """All of it."""
        return b"".join(
            wire.record(
                _RESOURCE_SPANS,
                [
                    resource,
                    *(
                        wire.record(_SCOPE_SPANS, [scope, *spans, url])
                        for (scope, url), spans in scopes.items()
                    ),
                    resource_url,
                ],
            )
            for (resource, resource_url), scopes in self._resources.items()
        )
