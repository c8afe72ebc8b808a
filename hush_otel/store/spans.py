"""Stored rows as typed spans, for destinations. A connection of its own, read-only: any thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from hush_otel.mapping.nodes import root_span_id_of
from hush_otel.model import (
    NO_FACTS,
    AttributeValue,
    EventData,
    LinkData,
    Origin,
    RequestFacts,
    SpanData,
    SpanFacts,
    SpanState,
)

from .outbox import Delivery
from .rows import WITH_MEDIA
from .statements import load_statements
from .stretches import Place, Stretch

_OWN: Final = (
    "t.trace_id, s.span_id, s.parent_span_id, s.flags, s.trace_state, s.name, s.kind, s.start_ns, s.end_ns, "
    "s.status_code, s.status_message, s.attributes, s.events, s.links, s.dropped, s.exact, s.origin, "
    "s.state, s.large, s.id"
)
_OF_FACTS: Final = (
    "s.node IS NOT NULL, s.node_type, s.model, s.prompt_tokens, s.completion_tokens, "
    "s.total_tokens, s.cost_usd, s.user_id, s.session_id, s.node ->> 'context_id', s.repeats, "
    "s.cost_source IS NOT NULL, "
    "r.workflow_name, r.tags, r.marked_tags, r.user_id, r.session_id"
)
COLUMNS: Final = f"{_OWN}, {_OF_FACTS}"
SQL: Final = {name: text.replace("{columns}", COLUMNS) for name, text in load_statements("outbox").items()}
_PLAIN: Final = load_statements("outbox")["spans_of_deliveries"].replace("{columns}", _OWN)
"""Without what only dialects and passes of loops are made of: a third less to read."""
_PLACES: Final = load_statements("outbox")["spans_of_deliveries"].replace("{columns}", "s.id")
_FACTS_AT: Final = len(_OWN.split(", "))


class _Event(msgspec.Struct):
    name: str
    time_ns: int
    attributes: dict[str, Any] = {}
    dropped_attributes: int = 0


class _Link(msgspec.Struct):
    trace_id: str
    span_id: str
    trace_state: str = ""
    flags: int = 0
    attributes: dict[str, Any] = {}
    dropped_attributes: int = 0


class _Scope(msgspec.Struct):
    name: str = ""
    version: str = ""
    schema_url: str = ""
    attributes: dict[str, Any] = {}


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_EVENTS: Final = msgspec.json.Decoder(list[_Event])
_LINKS: Final = msgspec.json.Decoder(list[_Link])
_DROPPED: Final = msgspec.json.Decoder(tuple[int, int, int])
_SCOPE: Final = msgspec.json.Decoder(_Scope)
_TEXT: Final = msgspec.json.Decoder(str)
_TAGS: Final = msgspec.json.Decoder(list[str])
_EXACT: Final = msgspec.msgpack.Decoder(
    tuple[dict[Any, Any], list[list[Any]], list[list[Any]]], ext_hook=lambda *_: None
)
_EXACT_ORIGIN: Final = msgspec.msgpack.Decoder(
    tuple[dict[str, Any], dict[str, Any]], ext_hook=lambda *_: None
)


SHARED_METADATA_CHARS: Final = 4096
"""Of a request's metadata that stands on each of its spans. Longer ones stay on their node alone."""


READ_AT_ONCE: Final = 512
"""Spans of one delivery: as many as fit one request. What has more is read while it is sent."""
ALL: Final = (0, 2**62)
"""Before and above every end_seq."""


class Batch(NamedTuple):
    """Deliveries' spans, one delivery after the other, each's in the order in which they ended.

    `places` says of each span the delivery's number and the row's end_seq.
    """

    spans: Sequence[SpanData]
    places: list[Place]


