"""A tracer of your own: what each request has cost, a line a request, in a file.

    python examples/own_tracer.py

In your project the class lies in an installed module, and `tracer_modules` of ~/.hush/hush.toml names
it; here the script names itself. It runs in a process of its own: while it is slow, nothing else waits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hush_otel import BaseTracer, get_store, register_tracer


@register_tracer
class CostLedger(BaseTracer):
    """One line for each request that was not written yet."""

    @staticmethod
    def flush(flush_data: dict[str, Any]) -> None:
        """Return once it is safe; raise, and it is tried again later."""
        if flush_data["is_delta"]:
            return  # what came late is in no bill
        nodes = flush_data["nodes_trace_data"].values()
        cost = sum(node["cost"] or 0.0 for node in nodes)
        tokens = sum((node["usage"] or {}).get("total_tokens", 0) for node in nodes)
        line = f"{flush_data['request_id']}  {flush_data['workflow_name']}  {tokens} tokens  ${cost:.4f}\n"
        with Path(flush_data["tracer_config"]["path"]).open("a", encoding="utf-8") as file:
            file.write(line)


def main() -> None:
    ledger = Path.home() / "costs.txt"
    store = get_store()
    run = {"request_id": "run-7", "workflow_name": "digest", "context_id": None, "input_data": None}
    times = {"start_time": "2026-01-31T09:00:00Z", "end_time": "2026-01-31T09:00:02Z", "duration_ms": None}
    step: dict[str, Any] = {**run, **times, "output_data": None}
    store.insert_node_trace(node_name="digest", parent_name=None, execution_order=0, **step)
    for order, (name, tokens, cost) in enumerate([("rank", 812, 0.0041), ("write", 2400, 0.0189)], 1):
        store.insert_node_trace(
            node_name=f"digest.{name}",
            parent_name="digest",
            execution_order=order,
            model="writer-1",
            total_tokens=tokens,
            cost_usd=cost,
            contain_generation=True,
            **step,
        )
    store.mark_request_complete("run-7", "CostLedger", {"path": str(ledger)})
    if store.wait_delivered(30_000):
        print(ledger.read_text("utf-8"), end="")
    else:
        print("not flushed; why: hush-otel deliveries")


if __name__ == "__main__":
    # Before the store is made: the background process takes over this environment.
    os.environ["HUSH_TRACER_MODULES"] = Path(__file__).stem
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)
    main()
