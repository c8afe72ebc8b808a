"""Hush's own way in: node traces and completion marks become records."""

from __future__ import annotations

import time
from collections import UserDict
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from hush_otel import records
from hush_otel.codec import encode
from hush_otel.diagnostics import swallow
from hush_otel.spool.writer import SpoolWriter


class NodeTraces:
    """Publishes node traces and marks. Thread-, signal- and fork-safe.

    Raises ValueError where the caller is wrong about a required field, and nothing else.
    """

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer

    def write(self, values: Sequence[Any]) -> None:
        """Publish one node trace.

        Args:
            values: The arguments of `insert_node_trace` in the seed's order, then node_type and error.
                Snapshot here: what the caller changes afterwards does not show.

        Raises:
            ValueError: request_id, workflow_name or node_name is no text, or request_id is empty.
        """
        for name, value in zip(("request_id", "workflow_name", "node_name"), values, strict=False):
            _require_text(name, value)
        self._publish((records.NODE, time.time_ns(), values), "recording a node trace")

    def mark(self, request_id: str, tracer_type: str, tracer_config: Any, tags: Sequence[str] | None) -> None:
        """Publish that a request is complete and where it goes.

        Raises:
            ValueError: request_id or tracer_type is no text, or request_id is empty.
        """
        _require_text("request_id", request_id)
        _require_text("tracer_type", tracer_type)
        config = {} if tracer_config is None else tracer_config
        # By type: isinstance would ask a strange object for its __class__.
        if not issubclass(type(config), (dict, MappingProxyType, UserDict)):
            config = {"invalid": config}
        kept = tags if tags is None or issubclass(type(tags), (list, tuple, set, frozenset)) else [tags]
        self._publish(
            (records.MARK, time.time_ns(), request_id, tracer_type, config, kept),
            "recording a completed request",
        )

    def _publish(self, record: tuple[Any, ...], doing: str) -> None:
        try:
            payload, cut = encode(record)
            if cut:
                self._writer.count_cut()
            self._writer.append(payload)
        except Exception as exc:  # noqa: BLE001 - boundary to the app
            self._writer.count_error()
            swallow(doing, exc)


def _require_text(name: str, value: object) -> None:
    if not issubclass(type(value), str) or not (value or name != "request_id"):
        raise ValueError(
            f"{name} must be {'non-empty ' if name == 'request_id' else ''}text, not {type(value).__name__}"
        )
