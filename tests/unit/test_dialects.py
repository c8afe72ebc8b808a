"""Dialects: what is there stays, tokens count once, and the golden files of every vendor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dialect_samples import SAMPLES, node, span
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.mapping.dialects.catalogue import additions, dialect_named, translated
from hush_otel.mapping.dialects.meaning import Tokens, meaning_of
from hush_otel.model import NO_FACTS
from hush_otel.presets import DIALECTS

GOLDEN = Path(__file__).parent / "golden"
NAMES = [name for name in DIALECTS if name != "none"]


def added(name: str, one: Any) -> dict[str, Any]:
    """What a dialect adds to a span."""
    dialect = dialect_named(name)
    assert dialect is not None
    return additions(dialect, one)


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_file(name: str) -> None:
    """tests/unit/golden/NAME.json has what a dialect adds to each sample, as read from the vendor's rules."""
    golden = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert {sample: added(name, one) for sample, one in SAMPLES.items()} == golden


def test_none_is_no_dialect() -> None:
    """`dialect = "none"` sends what was recorded."""
    assert dialect_named("none") is None


KEYS = sorted({key for one in SAMPLES.values() for key in one.attributes}) + sorted(
    {
        key
        for path in GOLDEN.glob("*.json")
        for sample in json.loads(path.read_text()).values()
        for key in sample
    }
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), VALUES, max_size=12)


@pytest.mark.parametrize("name", NAMES)
@given(attributes=ATTRIBUTES, extra=st.sampled_from(sorted(SAMPLES)))
def test_what_is_there_stays(name: str, attributes: dict[str, Any], extra: str) -> None:
    """Whatever a span carries, every attribute of it comes out with the same value, in front."""
    dialect = dialect_named(name)
    assert dialect is not None
    one = span("chat", {**SAMPLES[extra].attributes, **attributes})
    before = dict(one.attributes)
    after = translated(dialect, one).attributes
    assert list(after)[: len(before)] == list(before)
    assert all(after[key] is value for key, value in before.items())
    assert one.attributes == before or any(value != value for value in before.values())  # noqa: PLR0124 - NaN
    assert all(key not in before for key in added(name, one))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_attributes_changes(name: str) -> None:
    """Ids, times, status, events and origin are the span's own."""
    dialect = dialect_named(name)
    assert dialect is not None
    one = SAMPLES["node: model call"]
    assert msgspec.structs.replace(translated(dialect, one), attributes={}) == msgspec.structs.replace(
        one, attributes={}
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_span_that_no_store_has_seen_is_read_all_the_same(name: str) -> None:
    """Without facts they come from the attributes."""
    dialect = dialect_named(name)
    assert dialect is not None
    one = SAMPLES["genai: chat"]
    bare = msgspec.structs.replace(one, facts=NO_FACTS)
    assert set(additions(dialect, bare)) <= set(additions(dialect, one)) | {"user.id", "session.id"}


# ------------------------------------------------------------------ what a span means


def test_exclusive_buckets_add_up_to_the_whole() -> None:
    """Cached input and reasoning are taken out of what they are part of."""
    tokens = Tokens(300, 30, 330, cache_read=200, cache_write=50, reasoning=10)
    assert tokens.exclusive() == {
        "input": 50,
        "cache_read": 200,
        "cache_write": 50,
        "output": 20,
        "reasoning": 10,
    }
    assert sum(tokens.exclusive().values()) == 330


def test_details_that_exceed_the_whole_were_counted_apart() -> None:
    """Anthropic's own counts leave cached tokens out of the input."""
    assert Tokens(7, 5, 12, cache_read=16_000).exclusive() == {"input": 7, "cache_read": 16_000, "output": 5}


@pytest.mark.parametrize(
    ("sample", "counts"),
    [
        ("genai: chat", True),
        ("openinference: llm", True),
        ("langfuse: generation", True),
        ("node: root", True),
        ("genai: agent with its calls' sum", False),
        ("traceloop: workflow", False),
        ("plain: http", False),
    ],
)
def test_tokens_count_on_model_calls_and_on_node_traces(sample: str, counts: bool) -> None:
    """As in the totals of a request: what is shown here and there is the same."""
    assert meaning_of(SAMPLES[sample]).counts is counts


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("llm", "llm"),
        ("generation", "llm"),
        ("Workflow", "chain"),
        ("retrieval", "retriever"),
        ("tool", "tool"),
        ("code", "chain"),  # no vendor knows it; a node's span is a CHAIN where nothing says better
    ],
)
def test_node_types_are_read_as_kinds(written: str, kind: str) -> None:
    """What authors write, in the words that vendors have."""
    assert meaning_of(node(node_type=written)).kind == kind


def test_the_requests_user_session_and_tags_are_every_spans() -> None:
    """A vendor that groups by them sees them on each span."""
    meaning = meaning_of(SAMPLES["plain: http"])
    assert (meaning.user_id, meaning.session_id) == ("ada", "session-1")
    assert meaning.tags == ("prod", "team:search")
    assert meaning.workflow_name == "digest"
