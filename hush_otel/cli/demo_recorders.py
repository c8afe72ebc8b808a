"""The two ways into hush-otel, as recorders of the demo's workflow: OTel spans, and node traces."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind, Tracer

from hush_otel import TraceStore

from .demo_workflow import Step

WORKFLOW = "demo.answer"
USER_ID = "demo-user"
SESSION_ID = "demo-session"


class SpanRecorder:
    """Steps as spans of the OTel SDK, with the attributes of the GenAI semantic conventions."""

    def __init__(
        self, tracer: Tracer, request_id: str, *, workflow: str = WORKFLOW, session_id: str = SESSION_ID
    ) -> None:
        self.recorded = 0
        self.request_id = request_id
        self._tracer = tracer
        self._request = {
            "hush.request_id": request_id,
            "gen_ai.workflow.name": workflow,
            "user.id": USER_ID,
            "session.id": session_id,
        }

    @contextmanager
    def record(self, step: Step) -> Iterator[Step]:
        """One span; an exception is recorded on it by the SDK and goes on."""
        kind = SpanKind.CLIENT if step.model else SpanKind.INTERNAL
        name = f"{step.name} {step.model}" if step.model else step.name
        # Attributes of the start: what is set later is seen only when the span has ended.
        known = self._request | _inputs(step)
        with self._tracer.start_as_current_span(name, kind=kind, attributes=known) as span:
            self.recorded += 1
            try:
                yield step
            finally:
                span.set_attributes(_outputs(step))


def _inputs(step: Step) -> dict[str, str]:
    attributes = {"gen_ai.operation.name": step.operation} if step.operation else {}
    if step.model:
        attributes["gen_ai.provider.name"] = "hush-demo"
        attributes["gen_ai.request.model"] = step.model
        attributes["gen_ai.input.messages"] = _message("user", step.inputs)
    elif step.operation == "execute_tool":
        attributes["gen_ai.tool.name"] = step.name
        attributes["gen_ai.tool.call.arguments"] = json.dumps(step.inputs)
    else:
        attributes["input.value"] = json.dumps(step.inputs)
    return attributes


def _outputs(step: Step) -> dict[str, str | int | float]:
    if step.outputs is None:
        return {}
    if step.operation == "execute_tool":
        return {"gen_ai.tool.call.result": json.dumps(step.outputs)}
    if not step.model:
        return {"output.value": json.dumps(step.outputs)}
    return {
        "gen_ai.output.messages": _message("assistant", step.outputs),
        "gen_ai.usage.input_tokens": step.prompt_tokens or 0,
        "gen_ai.usage.output_tokens": step.completion_tokens or 0,
        # The conventions know no cost.
        "hush.cost_usd": step.cost_usd or 0.0,
    }


def _message(role: str, content: object) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": content}]}])


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where and when a node runs. `start_s` is of the performance counter."""

    node_name: str
    parent_name: str | None
    context_id: str | None
    execution_order: int
    start: datetime
    start_s: float


class NodeRecorder:
    """Steps as node traces: one `insert_node_trace` for each, when it has ended."""

    def __init__(
        self,
        store: TraceStore,
        request_id: str,
        *,
        workflow: str = WORKFLOW,
        session_id: str = SESSION_ID,
    ) -> None:
        self.recorded = 0
        self._store = store
        self.request_id = request_id
        self._workflow = workflow
        self._session_id = session_id
        self._open: list[str] = []
        self._context: str | None = None

    @contextmanager
    def record(self, step: Step) -> Iterator[Step]:
        """One node trace, named by its place in the workflow."""
        parent = self._open[-1] if self._open else None
        place = _Place(
            node_name=f"{parent}.{step.name}" if parent else step.name,
            parent_name=parent,
            context_id=self._context,
            execution_order=self.recorded,
            start=datetime.now(UTC),
            start_s=time.perf_counter(),
        )
        self.recorded += 1
        self._open.append(place.node_name)
        error = None
        try:
            yield step
        except Exception as exc:
            error = f"{type(exc).__name__}: {exc}"
            raise
        finally:
            self._open.pop()
            self._insert(step, place, error)

    @contextmanager
    def in_pass(self, number: int) -> Iterator[None]:
        """Steps inside belong to this pass of a loop, from 0."""
        self._context = f"[{number}]"
        try:
            yield
        finally:
            self._context = None

    def _insert(self, step: Step, place: _Place, error: str | None) -> None:
        self._store.insert_node_trace(
            request_id=self.request_id,
            workflow_name=self._workflow,
            node_name=place.node_name,
            parent_name=place.parent_name,
            context_id=place.context_id,
            execution_order=place.execution_order,
            start_time=place.start.isoformat(),
            end_time=datetime.now(UTC).isoformat(),
            duration_ms=(time.perf_counter() - place.start_s) * 1000,
            input_data={"input": step.inputs},
            output_data=None if step.outputs is None else {"output": step.outputs},
            user_id=USER_ID,
            session_id=self._session_id,
            model=step.model,
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            cost_usd=step.cost_usd,
            contain_generation=step.model is not None,
            error=error,
        )
