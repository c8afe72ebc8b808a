"""`python scripts/record_goldens.py NAME`: what a client puts into spans, for tests/unit/test_goldens.py.

Run it with the interpreter of an environment that has the client; nothing leaves the machine, the model is a
small server of the tests. A name is a function below, and the file tests/unit/goldens/NAME.json. What the
rows of these spans must be stands beside the spans, under "expected", and is written by hand.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests/unit/goldens"
sys.path.insert(0, str(ROOT / "tests/peers"))

from fake_openai import fake_openai  # noqa: E402

MODEL = "gpt-4o-mini"
QUESTION: list[Any] = [{"role": "user", "content": "How warm is it in Oslo?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "temperature", "description": "°C", "parameters": {"type": "object"}},
    }
]

memory = InMemorySpanExporter()


def provider() -> TracerProvider:
    """One whose spans are kept."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(memory))
    return made


def ask_openai(openai: Any, url: str) -> None:
    """A chat, a streamed one, a tool call, an embedding and an error, with the given module's client."""
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    client.chat.completions.create(model=MODEL, messages=QUESTION)
    stream = client.chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    for _ in stream:
        pass
    client.chat.completions.create(model=MODEL, messages=QUESTION, tools=TOOLS)
    client.embeddings.create(model="text-embedding-3-small", input="Oslo", encoding_format="float")
    try:
        client.chat.completions.create(model="missing", messages=QUESTION)
    except Exception as exc:  # noqa: BLE001 - of whichever client
        sys.stderr.write(f"as asked: {exc}\n")


def _openai_under_a_root(instrumentor: Any, made: TracerProvider) -> None:
    import openai

    with fake_openai() as url, made.get_tracer("app").start_as_current_span("weather"):
        ask_openai(openai, url)
    instrumentor.uninstrument()


def openllmetry_openai() -> tuple[str, ...]:
    """OpenLLMetry (Traceloop) for the openai client."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    made, instrumentor = provider(), OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=made)
    _openai_under_a_root(instrumentor, made)
    return ("opentelemetry-instrumentation-openai", "openai")


openllmetry_openai_old = openllmetry_openai
"""The same of 2025, with its own names for messages and the older ones for tokens."""


def openinference_openai() -> tuple[str, ...]:
    """OpenInference for the openai client."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    made, instrumentor = provider(), OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=made)
    _openai_under_a_root(instrumentor, made)
    return ("openinference-instrumentation-openai", "openai")


def _graph() -> Any:
    """A model that says its usage and calls a tool, then answers."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    @tool
    def add(left: int, right: int) -> int:
        """Add two numbers."""
        return left + right

    usage: Any = {"input_tokens": 11, "output_tokens": 4, "total_tokens": 15}
    call: Any = {"name": "add", "args": {"left": 1, "right": 2}, "id": "call-1"}
    named = {"model_name": MODEL}
    answers = [
        AIMessage("", tool_calls=[call], usage_metadata=usage, response_metadata=named),
        AIMessage("three", usage_metadata=usage, response_metadata=named),
    ]
    model = GenericFakeChatModel(messages=iter(answers))
    graph = StateGraph(MessagesState)
    graph.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([add]))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges(
        "agent", lambda state: "tools" if state["messages"][-1].tool_calls else END, ["tools", END]
    )
    graph.add_edge("tools", "agent")
    return graph.compile()


def openinference_langgraph() -> tuple[str, ...]:
    """OpenInference for langchain: agents and chains around the calls."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=provider())
    _graph().invoke({"messages": [("user", "1 + 2?")]})
    return ("openinference-instrumentation-langchain", "langgraph")


def openllmetry_langgraph() -> tuple[str, ...]:
    """OpenLLMetry for langchain."""
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=provider())
    _graph().invoke({"messages": [("user", "1 + 2?")]})
    return ("opentelemetry-instrumentation-langchain", "langgraph")


def pydantic_ai() -> tuple[str, ...]:
    """An agent that calls a tool, with instructions beside its messages; its own span carries the sums."""
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.test import TestModel

    agent = Agent(TestModel(), name="weather", instructions="Be brief.")
    agent.instrument = InstrumentationSettings(tracer_provider=provider())

    @agent.tool_plain
    def temperature(city: str) -> float:
        """Degrees Celsius in a city."""
        return 20.0 + len(city) / 2

    asyncio.run(agent.run("How warm is it?"))
    return ("pydantic-ai-slim",)


