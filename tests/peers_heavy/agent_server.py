"""ddapm-test-agent, which keeps every request as it came: a session of it as a place. It loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compare import Fields, as_shown, from_otlp
from receiving_agent import AgentSession, running_agent


class Session:
    """One session of a running agent: see `reading.Place`."""

    type = "otlp"
    deduplicates = False

    def __init__(self, agent: AgentSession) -> None:
        self._agent = agent
        self.endpoint = agent.endpoint
        self.headers = agent.headers

    def spans(self) -> list[Fields]:
        """All that arrived, with what came twice."""
        return [as_shown(span) for span in from_otlp(self._agent.exports())]

    def kept(self, stored: Fields) -> Fields:
        """Everything."""
        return stored


@contextmanager
def agent_session(directory: Path) -> Iterator[Session]:
    """Run an agent for one session."""
    with running_agent(directory) as endpoints:
        yield Session(AgentSession(endpoints.http))
