"""Hush's own way in: node traces and completion marks become records."""

from __future__ import annotations

import time
from collections import UserDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from hush_otel import records
from hush_otel.codec import encode
from hush_otel.diagnostics import swallow
from hush_otel.mend import mend
from hush_otel.providers import tracer_provider
from hush_otel.secrets import fingerprints
from hush_otel.signalled import let_through
from hush_otel.spool.writer import SpoolWriter
from hush_otel.walk import placeholder

from .media import INPUT, METADATA, OUTPUT, SCALARS, as_dict, has_media, take_media, with_media
from .spans import origin_record

NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})


class NodeTraces:
    """Publishes node traces and marks. Thread-, signal- and fork-safe.

    Raises ValueError where the caller is wrong about a required field, and nothing else.
    """

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._origin: int | None = None

    def write(self, values: Sequence[Any]) -> None:
        """Publish one node trace.

        Args:
            values: The arguments of `insert_node_trace` in the seed's order, then node_type and error.
                Snapshot here: what the caller changes afterwards does not show.

        Raises:
            ValueError: request_id, workflow_name or node_name is no text, or request_id is empty.
        """
        if not (type(values[0]) is type(values[1]) is type(values[2]) is str and values[0]):
            for name, value in zip(("request_id", "workflow_name", "node_name"), values, strict=False):
                _require_text(name, value)
        for value in (values[INPUT], values[OUTPUT], values[METADATA]):
            kind = type(value)
            try:
                found = (
                    records.MEDIA_KEY in value if kind is dict else kind not in SCALARS and has_media(value)
                )
            except Exception as exc:  # noqa: BLE001 - boundary to the app: a key that compares itself is content
                let_through(exc)
                found = False
            if found:
                self._write_with_media(values)
                return
        self._publish(
            (records.NODE, time.time_ns(), values, self._origin_of()), "recording a node trace", values
        )

    def _write_with_media(self, values: Sequence[Any]) -> None:
        """The same with files attached. The record holds the bytes, and the content where they belong."""
        try:
            kept, files = take_media(values)
            record = (records.NODE, time.time_ns(), kept, self._origin_of())
            payload, cut = encode(record)
            if cut:
                self._writer.count_cut()
            payload = with_media(payload, files)
            for one in files:
                if type(one) is str:
                    self._writer.count_cut()
            self._writer.append(payload, record[3])
        except Exception as exc:  # noqa: BLE001 - boundary to the app
            let_through(exc)
            self._writer.count_error()
            swallow("recording a node trace with media", exc)

    def _origin_of(self) -> int | None:
        """The interned resource of this process: the tracer provider's, else what OTel's variables say."""
        if self._origin is None:
            try:
                self._origin = self._writer.definitions.intern(
                    lambda index: encode(origin_record(index, _resource(), _SCOPE, []))[0]
                )
            except Exception as exc:  # noqa: BLE001 - boundary to the app: a detector may raise
                let_through(exc)
                swallow("finding the resource of node traces", exc)
        return self._origin

    def mark(
        self,
        request_id: str,
        tracer_type: str,
        tracer_config: Mapping[str, Any] | None,
        tags: Sequence[str] | None,
        defaults: Mapping[str, Any] = NO_OPTIONS,
        name: str | None = None,
    ) -> None:
        """Publish that a request is complete and where it goes.

        Args:
            request_id: Of node traces, or a trace id in hex.
            tracer_type: A destination type.
            tracer_config: Its options.
            tags: Kept with the request.
            defaults: Options that `tracer_config` leaves open.
            name: Of the destination whose options the defaults are: it is meant where `tracer_config` says
                nothing.

        Raises:
            ValueError: request_id or tracer_type is no text, request_id is empty, or tracer_config is
                neither a mapping nor None.
        """
        _require_text("request_id", request_id)
        _require_text("tracer_type", tracer_type)
        config = _readable(tracer_config)
        if config is not NO_OPTIONS:
            name = None
        if defaults:
            config = _completed(config, defaults)
        kept = tags if tags is None or issubclass(type(tags), (list, tuple, set, frozenset)) else [tags]
        self._publish(
            (records.MARK, time.time_ns(), request_id, tracer_type, config, kept, name),
            "recording a completed request",
        )

    def _publish(self, record: tuple[Any, ...], doing: str, given: Sequence[Any] | None = None) -> None:
        try:
            payload, cut = encode(record, given)
            if cut:
                self._writer.count_cut()
            if record[0] == records.MARK and b"${" in payload:
                payload = self._with_fingerprints(record, payload)
            self._writer.append(payload, self._origin if record[0] == records.NODE else None)
        except Exception as exc:  # noqa: BLE001 - boundary to the app
            let_through(exc)
            self._writer.count_error()
            swallow(doing, exc)

    def _with_fingerprints(self, record: tuple[Any, ...], payload: bytes) -> bytes:
        """The same mark with what its secrets are here. Read from what is encoded: plain, and not deep."""
        config = records.decode_record(mend(payload)).tracer_config
        return encode((*record, fingerprints(config, str(self._writer.directory.path))))[0]


_SCOPE: Final = InstrumentationScope("hush")


def _resource() -> Resource:
    provider = tracer_provider()
    return provider.resource if isinstance(provider, TracerProvider) else Resource.create()


def _require_text(name: str, value: object) -> None:
    if not issubclass(type(value), str):
        raise ValueError(f"{name} must be text, not {type(value).__name__}")  # noqa: TRY004 - the seed's contract
    if name == "request_id" and not str.__len__(value):  # type: ignore[arg-type]
        raise ValueError(f"{name} must be non-empty text")


def _readable(config: object) -> Any:
    """A mark's options as the encoder takes them.

    By type, never by isinstance, which would ask a strange object for its __class__. A mapping that only its
    own code could read is kept by its type's name, and makes the delivery dead.

    Raises:
        ValueError: It is no mapping.
    """
    if config is None or (type(config) is dict and not config):
        return NO_OPTIONS
    if issubclass(type(config), (dict, MappingProxyType, UserDict)):
        found = as_dict(config)
        return {"invalid": config} if found is None else found
    if Mapping in type.mro(type(config)):
        return {"invalid": config}
    raise ValueError(f"tracer_config must be a mapping, not {type(config).__name__}")


def _completed(config: Any, defaults: Mapping[str, Any]) -> dict[Any, Any]:
    try:
        return {**defaults, **config}
    except Exception as exc:  # noqa: BLE001 - boundary to the app: a key compares itself by its own code
        let_through(exc)
        return {"invalid": placeholder(config)}
