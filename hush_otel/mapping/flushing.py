"""A whole request → the `flush_data` of the seed's tracers (see `tracers.BaseTracer`).

    execution_order   [{node, parent, context_id, contain_generation}, …], as executed
    nodes_trace_data  {"node" or "node:context_id": {name, start_time, end_time, input, output, …}, …}

The seed knows a node by its name and context alone. Where two have the same, as spans of OTel often do, the
later ones are called ``name#2``, ``name#3`` … in both, and by their children.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from hush_otel.mapping.dialects.content import INPUT, INSTRUCTIONS, OUTPUT, content_key, input_of
from hush_otel.mapping.dialects.event_messages import attributes_told
from hush_otel.model import AttributeValue, RowFacts, SpanData, SpanFacts, SpanState, WholeRequest

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ERROR: Final = 2


class _Node(msgspec.Struct):
    """The columns of a node trace; of a span of OTel only the name is its own."""

    node_name: str
    node_type: str | None = None
    parent_name: str | None = None
    context_id: str | None = None
    execution_order: int | None = None
    start_time: Any = None
    end_time: Any = None
    duration_ms: Any = None
    contain_generation: int = 0
    metadata: str | None = None


_DECODE_NODE: Final = msgspec.json.Decoder(_Node)


def flush_data(request: WholeRequest, tracer_type: str, tracer_config: Mapping[str, Any]) -> dict[str, Any]:
    """What a tracer's `flush` is given.

    Args:
        request: The request.
        tracer_type: As the mark or the destination named it.
        tracer_config: With its secrets.
    """
    nodes = [_node(span, row) for span, row in zip(request.spans, request.rows, strict=True)]
    names = _Names(request.spans, nodes)
    order = sorted(range(len(nodes)), key=lambda place: _when(nodes[place], request.spans[place]))
    for place in order:
        names.give(place)
    keys = [names.key(place) for place in range(len(nodes))]
    return {
        "tracer_type": tracer_type,
        "tracer_config": dict(tracer_config),
        "request_id": request.request_id,
        "workflow_name": request.facts.workflow_name,
        "user_id": request.facts.user_id,
        "session_id": request.facts.session_id,
        "tags": list(request.facts.tags),
        "is_delta": request.is_delta,
        "new_nodes": [keys[place] for place in order if request.rows[place].is_new],
        "execution_order": [
            {
                "node": names.given[place],
                "parent": names.parent(place),
                "context_id": nodes[place].context_id,
                "contain_generation": bool(nodes[place].contain_generation),
            }
            for place in order
        ],
        "nodes_trace_data": {
            keys[place]: _trace_data(request.spans[place], request.rows[place], nodes[place])
            for place in order
        },
    }


def _node(span: SpanData, row: RowFacts) -> _Node:
    if row.node is not None:
        return _DECODE_NODE.decode(row.node)
    return _Node(
        span.name,
        node_type=span.facts.node_type,
        start_time=_iso(span.start_ns),
        end_time=_iso(span.end_ns),
        duration_ms=(span.end_ns - span.start_ns) / 1e6,
        contain_generation=span.facts.node_type in ("llm", "embedding"),
    )


def _when(node: _Node, span: SpanData) -> tuple[bool, int, int]:
    """Nodes as their workflow numbered them, then spans as they began."""
    return node.execution_order is None, node.execution_order or 0, span.start_ns


def _iso(time_ns: int) -> str:
    """64 bits of nanoseconds are within the calendar."""
    moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class _Names:
    """What each node is called: `give` one after the other, then ask."""

    def __init__(self, spans: list[SpanData], nodes: list[_Node]) -> None:
        self._spans = spans
        self._nodes = nodes
        self._places = {span.span_id: place for place, span in enumerate(spans)}
        self._own = {(node.node_name, node.context_id) for node in nodes}
        self._taken: dict[tuple[str, str | None], int] = {}
        self.given: dict[int, str] = {}

    def give(self, place: int) -> None:
        """Name one; the first of several keeps its name."""
        node = self._nodes[place]
        key = (node.node_name, node.context_id)
        count = self._taken.get(key, 0) + 1
        while count > 1 and (f"{node.node_name}#{count}", node.context_id) in self._own:
            count += 1
        self._taken[key] = count
        self.given[place] = node.node_name if count == 1 else f"{node.node_name}#{count}"

    def key(self, place: int) -> str:
        """Of `nodes_trace_data`."""
        context_id = self._nodes[place].context_id
        return f"{self.given[place]}:{context_id}" if context_id else self.given[place]

    def parent(self, place: int) -> str | None:
        """The node above; a node trace's as its workflow named it, when that one is not there."""
        named, node_id = self._nodes[place].parent_name, self._spans[place].parent_span_id
        above = None if node_id is None else self._places.get(node_id)
        if above is None or named not in (None, self._nodes[above].node_name):
            return named
        return self.given[above]


def _trace_data(span: SpanData, row: RowFacts, node: _Node) -> dict[str, Any]:
    said = attributes_told(span)
    data = {
        "name": span.name,
        "start_time": node.start_time,
        "end_time": node.end_time,
        "duration_ms": node.duration_ms,
        "input": _input(said),
        "output": _content(said, OUTPUT, "output.mime_type"),
        "model": span.facts.model,
        "usage": _usage(span.facts),
        "cost": span.facts.cost_usd,
        "metadata": _metadata(node, span),
        "node_type": node.node_type,
        "error": span.status_message if span.status_code == _ERROR else None,
        "interrupted": row.state == SpanState.INTERRUPTED,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": None if span.parent_span_id is None else span.parent_span_id.hex(),
    }
    if row.node is None:
        data["attributes"] = span.attributes
    return data


def _input(attributes: Mapping[str, AttributeValue]) -> AttributeValue:
    """Instructions that stand apart go before a list of messages."""
    found = _content(attributes, INPUT, "input.mime_type")
    if INSTRUCTIONS not in attributes or not (found == {} or isinstance(found, list)):
        return found
    return _parsed(input_of(attributes) or "{}")


def _content(
    attributes: Mapping[str, AttributeValue], keys: tuple[str, ...], mime_type: str
) -> AttributeValue:
    """What the first of the keys holds, out of its JSON; an empty object when there is nothing."""
    key = content_key((key for key in keys if attributes.get(key) is not None), keys)
    if key is None:
        return {}
    value = attributes[key]
    is_json = key != keys[0] or attributes.get(mime_type) == "application/json"
    return _parsed(value) if is_json and isinstance(value, str) else value


def _parsed(text: str) -> AttributeValue:
    try:
        parsed: AttributeValue = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return parsed


def _usage(facts: SpanFacts) -> dict[str, int] | None:
    counts = {
        "prompt_tokens": facts.prompt_tokens,
        "completion_tokens": facts.completion_tokens,
        "total_tokens": facts.total_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None} or None


def _metadata(node: _Node, span: SpanData) -> AttributeValue:
    text = node.metadata or span.attributes.get("metadata")
    return _parsed(text) if isinstance(text, str) else {} if text is None else text
