"""Node traces as spans: records, identity, parents, fields."""

import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.mapping.attributes import MAX_INT, epoch_ns
from hush_otel.mapping.nodes import (
    NodeTrace,
    node_columns,
    node_from_record,
    node_key,
    node_span_id,
    promoted_of,
    root_span_id_of,
    span_fields,
    span_id_of,
    trace_id_of,
)
from hush_otel.mapping.semconv import promote

RECORD_NS = 1_800_000_000_000_000_000
START = "2026-01-02T03:04:05.000000"
START_NS = 1_767_323_045_000_000_000

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


def node(**fields):
    """A node as it comes out of its record."""
    given_fields = {
        "request_id": "r",
        "workflow_name": "wf",
        "node_name": "wf.n",
        "parent_name": "wf",
    } | fields
    return node_from_record([given_fields.get(field) for field in NodeTrace.__struct_fields__[:-1]])


def span(**fields):
    """The span of such a node."""
    return span_fields(node(**fields), RECORD_NS)


# ------------------------------------------------------------------ records


@given(st.lists(ANYTHING, max_size=25))
def test_any_record_gives_a_node_a_span_and_columns(values):
    """Nothing raises whatever the fields hold, and every part is of a type that can be stored and sent."""
    trace = node_from_record(values)
    fields = span_fields(trace, RECORD_NS)
    assert 0 <= fields.start_ns <= MAX_INT
    assert 0 <= fields.end_ns <= MAX_INT
    for value in fields.attributes.values():
        assert type(value) in (str, bool, int, float)
        assert not isinstance(value, int) or -(2**63) <= value < 2**63
    json.loads(node_columns(trace))
    promoted_of(trace)
    promote(fields.attributes, fields.name)
    msgspec.convert(msgspec.to_builtins(trace), NodeTrace)
    assert len(trace_id_of(trace.request_id)) == 16
    assert len(node_span_id(trace, 0, root_taken=False)) == 8


def test_a_good_record_is_taken_as_it_is():
    """All fields in the seed's order, nothing marked invalid."""
    values = ["r", "wf", "wf.n", "wf", "[0]", 3, START, 17.5, 1.5, {"q": 1}, [2], "u", "s", "m"]
    values += [1, 2, 3, 0.5, True, {"k": 1}, "llm", "boom"]
    assert list(msgspec.structs.astuple(node_from_record(values))) == [*values, {}]


def test_short_and_long_records():
    """Missing fields get defaults, surplus ones of a newer writer are ignored."""
    assert node_from_record(["r", "wf", "n"]) == NodeTrace("r", "wf", "n")
    assert node_from_record(["r", "wf", "n", *[None] * 15, False, None, None, None, {"x": 1}]).invalid == {}


@pytest.mark.parametrize(
    ("field", "given_value", "kept", "original"),
    [
        ("user_id", 42, "42", 42),
        ("user_id", True, "true", True),
        ("session_id", ["a"], '["a"]', '["a"]'),
        ("model", b"ab", "YWI=", "YWI="),
        ("context_id", {"i": 0}, '{"i":0}', '{"i":0}'),
        ("prompt_tokens", "12", None, "12"),
        ("prompt_tokens", True, None, True),
        ("prompt_tokens", 12.5, None, 12.5),
        ("total_tokens", 2**64, None, "18446744073709551616"),
        ("cost_usd", float("nan"), None, "NaN"),
        ("cost_usd", "1.0", None, "1.0"),
        ("duration_ms", float("inf"), None, "Infinity"),
        ("execution_order", [], None, "[]"),
        ("start_time", {"at": 1}, None, '{"at":1}'),
        ("contain_generation", "yes", False, "yes"),
        ("request_id", 7, "7", 7),
    ],
)
def test_a_wrong_type_becomes_text_or_none_and_the_original_is_kept(field, given_value, kept, original):
    """The user's value is never lost: it stays as hush.invalid.<field>."""
    trace = node(**{field: given_value})
    assert getattr(trace, field) == kept
    assert trace.invalid == {f"hush.invalid.{field}": original}
    assert span_fields(trace, RECORD_NS).attributes[f"hush.invalid.{field}"] == original


@pytest.mark.parametrize(
    ("field", "given_value", "kept"),
    [
        ("prompt_tokens", 12.0, 12),
        ("cost_usd", 1, 1.0),
        ("contain_generation", 1, True),
        ("contain_generation", None, False),
        ("parent_name", "", None),
        ("start_time", 1767323045, 1767323045),
    ],
)
def test_another_type_of_the_same_meaning_is_no_error(field, given_value, kept):
    """Values that say the same in another type are taken without a mark."""
    trace = node(**{field: given_value})
    assert getattr(trace, field) == kept
    assert trace.invalid == {}


# ------------------------------------------------------------------ identity


