"""Records to rows of hush_spans: JSON for people, a typed copy only where JSON cannot carry the types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hush_otel import records
from hush_otel.mapping.jsontext import encode_json, json_text
from hush_otel.mapping.media import MEDIA_ATTRIBUTE, File, references
from hush_otel.mapping.nodes import NodeTrace, is_generation, node_columns, node_key, promoted_of, span_fields
from hush_otel.mapping.prices import with_cost
from hush_otel.mapping.semconv import Promoted
from hush_otel.model import FLAGS_HAS_IS_REMOTE, AttributeValue, SpanState

MAX_INT: Final = (1 << 63) - 1
_PACK: Final = msgspec.msgpack.Encoder()


class SpanRow:
    """One row of hush_spans and what the roll-up needs of it."""

    __slots__ = (
        "key", "large", "media", "promoted", "repeats", "root_name", "values", "workflow_name", "writer_id",
    )  # fmt: skip

    def __init__(self, key: bytes, promoted: Promoted, writer_id: bytes) -> None:
        self.key: bytes = key
        self.promoted: Promoted = promoted
        self.writer_id: bytes = writer_id
        self.large: dict[str, str] = {}
        self.media: Sequence[File] = ()
        self.repeats: int | None = None
        self.values: tuple[Any, ...] = ()
        self.root_name: str | None = None
        self.workflow_name: str | None = promoted.workflow_name


# Positions in `values`, in the order of the statement insert_span.
PARENT: Final = 2
REQUEST: Final = 3
ROUTE: Final = 5
STATE: Final = 6
END_SEQ: Final = 7
START_NS: Final = 11
END_NS: Final = 12
STATUS_CODE: Final = 13
STATUS_MESSAGE: Final = 14
EVENTS: Final = 17
COST: Final = 25
REPEATS: Final = 30
NODE: Final = 31
ATTRIBUTES: Final = 16
EXACT: Final = 20
LARGE: Final = 34
TITLE: Final = 35

LARGE_TEXT_CHARS: Final = 16 * 1024
"""Longer texts of attributes are stored apart, each once. A few pages: usual prompts stay in their row."""


APART: Final = 1
"""In the column `large`: some attributes lie in hush_span_payloads."""
WITH_MEDIA: Final = 2
"""In the column `large`: files lie in hush_span_media."""


def set_apart(row: SpanRow, attributes: dict[Any, Any]) -> None:
    """Take long texts out of a row, into `large`. Not where a typed copy holds them anyway."""
    if row.media:
        row.values = (*row.values[:LARGE], WITH_MEDIA, row.values[TITLE])
    values = row.values
    if len(values[ATTRIBUTES]) <= LARGE_TEXT_CHARS or values[EXACT] is not None:
        return
    row.large = {
        key: text for key, text in attributes.items() if type(text) is str and len(text) > LARGE_TEXT_CHARS
    }
    if row.large:
        rest = {key: value for key, value in attributes.items() if key not in row.large}
        shown, _ = encode_json(rest)
        flags = APART | (values[LARGE] or 0)
        row.values = (*values[:ATTRIBUTES], shown, *values[ATTRIBUTES + 1 : LARGE], flags, values[TITLE])


def repeat(row: SpanRow) -> None:
    """A row of a model call, ready to be written, repeats another: a cost that was computed for it goes."""
    row.repeats = 1
    cost: tuple[Any, ...] = row.values[COST : COST + 2]
    if row.promoted.cost_source is not None:
        cost = (None, None)
    row.values = (
        *row.values[:COST],
        *cost,
        *row.values[COST + 2 : REPEATS],
        row.repeats,
        *row.values[REPEATS + 1 :],
    )


def content_columns(
    attributes: dict[Any, Any], events: list[list[Any]], links: list[list[Any]]
) -> tuple[str, str | None, str | None, bytes | None]:
    """attributes, events, links as JSON, and the msgpack copy of all three where JSON is not exact."""
    attributes_json, exact = encode_json(attributes)
    events_json = links_json = None
    if events:
        events = [_plain_event(*event) for event in events]
        shown = [
            {"name": name, "time_ns": time_ns, "attributes": values, "dropped_attributes": dropped}
            for name, time_ns, values, dropped in events
        ]
        events_json, events_exact = encode_json(shown)
        exact = exact and events_exact
    if links:
        links_json, links_exact = encode_json([_shown_link(*link) for link in links])
        exact = exact and links_exact
    copy = None if exact else _PACK.encode([attributes, events, links])
    return attributes_json, events_json, links_json, copy


def _plain_event(name: Any, time_ns: Any, attributes: dict[Any, Any], dropped: int) -> list[Any]:
    """The SDK does not look at an event's name and time; readers of the store rely on their types."""
    return [as_text(name) or "", _bounded(time_ns), attributes, dropped]


def _shown_link(
    trace_id: bytes, span_id: bytes, trace_state: str, flags: int, attributes: dict[Any, Any], dropped: int
) -> dict[str, object]:
    return {
        "trace_id": trace_id.hex(),
        "span_id": span_id.hex(),
        "trace_state": trace_state,
        "flags": flags,
        "attributes": attributes,
        "dropped_attributes": dropped,
    }


