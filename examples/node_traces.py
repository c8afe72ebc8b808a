"""Workflow steps without OpenTelemetry, one record each: `python examples/node_traces.py`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hush_otel import get_store

Data = dict[str, Any]

store = get_store()


def split(data: Data) -> Data:
    return {"sentences": [part.strip() for part in data["text"].split(".") if part.strip()]}


def rank(data: Data) -> Data:
    return {"ranked": sorted(data["sentences"], key=len, reverse=True)}


def summarize(data: Data) -> Data:
    """Where your model is called."""
    return {"summary": data["ranked"][0]}


STEPS: list[tuple[Callable[[Data], Data], Data]] = [
    (split, {}),
    (rank, {}),
    (
        summarize,
        {"contain_generation": True, "model": "gpt-4o-mini", "prompt_tokens": 212, "completion_tokens": 17},
    ),
]


def digest(text: str) -> str:
    """Run the steps in order and record them under the workflow's own node; return the request's id."""
    request_id = str(uuid.uuid4())
    began, began_s = datetime.now(UTC), time.perf_counter()
    data: Data = {"text": text}

    for order, (step, generation) in enumerate(STEPS, start=1):
        started, started_s = datetime.now(UTC), time.perf_counter()
        result = step(data)
        store.insert_node_trace(
            request_id=request_id,
            workflow_name="digest",
            node_name=f"digest.{step.__name__}",
            parent_name="digest",
            context_id=None,
            execution_order=order,
            start_time=started.isoformat(),
            end_time=datetime.now(UTC).isoformat(),
            duration_ms=(time.perf_counter() - started_s) * 1000,
            input_data=data,
            output_data=result,
            **generation,
        )
        data = result

    store.insert_node_trace(
        request_id=request_id,
        workflow_name="digest",
        node_name="digest",
        parent_name=None,
        context_id=None,
        execution_order=0,
        start_time=began.isoformat(),
        end_time=datetime.now(UTC).isoformat(),
        duration_ms=(time.perf_counter() - began_s) * 1000,
        input_data={"text": text},
        output_data=data,
    )
    # "local" stores only; ("otlp", {"endpoint": "http://127.0.0.1:4318"}) sends the request on.
    store.mark_request_complete(request_id, "local", {}, tags=["example"])
    return request_id


def main() -> None:
    request_id = digest("Spans are appended to a file. A process of its own stores them. Nothing waits.")
    if not store.force_flush():
        raise SystemExit("not everything is stored; see `hush-otel status`")
    print(f"hush-otel show {request_id}")


if __name__ == "__main__":
    main()
