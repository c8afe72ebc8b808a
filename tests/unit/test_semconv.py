"""Promoted columns: which convention wins, and what counts as present."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.mapping import semconv
from hush_otel.mapping.semconv import MAX_INT, NOTHING, Promoted, promote

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(sorted(semconv._KEYS)) | st.text(max_size=5), ANYTHING), st.text())
def test_any_attributes_give_columns_that_sqlite_takes(attributes, name):
    """Nothing raises; numbers are 64 bit and not negative, texts are not empty."""
    columns = promote(attributes, name)
    for count in (columns.prompt_tokens, columns.completion_tokens, columns.total_tokens):
        assert count is None or (type(count) is int and 0 <= count <= MAX_INT)
    assert columns.cost_usd is None or 0 <= columns.cost_usd < float("inf")
    for text in (columns.model, columns.user_id, columns.session_id, columns.node_type, columns.request_id):
        assert text is None or (isinstance(text, str) and text)


@given(st.text(max_size=200))
def test_any_text_as_langfuse_details_is_survived(text):
    """Langfuse's JSON attributes may hold anything."""
    promote({"langfuse.observation.usage_details": text, "langfuse.observation.cost_details": text}, "x")


def test_a_span_without_any_key_gives_the_shared_nothing():
    """The common span of a web service costs no object."""
    assert promote({"http.method": "GET", "gen_ai.system": "openai"}, "GET /") is NOTHING


@pytest.mark.parametrize(
    ("keys", "column"),
    [
        (
            (
                *("hush.model", "gen_ai.request.model", "gen_ai.response.model"),
                *("llm.model_name", "langfuse.observation.model.name"),
            ),
            "model",
        ),
        (("user.id", "enduser.id", "langfuse.user.id"), "user_id"),
        (("session.id", "gen_ai.conversation.id", "langfuse.session.id"), "session_id"),
        (("hush.workflow_name", "gen_ai.workflow.name", "traceloop.workflow.name"), "workflow_name"),
        (("hush.request_id",), "request_id"),
    ],
)
def test_the_first_key_that_is_present_wins(keys, column):
    """Texts are taken in the documented order."""
    attributes = {key: key for key in reversed(keys)}
    for key in keys:
        assert getattr(promote(attributes, "x"), column) == key
        del attributes[key]
    assert getattr(promote(attributes, "x"), column) is None


@pytest.mark.parametrize("wrong", ["", None, 5, True, b"x", ["x"], {"a": "x"}])
def test_what_is_no_text_is_passed_over(wrong):
    """A wrong type in the first convention lets the next one speak."""
    assert promote({"user.id": wrong, "enduser.id": "u"}, "x").user_id == "u"


@pytest.mark.parametrize("wrong", [True, "12", 12.0, -1, 2**63, None, [1], b"1"])
def test_what_is_no_count_is_absent(wrong):
    """Bools, digits in text, floats, negatives and more than 64 bit are no token counts."""
    columns = promote({"gen_ai.usage.input_tokens": wrong, "gen_ai.usage.output_tokens": 3}, "x")
    assert (columns.prompt_tokens, columns.completion_tokens, columns.total_tokens) == (None, 3, 3)


@pytest.mark.parametrize("wrong", [True, "0.1", float("nan"), float("inf"), -0.5, 2**63, None])
def test_what_is_no_amount_is_absent(wrong):
    """Costs are finite numbers from 0; the next convention speaks."""
    assert promote({"hush.cost_usd": wrong, "llm.cost.total": 2}, "x").cost_usd == 2.0


def test_genai_tokens_are_summed_into_a_total():
    """GenAI has no total of its own."""
    columns = promote({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}, "chat x")
    assert (columns.prompt_tokens, columns.completion_tokens, columns.total_tokens) == (10, 5, 15)


def test_two_conventions_on_one_span_are_not_added_up():
    """A span that carries OpenInference and GenAI tokens counts once."""
    attributes = {
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "langfuse.observation.usage_details": '{"input":10,"output":5}',
    }
    assert promote(attributes, "x").total_tokens == 15


def test_a_given_total_is_not_recomputed():
    """The receiver's own total stands, whatever the parts say."""
    attributes = {"llm.token_count.prompt": 1, "llm.token_count.total": 100}
    assert promote(attributes, "x").total_tokens == 100


def test_a_sum_beyond_64_bit_is_dropped():
    """SQLite could not store it."""
    attributes = {"gen_ai.usage.input_tokens": MAX_INT, "gen_ai.usage.output_tokens": 1}
    assert promote(attributes, "x").total_tokens is None


@pytest.mark.parametrize(
    "names",
    [
        ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
        ("llm.usage.prompt_tokens", "llm.usage.completion_tokens"),
    ],
)
def test_traceloop_total_stands_beside_any_of_its_names(names):
    """OpenLLMetry writes its total beside GenAI's names, the old and the new ones."""
    columns = promote({names[0]: 7, names[1]: 2, "llm.usage.total_tokens": 11}, "x")
    assert (columns.prompt_tokens, columns.completion_tokens, columns.total_tokens) == (7, 2, 11)


def test_langfuse_buckets_make_up_prompt_and_completion():
    """Its buckets exclude each other, so cached input is added to the input."""
    usage = {"input": 10, "input_cached_tokens": 30, "output": 4, "output_reasoning_tokens": 6, "total": 50}
    columns = promote({"langfuse.observation.usage_details": json.dumps(usage)}, "x")
    assert (columns.prompt_tokens, columns.completion_tokens, columns.total_tokens) == (40, 10, 50)


