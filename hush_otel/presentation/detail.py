"""One span with all that it has: what `show` prints in full and `share` gives away, redacted on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping import exceptions
from hush_otel.mapping.dialects.content import input_of, output_of, parsed
from hush_otel.mapping.dialects.event_messages import told
from hush_otel.mapping.dialects.messages import Message, messages_from, messages_to, with_both_sides
from hush_otel.mapping.media import MEDIA_ATTRIBUTE
from hush_otel.mapping.redactor import Redactor
from hush_otel.store.reading import Reader

from .tree import Row

TEXTS: Final = (
    "name",
    "node_name",
    "node_type",
    "context_id",
    "error",
    "model",
    "user_id",
    "session_id",
    "metadata",
    "start_time",
    "end_time",
)
"""Columns that an application has written; the times of a node trace too, as they were given."""
_HIDDEN_AS: Final = {"user_id": ("user.id",), "session_id": ("session.id",)}
"""The attribute that a column is made of, where a rule may name it."""

_DECODED: Final = ("attributes", "events", "links", "resource", "scope")


class ExceptionSeen(NamedTuple):
    """An exception that was recorded on a span; empty is what nobody said."""

    words: str
    stack: str


INVALID: Final = "hush.invalid."


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One span.

    Attributes:
        columns: Those of the view `node_traces`, but input and output.
        input: As text; None when there is none. `output` likewise.
        attributes: All of them; events, links, resource and scope as the view `spans` has them.
    """

    columns: dict[str, Any]
    input: str | None
    output: str | None
    input_messages: list[Message]
    output_messages: list[Message]
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]
    resource: dict[str, Any]
    scope: dict[str, Any]

    @property
    def conversation(self) -> bool:
        """Whether input and output are messages: of a model call, or of whatever says who spoke."""
        if self.columns["node_type"] in CALLS:
            return True
        return _says_who(self.input_messages, self.input) or _says_who(self.output_messages, self.output)

    @property
    def dialogue(self) -> tuple[list[Message], list[Message]]:
        """Both sides of a conversation."""
        return with_both_sides(self.input_messages, self.output_messages, (self.input, self.output))

    @property
    def files(self) -> list[dict[str, Any]]:
        """What it says of its attachments (`mapping.media`). Any span can say so, and anything."""
        said = self.attributes.get(MEDIA_ATTRIBUTE)
        try:
            listed = msgspec.json.decode(said if isinstance(said, str) else "[]", type=list[Any])
        except (msgspec.DecodeError, RecursionError):
            return []
        return [each for each in listed if isinstance(each, dict)]

    @property
    def says_something(self) -> bool:
        """Whether there is anything to read: what went in, what came out, or that it failed."""
        return (
            self.columns["error"] is not None
            or self.conversation
            or bool(self.files)
            or (self.input, self.output) != (None, None)
        )

    @property
    def unread(self) -> list[str]:
        """Fields of a node trace in which the application gave what cannot be one (`mapping.nodes`)."""
        return [key.removeprefix(INVALID) for key in self.attributes if key.startswith(INVALID)]

    @property
    def exceptions(self) -> list[ExceptionSeen]:
        """Those recorded on it, in their order."""
        recorded = [event["attributes"] for event in self.events if event["name"] == exceptions.EVENT]
        return [
            ExceptionSeen(exceptions.words_of(found), exceptions.part_of(found, "stacktrace"))
            for found in recorded
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it, the columns first."""
        return self.columns | {
            "input": self.input,
            "output": self.output,
            "attributes": self.attributes,
            "events": self.events,
            "links": self.links,
            "resource": self.resource,
            "scope": self.scope,
        }


def _says_who(messages: list[Message], content: str | None) -> bool:
    """Whether they are more than a text that was taken for one."""
    if len(messages) != 1 or content is None:
        return bool(messages)
    (message,) = messages
    return bool(message.calls) or message.content != parsed(content)


CALLS: Final = frozenset({"llm", "generation"})


def detail(reader: Reader, row: Row, redactor: Redactor | None = None) -> Detail | None:
    """All of one span; None for one that no row stands for (a loop's pass), or that is gone.

    Args:
        reader: Opened.
        row: Of `request_tree`.
        redactor: What hides on the way out; None hides nothing.

    Raises:
        StoreError: The database cannot be read.
    """
    ids = {name: bytes.fromhex(str(row[name])) for name in ("trace_id", "span_id")}
    found = reader.row("span_in_full", **ids)
    if found is None:
        return None
    columns = dict(found)
    values = {name: _decoded(columns.pop(name)) for name in _DECODED}
    if redactor is not None:
        columns |= {name: hidden(redactor, name, columns[name]) for name in TEXTS}
        values = _redacted(redactor, values)
    attributes = told(values["attributes"], ((one["name"], one["attributes"]) for one in values["events"]))
    went_in, came_out = input_of(attributes), output_of(attributes)
    return Detail(
        columns=columns,
        input=went_in,
        output=came_out,
        input_messages=messages_to(attributes, went_in),
        output_messages=messages_from(attributes, came_out),
        **values,
    )


def _decoded(json: str) -> Any:
    return msgspec.json.decode(json)


def _redacted(redactor: Redactor, values: dict[str, Any]) -> dict[str, Any]:
    found = {name: redactor.attributes(values[name]) for name in ("attributes", "resource", "scope")}
    return found | {name: [redactor.value(one) for one in values[name]] for name in ("events", "links")}


def hidden(redactor: Redactor, column: str, value: object) -> object:
    """A column's value without what the rules hide."""
    if not isinstance(value, str):
        return value
    rule = redactor.rule_of(column, *_HIDDEN_AS.get(column, ()))
    return redactor.mask if rule else redactor.text(value)
