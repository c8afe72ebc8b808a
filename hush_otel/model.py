"""The values that rooms hand to each other: destinations, and spans as the store gives them.

No behaviour beyond validation and canonical form; but for the errors nothing here imports another room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final, TypeAlias, cast

import msgspec

from .errors import ConfigError

AttributeValue: TypeAlias = (
    "str | bool | int | float | bytes | None | Sequence[AttributeValue] | Mapping[str, AttributeValue]"
)
"""What an OTLP AnyValue can carry. Integers are signed 64 bit."""

TRACER_ALIASES: Final = {
    # The seed's class names, as its users pass them to `mark_request_complete`.
    "OTELTracer": "otlp",
    "LangfuseTracer": "langfuse",
    "LocalTracer": "local",
}

FLAGS_W3C_MASK: Final = 0xFF
"""Bits 0-7 of OTLP `Span.flags`: the W3C trace flags (opentelemetry-proto, trace.proto)."""
FLAGS_HAS_IS_REMOTE: Final = 0x100
FLAGS_IS_REMOTE: Final = 0x200


def is_64_bit(value: int) -> bool:
    """Whether an integer is one that OTLP, SQLite and TOML carry. Of the others some cannot even be shown."""
    return -(1 << 63) <= value < 1 << 63


class SpanState(IntEnum):
    """Where a span is in its life, as stored."""

    RUNNING = 0
    ENDED = 1
    INTERRUPTED = 2


class Destination:
    """Where a request's spans are re-exported to.

    Args:
        type: ``otlp``, ``jaeger``, ``console``, ``file``, ``local``, … or an alias of the seed.
        name: How commands and views call it; default ``type#`` and a short hash of the configuration.
        endpoint: A base URL. ``/v1/traces`` is added for OTLP over HTTP when the path is empty.
        headers: Sent with every request. ``${NAME}`` and ``${file:/path}`` stay references until sending.
        protocol: ``http/protobuf`` where the type offers a choice.
        **options: What the type documents; JSON-able values.

    Raises:
        ConfigError: Type or name are no text, or an option cannot be written as JSON; the message names it.

    Immutable, hashable by its canonical configuration, safe to share between threads.
    """

    __slots__ = ("config", "name", "type")

    def __init__(
        self,
        type: str,  # noqa: A002 - the public contract's word
        *,
        name: str | None = None,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        protocol: str | None = None,
        **options: AttributeValue,
    ) -> None:
        config: dict[str, AttributeValue] = dict(options)
        if endpoint is not None:
            config["endpoint"] = endpoint
        if headers is not None:
            config["headers"] = _copy(headers)
        if protocol is not None:
            config["protocol"] = protocol
        for key, text in (("type", type), ("name", name or "")):
            if not isinstance(text, str):
                raise ConfigError(f"a destination's {key} is of type {text.__class__.__name__}, not text")
        _refuse_unwritable(type, {"name": name})
        _refuse_unwritable(name or type, config)
        self.type: str = TRACER_ALIASES.get(type, type)
        self.config: dict[str, AttributeValue] = config
        self.name: str = name or f"{self.type}#{self._digest()[:8]}"

    @classmethod
    def from_config(cls, type: str, config: Mapping[str, AttributeValue]) -> Destination:  # noqa: A002
        """One whose configuration nobody has looked at: what cannot work in it shows when it is opened."""
        destination = cls(type)
        destination.config = dict(config)
        destination.name = f"{destination.type}#{destination._digest()[:8]}"
        return destination

    def _digest(self) -> str:
        return hashlib.blake2b(canonical_json([self.type, self.config]), digest_size=16).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and self.as_record() == other.as_record()

    def __hash__(self) -> int:
        return hash((self.type, self.name))

    def __repr__(self) -> str:
        # Headers and options may hold secrets; an endpoint may hold them in its user part.
        return f"Destination({self.type!r}, name={self.name!r})"

    def as_record(self) -> dict[str, AttributeValue]:
        """The form that is spooled: ``{"type", "name", "config"}``."""
        return {"type": self.type, "name": self.name, "config": self.config}


def _refuse_unwritable(called: str, options: Mapping[str, object]) -> None:
    """What neither spool nor store could hold.

    Raises:
        ConfigError: With the option's name, never its value.
    """
    for key, value in options.items():
        try:
            canonical_json([called, key, value])
            continue
        except UnicodeEncodeError:
            wrong = "holds half a surrogate pair, or a name of a file that is no UTF-8"
        except RecursionError:
            wrong = "is nested too deep, or contains itself"
        except ValueError:
            wrong = "is an integer beyond 64 bit"  # of more digits than Python writes
        except TypeError:
            wrong = "has a key that is no text"
        raise ConfigError(f"destination {called!r}: {key}: {wrong}")


def _copy(headers: object) -> AttributeValue:
    """What is no mapping stays as it is: whoever takes the destination says so, by its name."""
    return dict(headers) if isinstance(headers, Mapping) else cast("AttributeValue", headers)


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys: two equal configurations give equal bytes."""
    return msgspec.json.encode(value, order="deterministic", enc_hook=str)


