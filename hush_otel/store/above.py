"""Typed spans with those above them that no row stands for: made when rows are read, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

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
from hush_otel.mapping.missing_root import MissingRoot, missing_root
from hush_otel.model import AttributeValue, SpanData, SpanFacts

from .outbox import Delivery
from .spans import ALL, SQL, Batch, SpanReader, stored_content
from .stretches import Place

INTERNAL: Final = 1
"""OTLP's span kind."""


ORPHAN: Final = "hush.orphan"


class _Trace(NamedTuple):
    id: bytes
    grouping: Grouping
    root: MissingRoot | None


class AboveReader(SpanReader):
    """A SpanReader that puts nodes of a loop's pass below a span for that pass, and orphans below a root.

    Such a span goes with the first of its nodes (`SpanData.above`). The nodes of a request are looked at once
    for all spans of it that are read at a time.
    """

    _of_trace: _Trace | None = None

    def read_batch(self, deliveries: Iterable[Delivery], *, facts: bool = True) -> Batch:
        """As `SpanReader.read_batch`, with those above, which are made of facts."""
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
        if span.parent_span_id is None and ORPHAN in span.attributes:
            self._hang_below_root(span)
        elif span.facts.context_id is not None:
            self._hang_below_pass(span)

    def _hang_below_root(self, span: SpanData) -> None:
        root = self._trace(span.trace_id).root
        if root is None:
            return
        span.parent_span_id = root.span_id
        if span.span_id == root.carrier:
            span.above = _root_span(root, span)

    def _hang_below_pass(self, span: SpanData) -> None:
        grouping = self._trace(span.trace_id).grouping
        group = grouping.of_node.get(span.span_id)
        if group is None:
            return
        span.parent_span_id = group.span_id
        if span.span_id in grouping.by_carrier:
            content = self._content_of(span.trace_id, group.loop_id)
            span.above = _pass_span(group, span, content)

    def _trace(self, trace_id: bytes) -> _Trace:
        if self._of_trace is None or self._of_trace.id != trace_id:
            rows = self._connection.execute(SQL["nodes_of_trace"], (trace_id,))
            nodes = [IterationNode(*row) for row in rows]
            self._of_trace = _Trace(trace_id, group_iterations(nodes), missing_root(trace_id, nodes))
            self._contents = {}
        return self._of_trace

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


def _pass_span(group: Iteration, carrier: SpanData, content: LoopContent) -> SpanData:
    attributes = _pass_attributes(group, carrier, content)
    return _made(carrier, group, group.loop_id, group.name, attributes)


def _root_span(root: MissingRoot, carrier: SpanData) -> SpanData:
    workflow = carrier.facts.request.workflow_name or carrier.name
    attributes: dict[str, AttributeValue] = {
        "hush.request_id": carrier.request_id,
        "hush.workflow_name": workflow,
        "hush.missing_root": True,
        "openinference.span.kind": "CHAIN",
    }
    return _made(carrier, root, None, workflow, attributes)


def _made(
    carrier: SpanData,
    of: Iteration | MissingRoot,
    parent: bytes | None,
    name: str,
    attributes: dict[str, AttributeValue],
) -> SpanData:
    """A span that no row stands for: its origin and trace are those of the node that carries it."""
    return msgspec.structs.replace(
        carrier,
        span_id=of.span_id,
        parent_span_id=parent,
        name=name,
        kind=INTERNAL,
        start_ns=of.start_ns,
        end_ns=of.end_ns,
        status_code=0,
        status_message="",
        attributes=attributes,
        events=[],
        links=[],
        dropped_attributes=0,
        dropped_events=0,
        dropped_links=0,
        facts=SpanFacts(node_type="chain", request=carrier.facts.request),
        above=None,
    )


def _pass_attributes(group: Iteration, carrier: SpanData, content: LoopContent) -> dict[str, AttributeValue]:
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
