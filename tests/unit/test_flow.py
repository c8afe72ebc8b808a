"""Where the inputs of a span come from, by value."""

from __future__ import annotations

import json
from typing import Any

from hush_otel.presentation.flow import Link, flow


def gave_out(span_id: str, output: object) -> dict[str, Any]:
    """A row of earlier_outputs.sql."""
    data = output if isinstance(output, str) else json.dumps(output)
    return {"trace_id": "t", "span_id": span_id, "node_name": f"node-{span_id}", "output_data": data}


def links(content: object, *earlier: dict[str, Any]) -> list[tuple[str, str]]:
    """Key and span of each link."""
    found = flow(json.dumps(content), earlier)  # type: ignore[arg-type]
    return [(link.key, link.span_id) for link in found]


def test_a_key_comes_from_the_span_whose_output_has_its_value() -> None:
    """By value, whatever the key is called there."""
    found = flow(json.dumps({"docs": ["one", "two"]}), [gave_out("s", {"found": ["one", "two"]})])  # type: ignore[list-item]
    assert found == [Link("docs", "t", "s", "node-s")]


def test_the_last_span_to_end_wins() -> None:
    """It stands first among the rows."""
    value = {"text": "the same long text"}
    assert links(value, gave_out("late", value), gave_out("early", value)) == [("text", "late")]


def test_a_whole_output_counts_too() -> None:
    """Also one that is no JSON at all."""
    assert links({"answer": "plain words here"}, gave_out("s", "plain words here")) == [("answer", "s")]
    assert links({"all": {"a": "bcdefg"}}, gave_out("s", {"a": "bcdefg"})) == [("all", "s")]


def test_what_anything_may_have_by_chance_tells_nothing() -> None:
    """Numbers, flags, short words, empty lists."""
    common = {"n": 1234567890, "yes": True, "word": "ok", "none": None, "empty": []}
    assert links(common, gave_out("s", common)) == []


def test_an_input_without_keys_and_odd_outputs_have_no_links() -> None:
    """Lists, plain text, broken JSON, outputs that are not there."""
    odd = [gave_out("a", "{broken"), gave_out("b", [1]), {**gave_out("c", ""), "output_data": None}]
    assert links(["some", "list"], *odd) == []
    assert flow("no json at all", odd) == []  # type: ignore[arg-type]
    assert links({"text": "longer than that"}, *odd) == []