def end_values(
    record: records.End, row: SpanRow, place: tuple[int, int, int, int | None], end_seq: int, now: float
) -> tuple[Any, ...]:
    """The row of a span that ended. `place` is (trace, request, origin, route)."""
    trace, request, origin, route = place
    promoted = row.promoted
    extra = record.extra
    events = links = dropped = trace_state = None
    if extra is None:
        attributes, is_exact = encode_json(record.attributes)
        exact = None if is_exact else _PACK.encode([record.attributes, [], []])
    else:
        attributes, events, links, exact = content_columns(record.attributes, extra.events, extra.links)
        counts = (extra.dropped_attributes, extra.dropped_events, extra.dropped_links)
        dropped = f"[{counts[0]},{counts[1]},{counts[2]}]" if any(counts) else None
        trace_state = extra.trace_state or None
    start_ns, end_ns = record.start_ns, record.end_ns
    return (
        trace,
        record.span_id,
        record.parent_span_id,
        request,
        origin,
        route,
        _ENDED,
        end_seq,
        record.flags & records.FLAGS_OTLP_MASK,
        as_text(record.name) or "",
        record.kind,
        start_ns if type(start_ns) is int and 0 <= start_ns <= MAX_INT else _bounded(start_ns),
        end_ns if type(end_ns) is int and 0 <= end_ns <= MAX_INT else _bounded(end_ns),
        record.status_code,
        as_text(record.status_message),
        trace_state,
        attributes,
        events,
        links,
        dropped,
        exact,
        promoted.model,
        promoted.prompt_tokens,
        promoted.completion_tokens,
        promoted.total_tokens,
        promoted.cost_usd,
        promoted.cost_source,
        promoted.user_id,
        promoted.session_id,
        promoted.node_type,
        row.repeats,
        None,
        None,
        now,
        None,
        promoted.title,
    )


_ENDED: Final = SpanState.ENDED.value


def end_columns(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """What an end changes of the row that its start has made, in the order of the statement end_span."""
    return (values[REQUEST], *values[ROUTE:NODE], *values[LARGE:])


def start_values(
    record: records.Start, promoted: Promoted, place: tuple[int, int, int, int | None], now: float
) -> tuple[Any, ...]:
    """The row of a span that has only started."""
    trace, request, origin, route = place
    attributes, _, _, exact = content_columns(record.attributes, [], [])
    nothing = (None,) * 3
    return (
        trace,
        record.span_id,
        record.parent_span_id,
        request,
        origin,
        route,
        SpanState.RUNNING.value,
        None,
        record.flags & records.FLAGS_OTLP_MASK,
        as_text(record.name) or "",
        record.kind,
        _bounded(record.start_ns),
        None,
        0,
        None,
        record.trace_state or None,
        attributes,
        *nothing,
        exact,
        promoted.model,
        *nothing,
        None,
        None,
        promoted.user_id,
        promoted.session_id,
        promoted.node_type,
        None,
        None,
        None,
        now,
        None,
        promoted.title,
    )


class NodeRow:
    """A node trace on its way to a row: its span fields are ready, its span id is not chosen yet."""

    __slots__ = ("content", "fields", "key", "media", "node", "promoted")

    def __init__(self, node: NodeTrace, received_ns: int, media: Sequence[File] = ()) -> None:
        self.node = node
        self.media = media
        self.key = node_key(node.node_name, node.context_id)
        self.fields = span_fields(node, received_ns)
        self.promoted = promoted_of(node)
        if is_generation(node):
            self.promoted = with_cost(self.promoted, self.fields.attributes, self.fields.start_ns)
        if media:
            self.fields.attributes[MEDIA_ATTRIBUTE] = json_text(references(media))
        self.content = content_columns(self.fields.attributes, [], [])

    def values(
        self, span_id: bytes, place: tuple[int, int, int, int | None], end_seq: int, now: float
    ) -> tuple[Any, ...]:
        """The row, once the span id is known."""
        trace, request, origin, route = place
        fields, promoted = self.fields, self.promoted
        attributes, events, links, exact = self.content
        return (
            trace,
            span_id,
            None,  # parents are found when the request is queued: children end first
            request,
            origin,
            route,
            SpanState.ENDED.value,
            end_seq,
            FLAGS_HAS_IS_REMOTE | 1,
            fields.name,
            fields.kind,
            fields.start_ns,
            fields.end_ns,
            fields.status_code,
            fields.status_message or None,
            None,
            attributes,
            events,
            links,
            None,
            exact,
            promoted.model,
            promoted.prompt_tokens,
            promoted.completion_tokens,
            promoted.total_tokens,
            promoted.cost_usd,
            promoted.cost_source,
            promoted.user_id,
            promoted.session_id,
            promoted.node_type or ("llm" if is_generation(self.node) else None),
            None,
            node_columns(self.node),
            self.key,
            now,
            None,
            None,
        )


def _bounded(value: Any) -> int:
    """A time in nanoseconds as SQLite can hold it; 0 when the app gave none that is a number."""
    if not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124 - NaN
        return 0
    return int(min(max(value, -MAX_INT), MAX_INT))


def as_text(value: Any) -> str | None:
    """What the app gave where the SDK expects text."""
    return value if value is None or isinstance(value, str) else str(value)


def origin_columns(record: records.OriginRecord) -> tuple[str, str, str, bytes | None]:
    """resource, its schema URL, scope, and the typed copy of resource and scope attributes."""
    resource, exact = encode_json(record.resource)
    scope, scope_exact = encode_json(
        {
            "name": record.scope_name,
            "version": record.scope_version,
            "schema_url": record.scope_schema_url,
            "attributes": record.scope_attributes,
        }
    )
    copy = None if exact and scope_exact else _PACK.encode([record.resource, record.scope_attributes])
    return resource, record.resource_schema_url, scope, copy


Attributes = dict[str, AttributeValue]
