"""langgraph, instrumented by openinference-instrumentation-langchain, with a fake model of langchain-core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from compare import rows
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from openinference.instrumentation.langchain import LangChainInstrumentor
from recording import Recording


@pytest.fixture
def instrumented(recording: Recording) -> Iterator[Recording]:
    """A recording of everything that langchain does."""
    LangChainInstrumentor().instrument(tracer_provider=recording.provider)
    yield recording
    LangChainInstrumentor().uninstrument()


@tool
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


@tool
def fail(reason: str) -> str:
    """Fail."""
    raise RuntimeError(reason)


def run_graph(tool_name: str, arguments: dict[str, object]) -> str:
    """A model that calls a tool, then answers; gives the answer."""
    call = {"name": tool_name, "args": arguments, "id": "call-1"}
    model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("three")]))

    def ask(state: MessagesState) -> dict[str, object]:
        return {"messages": [model.invoke(state["messages"])]}

    def route(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END

    graph = StateGraph(MessagesState)
    graph.add_node("agent", ask)
    graph.add_node("tools", ToolNode([add, fail], handle_tool_errors=False))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", route, ["tools", END])
    graph.add_edge("tools", "agent")
    return graph.compile().invoke({"messages": [("user", "1 + 2?")]})["messages"][-1].content


def test_nested_graph_spans_arrive_unchanged(instrumented: Recording) -> None:
    """Nine nested spans of agent, chain, model and tool are the same at both ends, in one tree."""
    assert run_graph("add", {"left": 1, "right": 2}) == "three"
    spans = instrumented.compare()
    kinds = [span.attributes["openinference.span.kind"] for span in spans]
    assert sorted(kinds) == sorted(
        ["LLM", "CHAIN", "AGENT", "TOOL", "CHAIN", "LLM", "CHAIN", "AGENT", "CHAIN"]
    )
    assert len({span.context.trace_id for span in spans}) == 1
    assert [span.name for span in spans if span.parent is None] == ["LangGraph"]


def test_the_nodes_view_has_the_graph_as_its_tree(instrumented: Recording) -> None:
    """`node_traces` shows the same tree by names, with the kinds as node types."""
    run_graph("add", {"left": 1, "right": 2})
    instrumented.compare()
    sql = "SELECT node_name, parent_name, node_type FROM node_traces ORDER BY start_time, id"
    tree = {tuple(row.values()) for row in rows(instrumented.database, sql)}
    assert {
        ("LangGraph", None, "chain"),
        ("agent", "LangGraph", "agent"),
        ("GenericFakeChatModel", "agent", "llm"),
        ("tools", "LangGraph", "chain"),
        ("add", "tools", "tool"),
    } <= tree


def test_a_failing_tool_is_an_error_with_its_exception_event(instrumented: Recording) -> None:
    """Status, message and the exception event with its stack trace survive to both ends."""
    with pytest.raises(RuntimeError, match="no reason"):
        run_graph("fail", {"reason": "no reason"})
    spans = instrumented.compare()
    (failed,) = [span for span in spans if span.name == "fail"]
    assert failed.status.status_code.name == "ERROR"
    assert [event.name for event in failed.events] == ["exception"]
    (request,) = rows(instrumented.database, "SELECT error_count, error_message FROM requests")
    assert request["error_count"] == sum(span.status.status_code.name == "ERROR" for span in spans)
    assert "no reason" in request["error_message"]