class SpanReader:
    """Reads deliveries' spans. One thread at a time; `close()` when done."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=ro",
            uri=True,
            timeout=30.0,
            isolation_level=None,
            check_same_thread=False,
        )
        self._origins: dict[int, Origin] = {}
        self._request_key: tuple[str, bytes | None, tuple[Any, ...]] | None = None
        self._request_facts = RequestFacts()

    def read(self, deliveries: Iterable[Delivery]) -> list[SpanData]:
        """The spans of these deliveries, in the order of a `Batch`."""
        return [*self.read_batch(deliveries).spans]

    def read_batch(self, deliveries: Iterable[Delivery], *, facts: bool = True) -> Batch:
        """Their spans, and where each stands.

        Those of one large delivery are a `Stretch`, which reads by this reader until its next batch.

        Args:
            deliveries: Claimed ones.
            facts: Whether `SpanData.facts` are wanted.
        """
        found = [*deliveries]
        numbers = [delivery.id for delivery in found]
        if len(found) == 1 and found[0].span_count > READ_AT_ONCE:
            places = [row[-2:] for row in self._rows(_PLACES, numbers)]
            return Batch(Stretch(places, partial(self._read_again, facts=facts)), places)
        spans, places = self._read(numbers, facts=facts)
        return Batch(spans, places)

    def _read_again(self, places: Sequence[Place], *, facts: bool) -> list[SpanData]:
        """Those of one delivery; rows that have come between them since belong to a later one."""
        (number, first), (_, last) = places[0], places[-1]
        wanted = set(places)
        spans, found = self._read([number], (first - 1, last), facts=facts)
        return [span for span, place in zip(spans, found, strict=True) if place in wanted]

    def _read(
        self, numbers: Sequence[int], between: tuple[int, int] = ALL, *, facts: bool
    ) -> tuple[list[SpanData], list[Place]]:
        spans, places = [], []
        for row in self._rows(SQL["spans_of_deliveries"] if facts else _PLAIN, numbers, between):
            spans.append(self._span(row) if facts else self._made(row, NO_FACTS))
            places.append(row[-2:])
        return spans, places

    def _rows(
        self, sql: str, numbers: Sequence[int], between: tuple[int, int] = ALL
    ) -> Iterator[tuple[Any, ...]]:
        values = {
            "deliveries": msgspec.json.encode(numbers).decode(),
            "after": between[0],
            "upto": between[1],
        }
        return self._connection.execute(sql, values)

    def _span(self, row: tuple[Any, ...]) -> SpanData:
        facts = self._facts(row[-3], row[0], row[_FACTS_AT:-3])
        large, number = row[_FACTS_AT - 2 : _FACTS_AT]
        if (large or 0) & WITH_MEDIA:
            facts = msgspec.structs.replace(facts, media=partial(self._file, number))
        return self._made(row, facts)

    def _file(self, number: int, digest: str) -> bytes | None:
        """See `MediaReader`. When it is asked for: those of a batch may need more memory than there is."""
        row = self._connection.execute(SQL["media_of_span"], (number, bytes.fromhex(digest))).fetchone()
        return row[0] if row else None

    def _made(self, row: tuple[Any, ...], facts: SpanFacts) -> SpanData:
        (
            trace_id, span_id, parent_span_id, flags, trace_state, name, kind, start_ns, end_ns,
            status_code, status_message, attributes, events, links, dropped, exact, origin,
            state, large, number,
        ) = row[:_FACTS_AT]  # fmt: skip
        typed, typed_events, typed_links = stored_content(attributes, events, links, exact)
        if large is not None:
            self._with_payloads(typed, large, number)
        if state == SpanState.INTERRUPTED:
            typed["hush.incomplete"] = True  # in the JSON, but not in an exact copy
        dropped_attributes, dropped_events, dropped_links = _DROPPED.decode(dropped) if dropped else (0, 0, 0)
        return SpanData(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent_span_id,
            flags=flags,
            trace_state=trace_state or "",
            name=name,
            kind=kind,
            start_ns=start_ns,
            end_ns=end_ns,
            status_code=status_code,
            status_message=status_message or "",
            attributes=typed,
            events=typed_events,
            links=typed_links,
            dropped_attributes=dropped_attributes,
            dropped_events=dropped_events,
            dropped_links=dropped_links,
            origin=self._origins.get(origin) or self._origin(origin),
            request_id=row[-3],
            facts=facts,
        )

    def _with_payloads(
        self, attributes: dict[str, AttributeValue], large: int | None, number: int
    ) -> dict[str, AttributeValue]:
        """Put long texts back that lie apart."""
        if large is not None:
            texts = self._connection.execute(SQL["payloads_of_span"], (number,))
            attributes.update((key, _TEXT.decode(text)) for key, text in texts)
        return attributes

    def _facts(self, request_id: str, trace_id: bytes, columns: tuple[Any, ...]) -> SpanFacts:
        is_node, *own, context_id, repeats, is_computed = columns[:12]
        node_type, model, prompt, completion, total, cost, user, session = own
        return SpanFacts(
            is_node=bool(is_node),
            node_type=node_type,
            model=model,
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=total,
            cost_usd=cost,
            user_id=user,
            session_id=session,
            request=self._request(request_id, trace_id if is_node else None, columns[12:]),
            context_id=context_id,
            repeats=bool(repeats),
            cost_is_computed=bool(is_computed),
        )

    def _request(self, request_id: str, of_nodes: bytes | None, columns: tuple[Any, ...]) -> RequestFacts:
        """Spans of a request come one after the other, and share its facts."""
        key = (request_id, of_nodes, columns)
        if self._request_key != key:
            workflow_name, tags, marked_tags, user_id, session_id = columns
            self._request_key = key
            self._request_facts = RequestFacts(
                workflow_name,
                tuple(_TAGS.decode(tags)) if tags else (),
                user_id,
                session_id,
                None if of_nodes is None else self._root_metadata(request_id, of_nodes),
                tuple(_TAGS.decode(marked_tags)) if marked_tags else (),
            )
        return self._request_facts

    def _root_metadata(self, request_id: str, trace_id: bytes) -> str | None:
        key = (trace_id, root_span_id_of(request_id))
        row = self._connection.execute(SQL["node_metadata"], key).fetchone()
        return row[0] if row and row[0] and len(row[0]) <= SHARED_METADATA_CHARS else None

    def _origin(self, number: int) -> Origin:
        found = self._origins.get(number)
        if found is None:
            _, resource, schema_url, scope_json, exact = self._connection.execute(
                SQL["origins"], (number,)
            ).fetchone()
            scope = _SCOPE.decode(scope_json)
            attributes: dict[str, AttributeValue] = _OBJECT.decode(resource)
            if exact is not None:
                attributes, scope.attributes = _EXACT_ORIGIN.decode(exact)
            found = self._origins[number] = Origin(
                attributes, schema_url, scope.name, scope.version, scope.schema_url, scope.attributes
            )
        return found

    def close(self) -> None:
        """Idempotent."""
        self._connection.close()


def stored_content(
    attributes: str, events: str | None, links: str | None, exact: bytes | None
) -> tuple[dict[str, AttributeValue], list[EventData], list[LinkData]]:
    """From the typed copy where there is one; else JSON carries every type."""
    if exact is not None:
        typed, typed_events, typed_links = _EXACT.decode(exact)
        if '"hush.orphan":true' in attributes:
            typed["hush.orphan"] = True  # found when it was queued, after the copy was made
        return typed, [EventData(*event) for event in typed_events], [LinkData(*link) for link in typed_links]
    return (
        _OBJECT.decode(attributes),
        [_event(event) for event in _EVENTS.decode(events)] if events else [],
        [_link(link) for link in _LINKS.decode(links)] if links else [],
    )


def _event(event: _Event) -> EventData:
    return EventData(event.name, event.time_ns, event.attributes, event.dropped_attributes)


def _link(link: _Link) -> LinkData:
    ids = bytes.fromhex(link.trace_id), bytes.fromhex(link.span_id)
    return LinkData(*ids, link.trace_state, link.flags, link.attributes, link.dropped_attributes)