class Origin(msgspec.Struct, frozen=True, eq=False):
    """The resource and instrumentation scope that a span came from. One object per distinct pair."""

    resource: dict[str, AttributeValue] = {}
    resource_schema_url: str = ""
    scope_name: str = ""
    scope_version: str = ""
    scope_schema_url: str = ""
    scope_attributes: dict[str, AttributeValue] = {}


class EventData(msgspec.Struct, array_like=True):
    """One span event. `time_ns` is unix time in nanoseconds."""

    name: str
    time_ns: int
    attributes: dict[str, AttributeValue] = {}
    dropped_attributes: int = 0


class LinkData(msgspec.Struct, array_like=True):
    """One span link. `flags` as in OTLP `Span.Link.flags`."""

    trace_id: bytes
    span_id: bytes
    trace_state: str = ""
    flags: int = 0
    attributes: dict[str, AttributeValue] = {}
    dropped_attributes: int = 0


class RequestFacts(msgspec.Struct, frozen=True, eq=False):
    """What the store knows of a request, for vendors that want it on every span. One object per request.

    `metadata` is the root node's, JSON text, unless it is long. `tags` are those of its spans and of its last
    mark; `marked_tags` the mark's alone.
    """

    workflow_name: str | None = None
    tags: tuple[str, ...] = ()
    user_id: str | None = None
    session_id: str | None = None
    metadata: str | None = None
    marked_tags: tuple[str, ...] = ()


MediaReader: TypeAlias = "Callable[[str], bytes | None]"
"""Gives a file of one span by its SHA-256 in lowercase hex; None where it has no such file. For the thread
that has read the span, while its reader is open."""


class SpanFacts(msgspec.Struct, frozen=True, eq=False):
    """What the store knows of a span beside its attributes: the columns of the view `node_traces`.

    Attributes:
        is_node: It was a node trace: its tokens and cost count whatever its type.
        repeats: Its tokens and cost only repeat what counts below it.
        node_type: Lower case: llm, embedding, chain, tool, agent, retriever, …
        cost_usd: As given, else as computed when it was stored: `cost_is_computed`.
        request: Of the request it belongs to.
        context_id: A node trace's.
        media: Reads the files that are stored with it; None where there are none, or none may be sent.
    """

    is_node: bool = False
    node_type: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    user_id: str | None = None
    session_id: str | None = None
    request: RequestFacts = RequestFacts()
    context_id: str | None = None
    repeats: bool = False
    media: MediaReader | None = None
    cost_is_computed: bool = False


NO_FACTS: Final = SpanFacts()


class SpanData(msgspec.Struct):
    """One stored span, typed, as a destination receives it.

    Ids are 16 and 8 bytes; times unix nanoseconds; `kind` is OTLP's number (1 INTERNAL, 2 SERVER,
    3 CLIENT, 4 PRODUCER, 5 CONSUMER); `status_code` OTLP's (0 UNSET, 1 OK, 2 ERROR); `flags` OTLP's.
    `origin` is shared: spans of one resource and scope hold the same object. `facts` are not sent by
    themselves: dialects read them. `above` is a span that no row stands for, a pass of a loop or the root of
    a request that has none (`mapping.iterations`, `mapping.missing_root`): it is sent before this one, in the
    same request, and not counted.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    flags: int
    trace_state: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    status_message: str
    attributes: dict[str, AttributeValue]
    events: list[EventData]
    links: list[LinkData]
    dropped_attributes: int
    dropped_events: int
    dropped_links: int
    origin: Origin
    request_id: str
    facts: SpanFacts = NO_FACTS
    above: SpanData | None = None


class RowFacts(msgspec.Struct, array_like=True):
    """What a row of a whole request is beside its span.

    Attributes:
        state: A `SpanState`.
        is_new: Whether this delivery is about it; the others were in earlier ones.
        node: A node trace's own columns, a JSON object; None for spans of OTel.
    """

    state: int
    is_new: bool
    node: str | None = None


class WholeRequest(msgspec.Struct):
    """A request as tracers of users get it: all of its rows that have ended, up to one delivery.

    `rows` says of each of `spans` what they do not. `is_delta`: an earlier delivery to the same
    destination had some of it.
    """

    request_id: str
    facts: RequestFacts
    is_delta: bool
    spans: list[SpanData]
    rows: list[RowFacts]


class DestinationConfig(msgspec.Struct, frozen=True):
    """A destination as the relay opens it: name, type, its options with literal secrets put back in.

    `fingerprints`: what applications say of the secrets that it refers to (`secrets.check`).
    """

    name: str
    type: str
    config: dict[str, AttributeValue]
    fingerprints: dict[str, str] = {}


class Outcome(msgspec.Struct, frozen=True):
    """What a receiver said to an accepted attempt.

    Attributes:
        rejected: Spans that the receiver accepted the request without (OTLP partial success).
        message: The receiver's words about it, or a warning when `rejected` is 0.
    """

    rejected: int = 0
    message: str = ""
