"""Records with their secrets hidden: the one place where rules meet what an application has recorded.

    decoded record ──RecordRedactor.record──► the same record; what fits a rule is the mask

Everything that a user writes is looked at: attributes, events, links' attributes, names, status messages,
trace states, resources and scopes, every field of a node trace, the tags of a mark.

**Fail closed**: a record for which this raises is replaced by what it says without any text (`hidden`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hush_otel import records
from hush_otel.records import MEDIA_KEY
from hush_otel.rules import RedactionRules

from .nodes import NODE_FIELDS
from .redactor import REQUEST_KEY, Redactor

FAILED: Final = "hush.redaction.failed"
"""The attribute, and for node traces the entry of their metadata, of a record that could not be redacted."""

_NODE_KEYS: Final = {
    "user_id": ("user.id",),
    "session_id": ("session.id",),
    "input_data": ("input.value",),
    "output_data": ("output.value",),
    "model": ("llm.model_name", "gen_ai.request.model"),
    "node_name": ("hush.node.name",),
    "parent_name": ("hush.node.parent_name",),
    "node_type": ("hush.node.type",),
}
"""A node trace's field goes by its name, by ``hush.`` and its name, and by the attribute that it becomes."""
_KEPT_NUMBERS: Final = frozenset(
    (
        "execution_order",
        "start_time",
        "end_time",
        "duration_ms",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cost_usd",
        "contain_generation",
    )
)
_METADATA: Final = NODE_FIELDS.index("metadata")


