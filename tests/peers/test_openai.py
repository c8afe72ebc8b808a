"""The openai client, instrumented by openinference-instrumentation-openai, against a small server of its API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from compare import rows
from fake_openai import DIMENSIONS, USAGE, VECTOR, WORDS, fake_openai
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from recording import Recording

MODEL = "gpt-4o-mini"
QUESTION: list[Any] = [{"role": "user", "content": "How warm is it in Oslo?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "temperature",
            "description": "Degrees Celsius",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The server's address."""
    with fake_openai() as url:
        yield url


@pytest.fixture
def instrumented(recording: Recording) -> Iterator[Recording]:
    """A recording of everything that the openai client does."""
    OpenAIInstrumentor().instrument(tracer_provider=recording.provider)
    yield recording
    OpenAIInstrumentor().uninstrument()


@pytest.fixture
def client(base_url: str, instrumented: Recording) -> Iterator[openai.OpenAI]:
    """A client that never asks twice, whatever proxies the environment names."""
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def the_only(spans: list[ReadableSpan]) -> dict[str, Any]:
    """The attributes of the one span."""
    (span,) = spans
    return dict(span.attributes or {})


def test_chat_arrives_unchanged(client: openai.OpenAI, instrumented: Recording) -> None:
    """A chat's messages and token counts are the same at both ends and rolled up in the request."""
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert answer.choices[0].message.content == "".join(WORDS)
    attributes = the_only(instrumented.compare())
    assert attributes["llm.output_messages.0.message.content"] == "".join(WORDS)
    (request,) = rows(instrumented.database, "SELECT * FROM requests")
    assert {name: request[name] for name in USAGE} == USAGE


def test_streamed_chat_arrives_unchanged(client: openai.OpenAI, instrumented: Recording) -> None:
    """The span of a stream ends when the stream was read, with the pieces put together."""
    asked = {"model": MODEL, "messages": QUESTION, "stream_options": {"include_usage": True}}
    with client.chat.completions.create(**asked, stream=True) as stream:
        said = [chunk.choices[0] for chunk in stream if chunk.choices]
    assert [choice.delta.content for choice in said] == [*WORDS, None]
    assert said[-1].finish_reason == "stop"
    attributes = the_only(instrumented.compare())
    assert attributes["llm.output_messages.0.message.content"] == "".join(WORDS)
    assert attributes["llm.token_count.total"] == USAGE["total_tokens"]


def test_tool_calls_arrive_unchanged(client: openai.OpenAI, instrumented: Recording) -> None:
    """A call, its tool and the second call below one application span make one request of one tree."""
    tracer = instrumented.provider.get_tracer("app", "1.0")
    with tracer.start_as_current_span("answer"):
        first = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=TOOLS)
        (call,) = first.choices[0].message.tool_calls or []
        told: list[Any] = [
            *QUESTION,
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "21"},
        ]
        client.chat.completions.create(model=MODEL, messages=told, tools=TOOLS)
    spans = instrumented.compare()
    assert [span.name for span in spans] == ["ChatCompletion", "ChatCompletion", "answer"]
    (request,) = rows(instrumented.database, "SELECT * FROM requests")
    assert (request["node_count"], request["total_tokens"]) == (3, 2 * USAGE["total_tokens"])


def test_embedding_of_1536_floats_arrives_unchanged(client: openai.OpenAI, instrumented: Recording) -> None:
    """A float list of 1,536 in one attribute comes through digit by digit."""
    client.embeddings.create(model="text-embedding-3-small", input="Oslo", encoding_format="float")
    attributes = the_only(instrumented.compare())
    vector = attributes["embedding.embeddings.0.embedding.vector"]
    assert len(vector) == DIMENSIONS
    assert list(vector) == VECTOR


def test_a_404_is_an_error_with_its_exception_event(client: openai.OpenAI, instrumented: Recording) -> None:
    """The receiver's refusal is the span's status and its exception event, at both ends."""
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="missing", messages=QUESTION)
    (span,) = instrumented.compare()
    assert span.status.status_code.name == "ERROR"
    assert [event.name for event in span.events] == ["exception"]
    (request,) = rows(instrumented.database, "SELECT * FROM requests")
    assert request["error_count"] == 1
    assert "no model 'missing'" in request["error_message"]


def test_concurrent_chats_of_the_async_client(base_url: str, instrumented: Recording) -> None:
    """Spans of tasks that run at the same time keep their own parents, at both ends."""
    tracer = instrumented.provider.get_tracer("app")

    async def chat(client: openai.AsyncOpenAI, number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            await client.chat.completions.create(model=MODEL, messages=QUESTION)

    async def chats() -> None:
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            await asyncio.gather(*(chat(client, number) for number in range(5)))

    asyncio.run(chats())
    spans = instrumented.compare()
    names = {span.context.span_id: span.name for span in spans}
    parents = [names[span.parent.span_id] for span in spans if span.parent]
    assert sorted(parents) == [f"task {number}" for number in range(5)]
    assert len(rows(instrumented.database, "SELECT * FROM requests WHERE status = 'flushed'")) == 5
