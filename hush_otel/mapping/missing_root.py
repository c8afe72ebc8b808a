"""The root of a request of which no node came without a parent: vendors make a trace of its root.

Like a pass of a loop it is never stored and never counted: it is made when nodes are sent, with the same id
each time, and goes with the first of those that hang below it to end. A root that comes after that is a
second one: what was sent stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from .iterations import IterationNode


class MissingRoot(msgspec.Struct, frozen=True, eq=False):
    """A root in place of one that did not come.

    Attributes:
        span_id: 8 bytes, of the trace's id.
        carrier: The node with which it is sent, by its span id.
        start_ns: The first start below it; `end_ns` the last end. Unix nanoseconds.
    """

    span_id: bytes
    carrier: bytes
    start_ns: int
    end_ns: int


def missing_root(trace_id: bytes, nodes: Sequence[IterationNode]) -> MissingRoot | None:
    """The root of nodes that were placed, and have none; None where nothing hangs below it."""
    below = [node for node in nodes if node.parent_span_id is None and node.parent_name is not None]
    if not below:
        return None
    return MissingRoot(
        root_id(trace_id),
        min(below, key=lambda node: node.end_seq).span_id,
        min(node.start_ns for node in nodes),
        max(node.end_ns for node in nodes),
    )


def root_id(trace_id: bytes) -> bytes:
    """8 bytes: the BLAKE2b-64 of the trace's id; never zero."""
    digest = blake2b(b"root" + trace_id, digest_size=8).digest()
    return digest if any(digest) else b"\x01" * 8