@given(st.text(), st.text(), st.none() | st.text(), st.integers(0, 2**31))
def test_ids_are_deterministic_and_never_zero(request_id, name, context_id, occurrence):
    """The same parts give the same ids, of OTLP's lengths, not zero."""
    ids = (
        trace_id_of(request_id),
        root_span_id_of(request_id),
        span_id_of(request_id, name, context_id, occurrence),
    )
    assert [len(value) for value in ids] == [16, 8, 8]
    assert all(any(value) for value in ids)
    assert ids[2] == span_id_of(request_id, name, context_id, occurrence)


@given(*[st.text("a1:[]-#", max_size=4)] * 2, *[st.none() | st.text("a1:[]-#", max_size=4)] * 2)
def test_different_nodes_have_different_keys_and_ids(name, other, context, other_context):
    """Separators inside names cannot make two nodes one."""
    same = (name, context) == (other, other_context)
    assert (node_key(name, context) == node_key(other, other_context)) is same
    assert (span_id_of("r", name, context, 0) == span_id_of("r", other, other_context, 0)) is same


def test_a_hex_or_uuid_request_id_is_its_own_trace_id():
    """Callers that bring a trace id keep it."""
    ident = uuid.UUID("0af76519-16cd-43dd-8448-eb211c80319c")
    assert trace_id_of(str(ident)) == trace_id_of(ident.hex.upper()) == ident.bytes


@pytest.mark.parametrize("request_id", ["0" * 32, "", "0af7651916cd43dd8448eb211c80319 ", "req-1", "é" * 32])
def test_any_other_request_id_is_hashed(request_id):
    """Zero, near misses and free text get 16 bytes of BLAKE2b."""
    assert trace_id_of(request_id) not in (bytes(16), request_id.encode()[:16])


def test_ids_do_not_change_between_versions():
    """Resends after an upgrade must carry the ids of before."""
    assert trace_id_of("req-1").hex() == "77a85bff5dd350f1d6d66f116fe042a9"
    assert root_span_id_of("req-1").hex() == "044754de574a870b"
    assert span_id_of("req-1", "wf.a", "[0]", 1).hex() == "f98ccb3dfddc5a99"


def test_only_the_first_parentless_node_is_the_root():
    """A second parentless node, and every node with a parent, gets the ordinary id."""
    root, child = node(parent_name=None), node()
    assert node_span_id(root, 0, root_taken=False) == root_span_id_of("r")
    assert node_span_id(root, 1, root_taken=True) == span_id_of("r", "wf.n", None, 1)
    assert node_span_id(child, 0, root_taken=False) == span_id_of("r", "wf.n", None, 0)


# ------------------------------------------------------------------ spans


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (START, START_NS),
        ("2026-01-02T03:04:05Z", START_NS),
        ("2026-01-02 05:04:05+02:00", START_NS),
        ("2026-01-02T03:04:05.123456789Z", START_NS + 123_456_789),
        ("2026-01-02T03:04:05.1234567+00:00", START_NS + 123_456_700),
        ("2026-01-02T03:04:05.5", START_NS + 500_000_000),
        (" 2026-01-02T03:04:05 ", START_NS),
        (1767323045, START_NS),
        (1767323045.5, START_NS + 500_000_000),
        ("yesterday", None),
        ("", None),
        ("1969-12-31T23:59:59Z", None),
        ("9999-01-01T00:00:00", None),
        (-1, None),
        (1767323045000, None),
        (float("nan"), None),
        (None, None),
    ],
)
def test_times_are_read_to_the_nanosecond(value, ns):
    """ISO 8601 in its usual forms, and seconds; what OTLP cannot carry is unreadable."""
    assert epoch_ns(value) == ns


@pytest.mark.parametrize(
    ("fields", "start_ns", "end_ns", "flags"),
    [
        ({"start_time": START, "end_time": "2026-01-02T03:04:06"}, START_NS, START_NS + 10**9, set()),
        ({"start_time": START, "duration_ms": 2}, START_NS, START_NS + 2_000_000, set()),
        (
            {"start_time": START, "end_time": "?", "duration_ms": 2},
            START_NS,
            START_NS + 2_000_000,
            {"end_time"},
        ),
        ({"start_time": START}, START_NS, RECORD_NS, set()),
        ({"end_time": START, "duration_ms": 1.5}, START_NS - 1_500_000, START_NS, set()),
        ({"start_time": "?", "duration_ms": 3}, RECORD_NS - 3_000_000, RECORD_NS, {"start_time"}),
        ({}, RECORD_NS, RECORD_NS, set()),
        ({"duration_ms": -5}, RECORD_NS, RECORD_NS, set()),
        ({"start_time": START, "end_time": "2026-01-02T03:04:04"}, START_NS, START_NS - 10**9, {"end_time"}),
        ({"start_time": START, "duration_ms": 1e300}, START_NS, MAX_INT, set()),
    ],
)
def test_missing_times_come_from_the_others(fields, start_ns, end_ns, flags):
    """What cannot be read is derived and flagged; an end before its start is kept and flagged."""
    result = span(**fields)
    assert (result.start_ns, result.end_ns) == (start_ns, end_ns)
    found = {
        key.removeprefix("hush.invalid.") for key in result.attributes if key.startswith("hush.invalid.")
    }
    assert found == flags


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"node_name": "wf.sub.chat"}, "chat"),
        ({"node_name": "chat"}, "chat"),
        ({"node_name": "chat."}, "chat."),
        ({"node_name": "main", "parent_name": None}, "wf"),
        ({"node_name": "main", "parent_name": None, "workflow_name": ""}, "main"),
    ],
)
def test_a_span_is_named_by_the_last_part_and_the_root_by_the_workflow(fields, name):
    """Full names stay in hush.node.name."""
    result = span(**fields)
    assert result.name == name
    assert result.attributes["hush.node.name"] == fields["node_name"]


