"""Iterations of loops: nodes with context ``[i]`` under one parent, shown and sent under a span of their own.

    nodes of a request ──group_iterations──► each node's group, if it is in one; each group once

A group is never stored: it is made anew from the nodes whenever it is looked at, with the same id. What it
rolls up (time, tokens, cost) is all that is below it; nobody counts it again, since the nodes have it.

The first of its nodes to end carries the group: with that node it is sent, once. What ends later and belongs
to it hangs below it, too, but is not in its sums any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from .counted import counted, held_tokens, held_usd

_CONTEXT: Final = re.compile(r"\[[0-9]+\](?:\.\[[0-9]+\])*")
_ONE_LEVEL: Final = re.compile(r"\[([0-9]{1,18})\]")


class IterationNode(msgspec.Struct, eq=False):
    """What groups are made of. Times in unix nanoseconds; `end_seq` in the order of ending."""

    span_id: bytes
    parent_span_id: bytes | None
    node_name: str
    parent_name: str | None
    context_id: str | None
    start_ns: int
    end_ns: int
    end_seq: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None


class Iteration(msgspec.Struct, eq=False):
    """One pass of a loop.

    Attributes:
        span_id: 8 bytes, of the loop's span and the context.
        loop_id: The span below which it stands.
        loop_name: That node's name.
        context_id: Of its nodes.
        name: ``iteration[3]``.
        index: Which pass it is; None where levels between it and the loop are not recorded.
        carrier: The node with which it is sent.
    """

    span_id: bytes
    loop_id: bytes
    loop_name: str
    context_id: str
    name: str
    index: int | None
    carrier: bytes
    first_seq: int
    start_ns: int
    end_ns: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None


class Grouping(msgspec.Struct, frozen=True, eq=False):
    """The iterations of one request.

    Attributes:
        of_node: A node's group, by the node's span id.
        by_carrier: The group that a node carries, by the node's span id.
    """

    of_node: Mapping[bytes, Iteration]
    by_carrier: Mapping[bytes, Iteration]


_Sums = dict[bytes, "_Rolled"]


class _Rolled(msgspec.Struct, eq=False):
    """A node and all below it."""

    start_ns: int
    end_ns: int
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None


def group_iterations(nodes: Sequence[IterationNode]) -> Grouping:
    """The iterations of one request. Linear in the number of nodes.

    A node belongs to an iteration when its context is of the form ``[0].[1]`` and its parent, found by the
    name that it gives, has another one: a shorter one, or none. A node whose parent is missing is in no loop.
    """
    by_id = {node.span_id: node for node in nodes}
    members: dict[bytes, Iteration] = {}
    groups: dict[tuple[bytes, str], Iteration] = {}
    for node in nodes:
        loop = by_id.get(node.parent_span_id) if node.parent_span_id is not None else None
        if loop is None or not _is_pass_of(node, loop):
            continue
        key = (loop.span_id, str(node.context_id))
        group = groups.get(key)
        if group is None:
            groups[key] = group = _begun(node, loop)
        elif node.end_seq < group.first_seq:
            group.carrier, group.first_seq = node.span_id, node.end_seq
        members[node.span_id] = group
    if groups:
        rolled = _rolled_up(nodes, by_id)
        for span_id, group in members.items():
            _add(group, rolled[span_id])
    return Grouping(members, {group.carrier: group for group in groups.values()})


def _is_pass_of(node: IterationNode, loop: IterationNode) -> bool:
    context = node.context_id
    if context is None or context == loop.context_id or not _CONTEXT.fullmatch(context):
        return False
    if loop.context_id is not None and not context.startswith(loop.context_id + "."):
        return False
    return node.parent_name is None or node.parent_name == loop.node_name


def _begun(node: IterationNode, loop: IterationNode) -> Iteration:
    context = str(node.context_id)
    below = context if loop.context_id is None else context[len(loop.context_id) + 1 :]
    one = _ONE_LEVEL.fullmatch(below)
    return Iteration(
        span_id=iteration_id(loop.span_id, context),
        loop_id=loop.span_id,
        loop_name=loop.node_name,
        context_id=context,
        name=f"iteration{below}",
        index=int(one[1]) if one else None,
        carrier=node.span_id,
        first_seq=node.end_seq,
        start_ns=node.start_ns,
        end_ns=node.end_ns,
    )


def iteration_id(loop_id: bytes, context_id: str) -> bytes:
    """8 bytes: the BLAKE2b-64 of the loop's span id and the context; never zero."""
    digest = blake2b(b"iteration" + loop_id + context_id.encode(), digest_size=8).digest()
    return digest if any(digest) else b"\x01" * 8


