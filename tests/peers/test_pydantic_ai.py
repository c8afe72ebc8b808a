"""pydantic-ai, instrumented by itself, with its TestModel and a tool."""

from __future__ import annotations

from compare import rows
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel
from recording import Recording


def run_agent(recording: Recording) -> str:
    """Ask an agent that calls its tool once."""
    agent = Agent(TestModel(), name="weather")
    agent.instrument = InstrumentationSettings(tracer_provider=recording.provider)

    @agent.tool_plain
    def temperature(city: str) -> float:
        """Degrees Celsius in a city."""
        return 20.0 + len(city) / 2

    return agent.run_sync("How warm is it?").output


def test_agent_chat_and_tool_spans_arrive_unchanged(recording: Recording) -> None:
    """Every field of the agent, chat and tool spans is the same in the SDK, in SQLite and at the receiver."""
    assert "temperature" in run_agent(recording)
    spans = recording.compare()
    names = [span.name for span in spans]
    assert names == ["chat test", "execute_tool temperature", "chat test", "invoke_agent weather"]
    assert all(type(span.attributes["gen_ai.usage.input_tokens"]) is int for span in spans[0:3:2])


def test_tokens_are_summed_over_its_chat_spans(recording: Recording) -> None:
    """The request's tokens are those of the two chat spans, not also those of the agent above them."""
    run_agent(recording)
    chats = [span.attributes for span in recording.compare() if span.name == "chat test"]
    (request,) = rows(recording.database, "SELECT * FROM requests")
    assert request["prompt_tokens"] == sum(chat["gen_ai.usage.input_tokens"] for chat in chats)
    assert request["completion_tokens"] == sum(chat["gen_ai.usage.output_tokens"] for chat in chats)
    assert (request["status"], request["node_count"], request["error_count"]) == ("flushed", 4, 0)