@pytest.mark.parametrize(
    ("fields", "kind", "openinference"),
    [
        ({"node_type": "LLM"}, 3, "LLM"),
        ({"node_type": "generation"}, 3, "LLM"),
        ({"node_type": "embedding"}, 3, "EMBEDDING"),
        ({"contain_generation": True, "model": "m"}, 3, "LLM"),
        ({"contain_generation": True}, 1, "CHAIN"),
        ({"model": "m"}, 1, "CHAIN"),
        ({"node_type": "tool"}, 1, "TOOL"),
        ({"node_type": "agent"}, 1, "AGENT"),
        ({"node_type": "retrieval"}, 1, "RETRIEVER"),
        ({"node_type": "my own"}, 1, "CHAIN"),
        ({}, 1, "CHAIN"),
    ],
)
def test_a_generation_is_a_client_span(fields, kind, openinference):
    """A node that only contains a generation somewhere below is none."""
    result = span(**fields)
    assert (result.kind, result.attributes["openinference.span.kind"]) == (kind, openinference)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (None, 0, ""),
        (False, 0, ""),
        ("", 0, ""),
        ("boom", 2, "boom"),
        ({"code": 5}, 2, '{"code":5}'),
        (0, 2, "0"),
    ],
)
def test_an_error_of_any_type_sets_the_status(error, status, message):
    """UNSET without an error, ERROR with its text otherwise."""
    result = span(error=error)
    assert (result.status_code, result.status_message) == (status, message)


def test_every_column_is_among_the_attributes():
    """One full node: what conventions carry, and the rest as hush.*, verbatim."""
    full = {"context_id": "[0]", "execution_order": 3, "start_time": START, "end_time": 1767323046.5}
    full |= {"duration_ms": 1500, "input_data": {"q": [1, None]}, "output_data": "text", "user_id": "u"}
    full |= {"session_id": "s", "model": "m", "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    full |= {"cost_usd": 0.5, "contain_generation": True, "metadata": {"k": "v"}, "node_type": "llm"}
    assert span(**full).attributes == {
        "hush.request_id": "r",
        "hush.workflow_name": "wf",
        "hush.node.name": "wf.n",
        "hush.node.type": "llm",
        "hush.node.parent_name": "wf",
        "hush.context_id": "[0]",
        "hush.execution_order": 3,
        "hush.contain_generation": True,
        "hush.start_time": START,
        "hush.end_time": 1767323046.5,
        "hush.duration_ms": 1500,
        "input.value": '{"q":[1,null]}',
        "input.mime_type": "application/json",
        "output.value": "text",
        "output.mime_type": "text/plain",
        "metadata": '{"k":"v"}',
        "user.id": "u",
        "session.id": "s",
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "gen_ai.request.model": "m",
        "llm.token_count.prompt": 1,
        "gen_ai.usage.input_tokens": 1,
        "llm.token_count.completion": 2,
        "gen_ai.usage.output_tokens": 2,
        "llm.token_count.total": 3,
        "hush.cost_usd": 0.5,
        "llm.cost.total": 0.5,
    }
    # A row that is no node has the node's name as its title.
    again = msgspec.structs.replace(promoted_of(node(**full)), title="wf.n")
    assert promote(span(**full).attributes, "n") == again


def test_only_what_is_given_is_set():
    """A bare node carries its identity and nothing else."""
    assert set(span().attributes) == {
        *("hush.request_id", "hush.workflow_name", "hush.node.name", "hush.node.parent_name"),
        "openinference.span.kind",
    }


def test_columns_hold_what_the_view_reads():
    """Verbatim times, 0 or 1, metadata as JSON text, null for what is absent."""
    columns = json.loads(node_columns(node(start_time=START, duration_ms=1.5, metadata={"k": 1})))
    expected = {"node_name": "wf.n", "parent_name": "wf", "start_time": START, "duration_ms": 1.5}
    expected |= {"contain_generation": 0, "metadata": '{"k":1}'}
    assert {key: value for key, value in columns.items() if value is not None} == expected
