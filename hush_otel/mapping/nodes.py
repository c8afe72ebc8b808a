"""Node traces of Hush → spans: identity, parents, fields.

    record (msgpack list) ──node_from_record──► NodeTrace ──span_fields──► NodeSpan ──► a row
                                                    └──node_span_id (occurrence: from the store)
    all nodes of a request ──resolve_parents──► the parent of each, at the first queueing (see `parents`)

Identity is deterministic, so that a resend carries the same ids: the trace id is the request_id itself when
that is 32 hex digits or a UUID, else its BLAKE2b-128; the root's span id is the BLAKE2b-64 of the
request_id; every other span id that of (request_id, node_name, context_id, occurrence). The store assigns
occurrences, from 0 per (request, `node_key`), in the transaction that ingests the node. No id is ever zero.

The root is the first parentless node of a request. A later one (a reused request_id, two workflows under one
id) gets an ordinary id with its occurrence and hangs under the root. Without any parentless node there is no
root yet: nodes whose parent is missing stay without one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Final, TypeAlias

import msgspec

from hush_otel.model import AttributeValue

from .attributes import (
    MAX_FLOAT,
    MAX_INT,
    MIN_INT,
    derived_times,
    epoch_ns,
    error_text,
    integer,
    moment,
    number,
    optional_text,
    original,
    required_text,
    truth,
)
from .jsontext import encode_json, json_text
from .parents import PlacedNode, parent_candidates, resolve_parents
from .semconv import Promoted

__all__ = (
    "NODE_FIELDS",
    "NodeSpan",
    "NodeTrace",
    "PlacedNode",
    "is_generation",
    "node_columns",
    "node_from_record",
    "node_key",
    "node_span_id",
    "parent_candidates",
    "promoted_of",
    "resolve_parents",
    "root_span_id_of",
    "span_fields",
    "span_id_of",
    "trace_id_of",
)

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=MIN_INT, le=MAX_INT)]
Finite: TypeAlias = Annotated[float, msgspec.Meta(ge=-MAX_FLOAT, le=MAX_FLOAT)]

KIND_INTERNAL: Final = 1
KIND_CLIENT: Final = 3
STATUS_UNSET: Final = 0
STATUS_ERROR: Final = 2


class NodeTrace(msgspec.Struct, array_like=True):
    """One call of `insert_node_trace`, its fields in the seed's order, then `node_type` and `error`.

    Attributes:
        request_id: Required, like the two after it; empty only when the record was broken.
        start_time: As given: ISO 8601 text or seconds since 1970; `end_time` alike.
        duration_ms: As given.
        input_data: Anything; `output_data` and `metadata` alike.
        error: Anything; None, False and the empty text mean that there was none.
        invalid: What was refused for its type, as attributes ``hush.invalid.<field>``.
    """

    request_id: str
    workflow_name: str
    node_name: str
    parent_name: str | None = None
    context_id: str | None = None
    execution_order: Int64 | None = None
    start_time: str | Int64 | Finite | None = None
    end_time: str | Int64 | Finite | None = None
    duration_ms: Int64 | Finite | None = None
    input_data: object = None
    output_data: object = None
    user_id: str | None = None
    session_id: str | None = None
    model: str | None = None
    prompt_tokens: Int64 | None = None
    completion_tokens: Int64 | None = None
    total_tokens: Int64 | None = None
    cost_usd: Finite | None = None
    contain_generation: bool = False
    metadata: object = None
    node_type: str | None = None
    error: object = None
    invalid: dict[str, str | bool | Int64 | Finite] = {}


class NodeSpan(msgspec.Struct):
    """The span fields of a node. `kind` and `status_code` are OTLP's numbers, times unix nanoseconds."""

    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    status_message: str
    attributes: dict[str, AttributeValue]


# ------------------------------------------------------------------ records

NODE_FIELDS: Final = NodeTrace.__struct_fields__[:-1]
"""The values of a node record, in their order."""

_READERS: Final = {
    **dict.fromkeys(("request_id", "workflow_name", "node_name"), required_text),
    **dict.fromkeys(
        ("parent_name", "context_id", "user_id", "session_id", "model", "node_type"), optional_text
    ),
    **dict.fromkeys(("execution_order", "prompt_tokens", "completion_tokens", "total_tokens"), integer),
    **dict.fromkeys(("duration_ms", "cost_usd"), number),
    **dict.fromkeys(("start_time", "end_time"), moment),
    "contain_generation": truth,
}
"""How a field of the wrong type is read; fields that are missing here take anything."""


def node_from_record(values: Sequence[object]) -> NodeTrace:
    """The node of a decoded record; short records get defaults, surplus values are ignored.

    A value of the wrong type becomes text (where text is expected), a number or bool of the same meaning
    (12.0 tokens are 12), else None; the original is kept under ``hush.invalid.<field>`` unless the meaning
    is the same. An empty `parent_name` names nothing and is None. Never raises.
    """
    try:
        node = msgspec.convert(values[: len(NODE_FIELDS)], NodeTrace)
    except msgspec.ValidationError:
        node = _lenient(values)
    if node.parent_name == "":
        node.parent_name = None
    return node