def _rolled_up(nodes: Sequence[IterationNode], by_id: Mapping[bytes, IterationNode]) -> _Sums:
    """For each node the sums of all below it, leaves first: no recursion, however deep."""
    sums: _Sums = {
        node.span_id: _Rolled(
            node.start_ns,
            node.end_ns,
            *counted(node.prompt_tokens, node.completion_tokens, node.total_tokens, node.cost_usd),
        )
        for node in nodes
    }
    open_children = dict.fromkeys(sums, 0)
    for node in nodes:
        if node.parent_span_id in open_children:
            open_children[node.parent_span_id] += 1
    ready = [span_id for span_id, count in open_children.items() if not count]
    while ready:
        node = by_id[ready.pop()]
        parent = node.parent_span_id
        if parent is None or parent not in open_children:
            continue
        _add(sums[parent], sums[node.span_id])
        open_children[parent] -= 1
        if not open_children[parent]:
            ready.append(parent)
    return sums


def _add(target: _Rolled | Iteration, part: _Rolled) -> None:
    target.start_ns = min(target.start_ns, part.start_ns)
    target.end_ns = max(target.end_ns, part.end_ns)
    target.prompt_tokens = _sum(target.prompt_tokens, part.prompt_tokens)
    target.completion_tokens = _sum(target.completion_tokens, part.completion_tokens)
    target.total_tokens = _sum(target.total_tokens, part.total_tokens)
    if part.cost_usd is not None:
        target.cost_usd = held_usd((target.cost_usd or 0.0) + part.cost_usd)


def _sum(one: int | None, other: int | None) -> int | None:
    return one if other is None else held_tokens((one or 0) + other)


# ------------------------------------------------------------------ what went in and out


class LoopContent(msgspec.Struct, frozen=True, eq=False):
    """What a loop was given and gave, of which each pass has its part.

    Attributes:
        inputs: The iterated inputs alone: what every pass was given is not repeated in each.
        outputs: The lists among the outputs that have an item for each pass; or one such list.
    """

    inputs: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Sequence[Any]] | Sequence[Any]

    def input_of(self, index: int | None) -> dict[str, Any] | None:
        """The part of one pass; None where there is none."""
        return _items(self.inputs, index) if index is not None else None

    def output_of(self, index: int | None) -> Any:
        """Likewise."""
        if index is None:
            return None
        if isinstance(self.outputs, Mapping):
            return _items(self.outputs, index)
        return self.outputs[index] if index < len(self.outputs) else None


def _items(lists: Mapping[str, Sequence[Any]], index: int) -> dict[str, Any] | None:
    found = {name: values[index] for name, values in lists.items() if index < len(values)}
    return found or None


NO_CONTENT: Final = LoopContent({}, {})


def loop_content(inputs: Any, outputs: Any, metadata: Any) -> LoopContent:
    """What passes of a loop can be given, by the loop's own input, output and metadata.

    Args:
        inputs: An object whose iterated values are lists.
        outputs: An object or a list.
        metadata: ``{"each": ["item", …]}`` names the iterated inputs; without it nothing is taken apart.
    """
    names = set(_names(metadata.get("each"))) if isinstance(metadata, Mapping) else set()
    if not isinstance(inputs, Mapping) or not names:
        return NO_CONTENT
    each = {name: value for name, value in inputs.items() if name in names and isinstance(value, list)}
    passes = max((len(values) for values in each.values()), default=0)
    if isinstance(outputs, Mapping):
        lists = {key: value for key, value in outputs.items() if _is_per_pass(value, passes)}
        return LoopContent(each, lists)
    return LoopContent(each, outputs if _is_per_pass(outputs, passes) else {})


def _is_per_pass(value: Any, passes: int) -> bool:
    return isinstance(value, list) and len(value) == passes


def _names(each: Any) -> Iterable[str]:
    if isinstance(each, str):
        return (each,)
    return (str(name) for name in each) if isinstance(each, (list, Mapping)) else ()