def pydantic_ai_over_openai() -> tuple[str, ...]:
    """Two instrumentations at once: pydantic-ai's span of each call is around OpenInference's."""
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    made = provider()
    OpenAIInstrumentor().instrument(tracer_provider=made)
    with fake_openai() as url:
        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key="none"))
        agent = Agent(model, name="weather", instructions="Be brief.")
        agent.instrument = InstrumentationSettings(tracer_provider=made)

        @agent.tool_plain
        def temperature(city: str) -> float:
            """Degrees Celsius in a city."""
            return 20.0 + len(city) / 2

        asyncio.run(agent.run("How warm is it in Oslo?"))
    return ("pydantic-ai-slim", "openinference-instrumentation-openai", "openai")


def langfuse() -> tuple[str, ...]:
    """Langfuse's SDK: observations of its own, and its openai wrapper."""
    from langfuse import Langfuse, propagate_attributes

    made = provider()
    client = Langfuse(
        public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", tracer_provider=made, flush_at=500
    )
    with (
        client.start_as_current_observation(as_type="agent", name="weather", input={"q": "Oslo?"}) as agent,
        propagate_attributes(user_id="u1", session_id="s1", tags=["a", "b"]),
    ):
        with client.start_as_current_observation(
            as_type="generation", name="ask", model=MODEL, input=QUESTION
        ) as generation:
            generation.update(
                output="21 °C",
                usage_details={"input": 8, "input_cached_tokens": 3, "output": 4},
                cost_details={"input": 0.25, "output": 0.5},
            )
        with client.start_as_current_observation(as_type="tool", name="look", input={"city": "Oslo"}) as tool:
            tool.update(output=21)
        with fake_openai() as url:
            from langfuse import openai

            ask_openai(openai, url)
        agent.update(output="21 °C")
    return ("langfuse", "openai")


def strands() -> tuple[str, ...]:
    """Strands Agents: an agent with a tool. Messages are events of its spans, one each."""
    return _strands("")


def strands_latest() -> tuple[str, ...]:
    """The same as it writes newer conventions: one event with all messages."""
    return _strands("gen_ai_latest_experimental")


def _strands(conventions: str) -> tuple[str, ...]:
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = conventions
    trace.set_tracer_provider(provider())
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    @tool
    def temperature(city: str) -> float:
        """Degrees Celsius in a city."""
        return 20.0 + len(city) / 2

    with fake_openai() as url:
        model = OpenAIModel(client_args={"base_url": url, "api_key": "none"}, model_id=MODEL)
        agent = Agent(
            model, name="weather", tools=[temperature], system_prompt="Be brief.", callback_handler=None
        )
        agent("How warm is it in Oslo?")
    return ("strands-agents", "openai")


def logfire() -> tuple[str, ...]:
    """logfire, sending nothing, around the openai client."""
    import logfire
    import openai

    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[SimpleSpanProcessor(memory)]
    )
    logfire.instrument_openai()
    with fake_openai() as url, logfire.span("weather in {city}", city="Oslo"):
        ask_openai(openai, url)
    return ("logfire", "openai")


# ------------------------------------------------------------------ files


def as_json(span: ReadableSpan) -> dict[str, Any]:
    """A span's own fields; times count from the first one's start, ids are small numbers."""
    assert span.context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "span_id": span.context.span_id,
        "parent_id": span.parent.span_id if span.parent else None,
        "trace_id": span.context.trace_id,
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": span.status.status_code.name,
        "message": span.status.description,
        "attributes": dict(span.attributes or {}),
        "events": [{"name": each.name, "attributes": dict(each.attributes or {})} for each in span.events],
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
    }


def tidy(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ids by order of start, times from 2026-01-01 on, vectors cut to three numbers."""
    first = min(span["start_ns"] for span in spans)
    ids: dict[Any, int] = {None: 0}
    for span in sorted(spans, key=lambda one: one["start_ns"]):
        ids.setdefault(span["span_id"], len(ids))
    traces = {
        trace: number for number, trace in enumerate(dict.fromkeys(one["trace_id"] for one in spans), 1)
    }
    for span in spans:
        span["span_id"], span["parent_id"] = ids[span["span_id"]], ids.get(span["parent_id"], 0) or None
        span["trace_id"] = traces[span["trace_id"]]
        for key in ("start_ns", "end_ns"):
            span[key] += 1_767_268_800 * 10**9 - first
        span["attributes"] = {
            key: value[:3] if isinstance(value, tuple) and len(value) > 100 else value  # noqa: PLR2004
            for key, value in span["attributes"].items()
            if not key.startswith(("code.", "process.", "logfire.json_schema"))
        }
    return spans


def main(name: str) -> None:
    """Record one, beside what is expected of it."""
    scenario: Callable[[], tuple[str, ...]] = globals()[name]
    packages = scenario()
    path = GOLDENS / f"{name}.json"
    expected = json.loads(path.read_text())["expected"] if path.exists() else {}
    document = {
        "client": {package: importlib.metadata.version(package) for package in packages},
        "expected": expected,
        "spans": tidy([as_json(span) for span in memory.get_finished_spans()]),
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=list) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