def _lenient(values: Sequence[object]) -> NodeTrace:
    given = dict(zip(NODE_FIELDS, values, strict=False))
    read: list[object] = []
    invalid: dict[str, str | bool | int | float] = {}
    for field in NODE_FIELDS:
        value, reader = given.get(field), _READERS.get(field)
        usable, valid = reader(value) if reader else (value, True)
        read.append(usable)
        if not valid:
            invalid[f"hush.invalid.{field}"] = original(value)
    return msgspec.convert([*read, invalid], NodeTrace)


# ------------------------------------------------------------------ identity

_HEX_OR_UUID: Final = re.compile("[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def trace_id_of(request_id: str) -> bytes:
    """16 bytes: the request_id itself when it is 32 hex digits or a UUID, else its BLAKE2b-128."""
    if len(request_id) in (32, 36) and _HEX_OR_UUID.fullmatch(request_id):
        trace_id = bytes.fromhex(request_id.replace("-", ""))
        if any(trace_id):
            return trace_id
    return _digest(request_id, 16)


def root_span_id_of(request_id: str) -> bytes:
    """8 bytes: the span id of the request's root node, the BLAKE2b-64 of the request_id."""
    return _digest(request_id, 8)


def span_id_of(request_id: str, node_name: str, context_id: str | None, occurrence: int) -> bytes:
    """8 bytes: the span id of any other node.

    The BLAKE2b-64 of its parts, each with its length in front: ``4:req1`` ``5:a.b.c`` ``3:[0]`` ``#0``, and
    ``-`` for no context, so that no two different nodes are joined to the same text.
    """
    context = "-" if context_id is None else f"{len(context_id)}:{context_id}"
    return _digest(f"{len(request_id)}:{request_id}{len(node_name)}:{node_name}{context}#{occurrence}", 8)


def node_span_id(node: NodeTrace, occurrence: int, *, root_taken: bool) -> bytes:
    """8 bytes: the span id that a node gets when it is ingested.

    Args:
        node: The node.
        occurrence: How many nodes with its `node_key` its request has already.
        root_taken: Whether its trace has a row with `root_span_id_of` already.
    """
    if node.parent_name is None and not root_taken:
        return root_span_id_of(node.request_id)
    return span_id_of(node.request_id, node.node_name, node.context_id, occurrence)


def node_key(node_name: str, context_id: str | None) -> str:
    """One text for (node_name, context_id): ``3:a.b`` without context, ``3:a.b:[0]`` with ``[0]``."""
    key = f"{len(node_name)}:{node_name}"
    return key if context_id is None else f"{key}:{context_id}"


def _digest(text: str, size: int) -> bytes:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    # W3C trace context forbids the all-zero id.
    return digest if any(digest) else b"\x01" * size


# ------------------------------------------------------------------ spans

_HUSH_FIELDS: Final = (
    ("hush.node.type", "node_type"),
    ("hush.node.parent_name", "parent_name"),
    ("hush.context_id", "context_id"),
    ("hush.execution_order", "execution_order"),
    ("hush.start_time", "start_time"),
    ("hush.end_time", "end_time"),
    ("hush.duration_ms", "duration_ms"),
)
_GENERATION_FIELDS: Final = (
    ("user_id", ("user.id",)),
    ("session_id", ("session.id",)),
    ("model", ("llm.model_name", "gen_ai.request.model")),
    ("prompt_tokens", ("llm.token_count.prompt", "gen_ai.usage.input_tokens")),
    ("completion_tokens", ("llm.token_count.completion", "gen_ai.usage.output_tokens")),
    ("total_tokens", ("llm.token_count.total",)),
    ("cost_usd", ("hush.cost_usd", "llm.cost.total")),
)
_GENERATIONS: Final = frozenset({"llm", "generation", "embedding"})
_OPENINFERENCE_KINDS: Final = {
    # OpenInference semantic conventions, openinference.span.kind; left: what Hush users write.
    "llm": "LLM",
    "generation": "LLM",
    "embedding": "EMBEDDING",
    "tool": "TOOL",
    "agent": "AGENT",
    "retriever": "RETRIEVER",
    "retrieval": "RETRIEVER",
    "reranker": "RERANKER",
    "guardrail": "GUARDRAIL",
    "evaluator": "EVALUATOR",
    "prompt": "PROMPT",
    "chain": "CHAIN",
    "workflow": "CHAIN",
}


def span_fields(node: NodeTrace, record_ns: int) -> NodeSpan:
    """The node as a span, without ids and parent.

    Args:
        node: The node.
        record_ns: When the record was written, unix nanoseconds: the end of a node without a readable one.
    """
    attributes = _hush_attributes(node)
    _add_content(attributes, node)
    _add_generation(attributes, node)
    start_ns, end_ns = _times(node, record_ns, attributes)
    message = error_text(node.error)
    return NodeSpan(
        name=_span_name(node),
        kind=KIND_CLIENT if is_generation(node) else KIND_INTERNAL,
        start_ns=start_ns,
        end_ns=end_ns,
        status_code=STATUS_UNSET if message is None else STATUS_ERROR,
        status_message=message or "",
        attributes=attributes,
    )


def is_generation(node: NodeTrace) -> bool:
    """Whether the node itself calls a model; `contain_generation` alone may speak of one below it."""
    return _type_word(node) in _GENERATIONS or (node.contain_generation and bool(node.model))


def node_columns(node: NodeTrace) -> str:
    """JSON for the column `hush_spans.node`, which the view `node_traces` reads.

    Times and duration verbatim, `contain_generation` 0 or 1, `metadata` as JSON text, null where absent.
    """
    text, _ = encode_json(
        {
            "node_name": node.node_name,
            "node_type": node.node_type,
            "parent_name": node.parent_name,
            "context_id": node.context_id,
            "execution_order": node.execution_order,
            "start_time": node.start_time,
            "end_time": node.end_time,
            "duration_ms": node.duration_ms,
            "contain_generation": int(node.contain_generation),
            "metadata": None if node.metadata is None else json_text(node.metadata),
        }
    )
    return text


def promoted_of(node: NodeTrace) -> Promoted:
    """The promoted columns of a node: as given, so that the node reads back the same."""
    return Promoted(
        model=node.model,
        prompt_tokens=node.prompt_tokens,
        completion_tokens=node.completion_tokens,
        total_tokens=node.total_tokens,
        cost_usd=node.cost_usd,
        user_id=node.user_id,
        session_id=node.session_id,
        node_type=_type_word(node) or _openinference_kind(node).lower(),
        request_id=node.request_id,
        workflow_name=node.workflow_name,
    )


def _times(node: NodeTrace, record_ns: int, attributes: dict[str, AttributeValue]) -> tuple[int, int]:
    """Start and end in unix nanoseconds; what was given and cannot be right is flagged among `attributes`."""
    start_ns, end_ns = epoch_ns(node.start_time), epoch_ns(node.end_time)
    if start_ns is not None and end_ns is not None:
        if end_ns < start_ns:
            attributes["hush.invalid.end_time"] = node.end_time
        return start_ns, end_ns
    if start_ns is None and node.start_time is not None:
        attributes["hush.invalid.start_time"] = node.start_time
    if end_ns is None and node.end_time is not None:
        attributes["hush.invalid.end_time"] = node.end_time
    return derived_times(start_ns, end_ns, node.duration_ms, record_ns)


def _span_name(node: NodeTrace) -> str:
    """The workflow's name for a parentless node, else what follows the last dot of the node's name."""
    if node.parent_name is None and node.workflow_name:
        return node.workflow_name
    return node.node_name.rpartition(".")[2] or node.node_name


def _type_word(node: NodeTrace) -> str:
    return node.node_type.strip().lower() if node.node_type else ""


def _openinference_kind(node: NodeTrace) -> str:
    kind = _OPENINFERENCE_KINDS.get(_type_word(node))
    return kind or ("LLM" if is_generation(node) else "CHAIN")


def _hush_attributes(node: NodeTrace) -> dict[str, AttributeValue]:
    """What no convention carries, verbatim, so that a span reads back as the same node trace."""
    attributes: dict[str, AttributeValue] = {
        "hush.request_id": node.request_id,
        "hush.workflow_name": node.workflow_name,
        "hush.node.name": node.node_name,
    }
    for key, field in _HUSH_FIELDS:
        value = getattr(node, field)
        if value is not None:
            attributes[key] = value
    if node.contain_generation:
        attributes["hush.contain_generation"] = True
    attributes.update(node.invalid)
    return attributes


def _add_content(attributes: dict[str, AttributeValue], node: NodeTrace) -> None:
    """OpenInference's input, output and metadata. Text goes as it is, everything else as JSON text."""
    if node.input_data is not None:
        attributes["input.value"], attributes["input.mime_type"] = _content(node.input_data)
    if node.output_data is not None:
        attributes["output.value"], attributes["output.mime_type"] = _content(node.output_data)
    if node.metadata is not None:
        attributes["metadata"] = json_text(node.metadata)


def _content(data: object) -> tuple[str, str]:
    return (data, "text/plain") if isinstance(data, str) else (json_text(data), "application/json")


def _add_generation(attributes: dict[str, AttributeValue], node: NodeTrace) -> None:
    """User, kind, model, tokens and cost by the conventions' keys; what is no count by another."""
    attributes["openinference.span.kind"] = _openinference_kind(node)
    for field, keys in _GENERATION_FIELDS:
        value = getattr(node, field)
        if type(value) in (int, float) and value < 0:
            attributes[f"hush.invalid.{field}"] = value
        elif value is not None:
            for key in keys:
                attributes[key] = value
