"""Typed spans with the iterations that they belong to: made when rows are read, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from hush_otel.mapping.iterations import (
    Grouping,
    Iteration,
    IterationNode,
    LoopContent,
    group_iterations,
    loop_content,
)
from hush_otel.mapping.jsontext import json_text
from hush_otel.model import AttributeValue, SpanData, SpanFacts

from .outbox import Delivery
from .spans import ALL, SQL, Batch, SpanReader, stored_content
from .stretches import Place

INTERNAL: Final = 1
"""OTLP's span kind."""


class IterationReader(SpanReader):
    """A SpanReader that puts nodes of a loop's pass below a span for that pass.

    Such a span goes with the first of its nodes (`SpanData.iteration`). The nodes of a request are looked at
    once for all spans of it that are read at a time.
    """

    _of_trace: tuple[bytes, Grouping] | None = None

    def read_batch(self, deliveries: Iterable[Delivery], *, facts: bool = True) -> Batch:
        """As `SpanReader.read_batch`, with iterations, which are made of facts."""
        self._begin()
        return super().read_batch(deliveries, facts=facts)

    def _read(
        self, numbers: Sequence[int], between: tuple[int, int] = ALL, *, facts: bool
    ) -> tuple[list[SpanData], list[Place]]:
        spans, places = super()._read(numbers, between, facts=facts)
        for span in spans if facts else ():
            self._place(span)
        return spans, places

    def _begin(self) -> None:
        """Trust nothing that was read before."""
        self._of_trace = None
        self._contents: dict[bytes, LoopContent] = {}

    def _place(self, span: SpanData) -> None:
        if span.facts.context_id is None:
            return
        grouping = self._grouping(span.trace_id)
        group = grouping.of_node.get(span.span_id)
        if group is None:
            return
        span.parent_span_id = group.span_id
        if span.span_id in grouping.by_carrier:
            span.iteration = self._span_of(group, span)

    def _grouping(self, trace_id: bytes) -> Grouping:
        if self._of_trace is None or self._of_trace[0] != trace_id:
            rows = self._connection.execute(SQL["nodes_of_trace"], (trace_id,))
            self._of_trace = trace_id, group_iterations([IterationNode(*row) for row in rows])
            self._contents = {}
        return self._of_trace[1]

    def _span_of(self, group: Iteration, carrier: SpanData) -> SpanData:
        content = self._content_of(carrier.trace_id, group.loop_id)
        return msgspec.structs.replace(
            carrier,
            span_id=group.span_id,
            parent_span_id=group.loop_id,
            name=group.name,
            kind=INTERNAL,
            start_ns=group.start_ns,
            end_ns=group.end_ns,
            status_code=0,
            status_message="",
            attributes=_attributes(group, carrier, content),
            events=[],
            links=[],
            dropped_attributes=0,
            dropped_events=0,
            dropped_links=0,
            facts=SpanFacts(node_type="chain", request=carrier.facts.request),
            iteration=None,
        )

    def _content_of(self, trace_id: bytes, loop_id: bytes) -> LoopContent:
        found = self._contents.get(loop_id)
        if found is None:
            row = self._connection.execute(SQL["node_content"], (trace_id, loop_id)).fetchone()
            attributes = self._with_payloads(stored_content(*row[:4])[0], *row[4:6])
            values = (_value(attributes.get(key)) for key in ("input.value", "output.value", "metadata"))
            found = self._contents[loop_id] = loop_content(*values)
        return found


def _value(text: AttributeValue) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _attributes(group: Iteration, carrier: SpanData, content: LoopContent) -> dict[str, AttributeValue]:
    """No key that a vendor would count: what is rolled up is its nodes' already."""
    attributes: dict[str, AttributeValue] = {
        "hush.request_id": carrier.request_id,
        "hush.context_id": group.context_id,
        "hush.iteration.of": group.loop_name,
        "openinference.span.kind": "CHAIN",
    }
    rolled = {
        "hush.iteration.prompt_tokens": group.prompt_tokens,
        "hush.iteration.completion_tokens": group.completion_tokens,
        "hush.iteration.total_tokens": group.total_tokens,
        "hush.iteration.cost_usd": group.cost_usd,
    }
    attributes.update((key, value) for key, value in rolled.items() if value is not None)
    for side, value in (("input", content.input_of(group.index)), ("output", content.output_of(group.index))):
        if value is not None:
            attributes[f"{side}.value"] = json_text(value)
            attributes[f"{side}.mime_type"] = "application/json"
    return attributes
