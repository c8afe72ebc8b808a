"""A workflow as its node traces: retrieval, a generation, a tool with an error, a check.

Ids follow from the request's. Phoenix takes a span id, and a session's, once, whatever project it is sent to later: each
test has a request and a session of its own.
"""

from __future__ import annotations

from typing import Any

USER = "user-3"
MODEL = "gpt-4o-mini"
TOKENS = (1200, 34)
"""Prompt and completion."""
COST_USD = 0.00125
"""By no price table."""
QUESTION = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
}
ANSWER = {"role": "assistant", "content": "In Oslo."}


def _node(name: str, parent: str | None, order: int, **fields: Any) -> dict[str, Any]:
    """One node; each takes a tenth of a second, one after the other."""
    return {
        "workflow_name": "support",
        "node_name": name,
        "parent_name": parent,
        "context_id": None,
        "execution_order": order,
        "start_time": f"2026-01-31T09:00:00.{order}00000Z",
        "end_time": f"2026-01-31T09:00:00.{order}90000Z",
        "duration_ms": 90.0,
        "input_data": {"n": order},
        "output_data": None,
        "user_id": USER,
    } | fields


_NODES = [
    _node(
        "support.find",
        "support",
        1,
        node_type="retriever",
        output_data=["one", "two"],
        metadata={"index": "docs"},
    ),
    _node(
        "support.answer",
        "support",
        2,
        node_type="llm",
        input_data=QUESTION,
        output_data=ANSWER,
        model=MODEL,
        prompt_tokens=TOKENS[0],
        completion_tokens=TOKENS[1],
        total_tokens=sum(TOKENS),
        cost_usd=COST_USD,
        contain_generation=True,
    ),
    _node("support.track", "support", 3, node_type="tool", error="TimeoutError: no answer"),
    _node("support.check", "support", 4, output_data=True),
    _node(
        "support",
        None,
        0,
        end_time="2026-01-31T09:00:01Z",
        duration_ms=1000.0,
        input_data="Where is it?",
        output_data="In Oslo.",
        node_type="workflow",
        contain_generation=True,
    ),
]


def nodes_of(request_id: str) -> list[dict[str, Any]]:
    """Arguments of `insert_node_trace`, children before their parents, as Hush calls it. The session is called alike."""
    return [{"request_id": request_id, "session_id": request_id, **node} for node in _NODES]