class RecordRedactor(Redactor):
    """Applies one set of rules to decoded records, in place. Used by one thread at a time.

    Attributes:
        failed: Records so far that could not be redacted.
    """

    def __init__(self, rules: RedactionRules) -> None:
        super().__init__(rules)
        self.failed = 0

    def record(self, record: records.Record) -> records.Record:
        """A record without what the rules hide; one that cannot be redacted `hidden`. Never raises."""
        apply = _APPLY.get(record.type)
        if apply is None:
            return record
        try:
            apply(self, record)
        except Exception:  # noqa: BLE001 - whatever it is, nothing may go on as it was
            self.failed += 1
            return self.hidden(record)
        return record

    def hidden(self, record: records.Record) -> records.Record:
        """What is left of a record that cannot be redacted: ids, times, numbers, and that it is so."""
        hide = _HIDE.get(record.type)
        return record if hide is None else hide(self, record)

    # ------------------------------------------------------------------ with the rules

    def _end(self, record: records.End) -> None:
        record.name = self.value(record.name)
        record.attributes = self.attributes(record.attributes)
        if record.status_message is not None:
            record.status_message = self.value(record.status_message)
        extra = record.extra
        if extra is not None:
            extra.trace_state = self._state(extra.trace_state)
            for event in extra.events:
                event[0], event[2] = self.value(event[0]), self.attributes(event[2])
            for link in extra.links:
                link[2], link[4] = self._state(link[2]), self.attributes(link[4])

    def _start(self, record: records.Start) -> None:
        record.name = self.value(record.name)
        record.attributes = self.attributes(record.attributes)
        record.trace_state = self._state(record.trace_state)

    def _origin(self, record: records.OriginRecord) -> None:
        record.resource = self.attributes(record.resource)
        record.scope_attributes = self.attributes(record.scope_attributes)
        for field in ("resource_schema_url", "scope_name", "scope_version", "scope_schema_url"):
            setattr(record, field, self.text(getattr(record, field)))

    def _node(self, record: records.Node) -> None:
        # A value that a newer version has added is not known here, and so not passed on.
        record.values = [
            self._field(field, value) for field, value in zip(NODE_FIELDS, record.values, strict=False)
        ]
        if record.media:
            record.media = [self._file(data) for data in record.media]

    def _file(self, data: object) -> object:
        """An attachment as it is, or the mask: its bytes are read as text, like any others."""
        self.where = MEDIA_KEY
        return self.value(data)

    def _field(self, field: str, value: object) -> object:
        self.where = field
        if value is None:
            return None
        if field == "request_id" and type(value) is str:
            return self.identifier(value)
        rule = self.rule_of(field, f"hush.{field}", *_NODE_KEYS.get(field, ()))
        return self.hide(rule, value) if rule else self.value(value)

    def _mark(self, record: records.Mark) -> None:
        # Its options are configuration, which must go on to work; its secrets are kept apart (secrets.py).
        record.request_id = self.identifier(record.request_id)
        record.tags = self.value(record.tags)

    def _state(self, state: str) -> str:
        """A W3C trace state has no place for a mask: with something to hide in it, none is left."""
        return state if not state or self.text(state) == state else ""

    # ------------------------------------------------------------------ without

    def _hide_end(self, record: records.End) -> records.End:
        self._hide_span(record)
        record.status_message = None if record.status_message is None else self.mask
        extra = record.extra
        if extra is not None:
            counts = (extra.dropped_attributes, extra.dropped_events, extra.dropped_links)
            record.extra = records.Extra("", [], [], *counts)
        return record

    def _hide_start(self, record: records.Start) -> records.Start:
        self._hide_span(record)
        record.trace_state = ""
        return record

    def _hide_span(self, record: records.Start | records.End) -> None:
        request_id = record.attributes.get(REQUEST_KEY)
        record.name = self.mask
        record.attributes = {FAILED: True}
        if type(request_id) is str:
            record.attributes[REQUEST_KEY] = self._hidden_id(request_id)

    def _hide_node(self, record: records.Node) -> records.Node:
        given = dict(zip(NODE_FIELDS, record.values, strict=False))
        kept: dict[str, object] = {
            field: value
            for field, value in given.items()
            if field in _KEPT_NUMBERS and type(value) in (int, float, bool)
        }
        kept["request_id"] = self._hidden_id(given.get("request_id"))
        kept["workflow_name"] = kept["node_name"] = self.mask
        # Without its parent it would be a root, without its error a success.
        kept |= {field: self.mask for field in ("parent_name", "error") if given.get(field)}
        kept["metadata"] = {FAILED: True}
        record.media = []
        record.values = [kept.get(field) for field in NODE_FIELDS]
        return record

    def _hide_origin(self, record: records.OriginRecord) -> records.OriginRecord:
        record.resource, record.scope_attributes = {FAILED: True}, {}
        record.scope_name = self.mask
        record.resource_schema_url = record.scope_version = record.scope_schema_url = ""
        return record

    def _hide_mark(self, record: records.Mark) -> records.Mark:
        record.request_id = self._hidden_id(record.request_id)
        record.tags = None
        return record

    def _hidden_id(self, request_id: object) -> str:
        """As for the other records of its request, if that can be told."""
        text = request_id if type(request_id) is str else ""
        try:
            return self.identifier(text)
        except Exception:  # noqa: BLE001 - as above
            return self.pseudonym(text)


_APPLY: Final[dict[int, Callable[[RecordRedactor, Any], None]]] = {
    records.END: RecordRedactor._end,
    records.START: RecordRedactor._start,
    records.ORIGIN: RecordRedactor._origin,
    records.NODE: RecordRedactor._node,
    records.MARK: RecordRedactor._mark,
}
"""The others hold ids (COMPLETE), rules (RULES), or what a person asked for at the command line (COMMAND)."""

_HIDE: Final[dict[int, Callable[[RecordRedactor, Any], Any]]] = {
    records.END: RecordRedactor._hide_end,
    records.START: RecordRedactor._hide_start,
    records.ORIGIN: RecordRedactor._hide_origin,
    records.NODE: RecordRedactor._hide_node,
    records.MARK: RecordRedactor._hide_mark,
}


def is_hidden(record: records.Record) -> bool:
    """Whether a record is what `RecordRedactor.hidden` has left of one, in whatever process."""
    if record.type in (records.END, records.START):
        return FAILED in record.attributes
    if record.type != records.NODE or len(record.values) <= _METADATA:
        return False
    metadata = record.values[_METADATA]
    return type(metadata) is dict and FAILED in metadata