def test_langfuse_openai_names_are_not_added_to_its_buckets():
    """OpenAI's sums stand only where Langfuse's own buckets are missing."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    both = usage | {"input": 10, "output": 5}
    for details in (usage, both):
        columns = promote({"langfuse.observation.usage_details": json.dumps(details)}, "x")
        assert (columns.prompt_tokens, columns.completion_tokens, columns.total_tokens) == (10, 5, 15)


@pytest.mark.parametrize(
    ("attributes", "cost"),
    [
        ({"hush.cost_usd": 1.5, "llm.cost.total": 9.0}, 1.5),
        ({"llm.cost.total": 2.0, "llm.cost.prompt": 0.5}, 2.0),
        ({"llm.cost.prompt": 0.5, "llm.cost.completion": 0.25}, 0.75),
        ({"operation.cost": 0.125}, 0.125),
        ({"langfuse.observation.cost_details": '{"input":0.25,"output":0.5}'}, 0.75),
        ({"langfuse.observation.cost_details": '{"input":0.25,"total":0.5}'}, 0.5),
        ({"langfuse.observation.cost_details": "[1]"}, None),
        ({"llm.cost.total": 0}, 0.0),
    ],
)
def test_cost_is_a_total_else_the_sum_of_parts(attributes, cost):
    """The first convention with a total wins, parts are summed only without one."""
    assert promote(attributes, "x").cost_usd == cost


@pytest.mark.parametrize(
    ("attributes", "node_type"),
    [
        ({"openinference.span.kind": "LLM"}, "llm"),
        ({"openinference.span.kind": "Reranker"}, "reranker"),
        ({"openinference.span.kind": "UNKNOWN", "gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"gen_ai.operation.name": "chat"}, "llm"),
        ({"gen_ai.operation.name": "text_completion"}, "llm"),
        ({"gen_ai.operation.name": "generate_content"}, "llm"),
        ({"gen_ai.operation.name": "embeddings"}, "embedding"),
        ({"gen_ai.operation.name": "invoke_agent"}, "agent"),
        ({"gen_ai.operation.name": "create_agent"}, "agent"),
        ({"gen_ai.operation.name": "retrieval"}, "retriever"),
        ({"gen_ai.operation.name": "of my own"}, None),
        ({"langfuse.observation.type": "generation"}, "llm"),
        ({"langfuse.observation.type": "span"}, None),
        ({"langfuse.observation.type": "guardrail"}, "guardrail"),
        ({"traceloop.span.kind": "workflow"}, "chain"),
        ({"traceloop.span.kind": "tool"}, "tool"),
        ({"llm.request.type": "chat"}, "llm"),
        ({"hush.node.type": " Router ", "openinference.span.kind": "CHAIN"}, "router"),
        ({"openinference.span.kind": ["LLM"]}, None),
        ({"user.id": "u"}, None),
    ],
)
def test_node_type_is_one_lower_case_word(attributes, node_type):
    """Each source's words, in order; what says nothing is passed over."""
    assert promote(attributes, "x").node_type == node_type


def test_the_name_tells_the_kind_of_a_genai_span_that_does_not():
    """GenAI spans are named by operation and model; other spans' names say nothing."""
    assert promote({"gen_ai.request.model": "gpt-4o"}, "chat gpt-4o").node_type == "llm"
    assert promote({"gen_ai.request.model": "gpt-4o"}, "my own name").node_type is None
    assert promote({"user.id": "u"}, "chat gpt-4o").node_type is None


def test_an_llm_span_as_openinference_writes_it():
    """One whole span of openinference-instrumentation-openai."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.token_count.prompt": 11,
        "llm.token_count.completion": 4,
        "llm.token_count.total": 15,
        "input.value": "{}",
        "session.id": "s",
    }
    assert promote(attributes, "ChatCompletion") == Promoted(
        model="gpt-4o-2024-08-06",
        prompt_tokens=11,
        completion_tokens=4,
        total_tokens=15,
        session_id="s",
        node_type="llm",
    )


@pytest.mark.parametrize(
    ("name", "attributes", "title"),
    [
        ("ask {who}", {"logfire.msg_template": "ask {who}", "logfire.msg": "ask ada"}, "ask ada"),
        ("ask {who}", {"logfire.msg_template": "ask {who}", "logfire.msg": "x" * 300}, "x" * 255),
        ("ask", {"logfire.msg_template": "ask {who}", "logfire.msg": "ask ada"}, None),
        ("ask", {"logfire.msg_template": "ask", "logfire.msg": "ask"}, None),
        ("invoke_agent weather", {"logfire.msg": "weather run"}, None),
        ("ask {who}", {"logfire.msg_template": "ask {who}", "logfire.msg": 7}, None),
        ("ask {who}", {"logfire.msg_template": "ask {who}"}, None),
        ("ask", {"hush.node.name": "digest.ask"}, "digest.ask"),
        ("ask", {"hush.node.name": 7}, None),
    ],
)
def test_a_span_named_by_its_template_has_a_title(name, attributes, title):
    """What logfire made of the template; any other name was chosen by somebody."""
    assert promote(attributes, name).title == title
