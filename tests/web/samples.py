"""What the browser tests look at: requests as applications make them, recorded by the real ways in."""

from __future__ import annotations

import json
import random
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from hush_otel import Destination, HushSpanProcessor, get_store

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000

STORED_MS = 120_000
"""How long storing may take; a few seconds on an idle machine."""

HOSTILE = (
    "<img src=x onerror=\"window.hit='img'\">",
    "<script>window.hit='script'</script>",
    "javascript:window.hit='url'",
    "\x1b[31mred\x1b[0m\x1b]8;;http://evil.example/\x07link\x1b]8;;\x07",
    "abc\u202etxt.exe\u2066\u200b",
    "__proto__",
    "constructor",
    "';alert(1);//\"`${window.hit='template'}",
    "{{constructor.constructor('window.hit=1')()}}",
    "line\nbreak\rand\ttab\x00nul",
)
"""B13: each of them is a name, an attribute key and a value of the hostile request."""


@contextmanager
def tracing(database: Path, *destinations: Destination) -> Iterator[Tracer]:
    """A tracer whose spans go into the database; everything is stored at the end."""
    resource = Resource.create({"service.name": "shop-api", "deployment.environment.name": "test"})
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(HushSpanProcessor(database, destinations=list(destinations)))
    try:
        yield provider.get_tracer("shop.support", "1.4.2")
        assert provider.force_flush(STORED_MS), "not stored in time"
    finally:
        provider.shutdown()


class Clock:
    """Spans with the times that they are given, one below the other."""

    def __init__(self, tracer: Tracer, start_ns: int) -> None:
        self.tracer = tracer
        self.now_ns = start_ns
        self._open: list[Span] = []

    @contextmanager
    def span(
        self, name: str, attributes: dict[str, Any], kind: SpanKind = SpanKind.INTERNAL
    ) -> Iterator[Span]:
        """One that lasts as long as the clock is turned inside."""
        context = set_span_in_context(self._open[-1]) if self._open else set_span_in_context(None)  # type: ignore[arg-type]
        span = self.tracer.start_span(name, context, kind=kind, attributes=attributes, start_time=self.now_ns)
        self._open.append(span)
        try:
            yield span
        finally:
            self._open.pop()
            span.end(self.now_ns)

    def turn(self, ms: float) -> None:
        """Let time pass."""
        self.now_ns += int(ms * MS_NS)


def messages(*pairs: tuple[str, str]) -> str:
    """Messages as the GenAI conventions have them."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in pairs])


def support(
    tracer: Tracer, request_id: str, start_ns: int, *, failing: bool = False, scale: float = 1.0
) -> None:
    """A question to a shop: retrieval, a model that calls a tool, an answer."""
    clock = Clock(tracer, start_ns)
    question = "Where is my order 10482, and can I still change the address?"
    documents = [
        {"id": "kb-31", "title": "Changing an address", "score": 0.913},
        {"id": "kb-07", "title": "Delivery times", "score": 0.774},
    ]
    about = {
        "hush.request_id": request_id,
        "hush.workflow_name": "support.answer",
        "user.id": "ada@example.org",
        "session.id": "chat-7f31",
        "input.value": json.dumps({"question": question}),
    }
    with clock.span("support.answer", {**about, "openinference.span.kind": "CHAIN"}) as root:
        clock.turn(3 * scale)
        with clock.span(
            "guard input",
            {"openinference.span.kind": "GUARDRAIL", "input.value": question, "output.value": "pass"},
        ):
            clock.turn(42 * scale)
        with clock.span(
            "retrieve",
            {"gen_ai.operation.name": "retrieval", "input.value": json.dumps({"question": question})},
        ) as retrieve:
            with clock.span(
                "embed question",
                {
                    "gen_ai.operation.name": "embeddings",
                    "gen_ai.request.model": "text-embedding-3-small",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.usage.input_tokens": 17,
                },
                SpanKind.CLIENT,
            ):
                clock.turn(96 * scale)
            with clock.span(
                "POST /collections/kb/points/search",
                {"http.request.method": "POST", "http.response.status_code": 200},
                SpanKind.CLIENT,
            ):
                clock.turn(38 * scale)
            retrieve.set_attribute("output.value", json.dumps({"documents": documents}))
        with clock.span(
            "rerank",
            {"openinference.span.kind": "RERANKER", "input.value": json.dumps({"documents": documents})},
        ):
            clock.turn(61 * scale)
        with clock.span(
            "agent loop",
            {"openinference.span.kind": "AGENT", "input.value": json.dumps({"documents": documents})},
        ):
            _model_that_calls(clock, question, scale)
            with clock.span(
                "lookup_order",
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "lookup_order",
                    "gen_ai.tool.call.arguments": json.dumps({"order": 10482}),
                },
            ) as tool:
                clock.turn(184 * scale)
                if failing:
                    error = "TimeoutError: orders-db did not answer within 150 ms"
                    tool.record_exception(
                        TimeoutError("orders-db did not answer within 150 ms"), timestamp=clock.now_ns
                    )
                    tool.set_status(StatusCode.ERROR, error)
                else:
                    tool.set_attribute(
                        "gen_ai.tool.call.result", json.dumps({"state": "packed", "leaves": "tomorrow"})
                    )
            if failing:
                root.set_status(StatusCode.ERROR, "the answer needs lookup_order")
                return
            answer = _model_that_answers(clock, question, scale)
        root.set_attribute("output.value", json.dumps({"answer": answer, "sources": ["kb-31"]}))


def _model_that_calls(clock: Clock, question: str, scale: float) -> None:
    calls = [{"type": "tool_call", "id": "call_1", "name": "lookup_order", "arguments": {"order": 10482}}]
    with clock.span(
        "chat gpt-4o-mini",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 812,
            "gen_ai.usage.output_tokens": 24,
            "gen_ai.input.messages": messages(
                ("system", "You help customers of a shop. Look orders up before you speak of them."),
                ("user", question),
            ),
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": calls, "finish_reason": "tool_calls"}]
            ),
        },
        SpanKind.CLIENT,
    ):
        clock.turn(640 * scale)


def _model_that_answers(clock: Clock, question: str, scale: float) -> str:
    answer = (
        "Your order 10482 is packed and leaves tomorrow.\n\n"
        "You can change the address until then: open *Orders*, choose 10482, then *Change address*."
    )
    seen = json.loads(messages(("system", "You help customers of a shop."), ("user", question)))
    seen.append(
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "id": "call_1", "name": "lookup_order", "arguments": {"order": 10482}}
            ],
        }
    )
    seen.append(
        {
            "role": "tool",
            "parts": [
                {
                    "type": "tool_call_response",
                    "id": "call_1",
                    "result": '{"state": "packed", "leaves": "tomorrow"}',
                }
            ],
        }
    )
    with clock.span(
        "chat gpt-4o",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.temperature": 0.2,
            "gen_ai.usage.input_tokens": 1046,
            "gen_ai.usage.output_tokens": 138,
            "gen_ai.input.messages": json.dumps(seen),
            "gen_ai.output.messages": json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [{"type": "text", "content": answer}],
                        "finish_reason": "stop",
                    }
                ]
            ),
        },
        SpanKind.CLIENT,
    ):
        clock.turn(1480 * scale)
    return answer


def history(tracer: Tracer, amount: int, *, days: float = 6.5, seed: int = 7) -> None:
    """Requests over the last days, of three workflows, some of which failed."""
    chance = random.Random(seed)
    now_ns = time.time_ns()
    for number in range(amount):
        age_s = chance.random() ** 1.3 * days * 86_400
        workflow, model, typical_ms = chance.choice(
            [
                ("support.answer", "gpt-4o", 2400),
                ("support.answer", "gpt-4o", 2400),
                ("search.rank", "text-embedding-3-small", 130),
                ("digest.weekly", "claude-sonnet-4-5", 9000),
            ]
        )
        took_ms = typical_ms * chance.lognormvariate(0, 0.5)
        clock = Clock(tracer, now_ns - int((age_s + took_ms / 1000) * SECOND_NS))
        attributes = {
            "hush.request_id": f"{workflow.partition('.')[0]}-{number:04d}",
            "hush.workflow_name": workflow,
            "user.id": f"user-{chance.randrange(12)}",
            "session.id": f"chat-{chance.randrange(40):02d}",
            "openinference.span.kind": "CHAIN",
        }
        with clock.span(workflow, attributes) as root:
            clock.turn(took_ms * 0.15)
            usage = {
                "gen_ai.operation.name": "embeddings" if "embed" in model else "chat",
                "gen_ai.provider.name": "anthropic" if "claude" in model else "openai",
                "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": chance.randrange(200, 4000),
                "gen_ai.usage.output_tokens": 0 if "embed" in model else chance.randrange(40, 900),
            }
            with clock.span(f"chat {model}", usage, SpanKind.CLIENT) as call:
                clock.turn(took_ms * 0.85)
                if chance.random() < 0.06:
                    call.set_status(StatusCode.ERROR, "RateLimitError: 429, try again in 12 s")
                    root.set_status(StatusCode.ERROR, "the model did not answer")


def loop(database: Path, request_id: str, passes: int) -> None:
    """A digest: node traces, a pass of the loop for each document."""
    store = get_store(database)
    start = datetime.now(UTC) - timedelta(seconds=passes)
    common: dict[str, Any] = {"request_id": request_id, "workflow_name": "digest.weekly", "duration_ms": None}

    def node(name: str, parent: str | None, order: int, at_s: float, took_s: float, **more: Any) -> None:
        begun = start + timedelta(seconds=at_s)
        store.insert_node_trace(
            node_name=name,
            parent_name=parent,
            execution_order=order,
            start_time=begun.isoformat(),
            end_time=(begun + timedelta(seconds=took_s)).isoformat(),
            **{"context_id": None, "input_data": {}, "output_data": {}, **common, **more},
        )

    order = 1
    for number in range(passes):
        at_s, context = number * 0.5, f"[{number}]"
        node(
            "digest.read",
            "digest",
            order,
            at_s,
            0.1,
            context_id=context,
            output_data={"text": f"document {number}"},
        )
        node(
            "digest.summarise", "digest", order + 1, at_s + 0.1, 0.35, context_id=context,
            input_data={"text": f"document {number}"}, output_data={"summary": f"what {number} says"},
            model="claude-sonnet-4-5", prompt_tokens=1200 + number, completion_tokens=90, cost_usd=0.0049,
            contain_generation=True,
        )  # fmt: skip
        order += 2
    node(
        "digest",
        None,
        0,
        0,
        passes * 0.5,
        input_data={"documents": passes},
        output_data={"summaries": passes},
    )
    store.mark_request_complete(request_id, "local", {}, tags=["weekly", "eu"])
    assert store.force_flush(STORED_MS)


def pictures(database: Path, request_id: str) -> None:
    """A node with a picture, a file, and one that is not there, under `__media__`."""
    store = get_store(database)
    begun = datetime.now(UTC)
    store.insert_node_trace(
        request_id=request_id,
        workflow_name="receipts.read",
        node_name="read receipt",
        parent_name=None,
        context_id=None,
        execution_order=0,
        start_time=begun.isoformat(),
        end_time=(begun + timedelta(milliseconds=310)).isoformat(),
        duration_ms=310.0,
        input_data={
            "__media__": {
                "receipt": {"bytes": png(96, 64), "content_type": "image/png"},
                "notes": {"bytes": b"<b>hi</b>", "content_type": "text/html"},
                "scan": {"path": str(database.with_name("no-such-file.png"))},
            }
        },
        output_data={"total": 12.5, "shop": "\U0001f950\U0001f370 Backhaus"},
    )
    store.mark_request_complete(request_id, "local", {})
    assert store.force_flush(STORED_MS)


def png(width: int, height: int) -> bytes:
    """A small picture: a gradient."""
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // width, y * 255 // height, 160)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def hostile(tracer: Tracer, request_id: str) -> None:
    """B13: everything that a browser, a terminal or JavaScript could take for more than text."""
    root = tracer.start_span(
        HOSTILE[0],
        attributes={
            "hush.request_id": request_id,
            "hush.workflow_name": HOSTILE[1],
            "user.id": HOSTILE[0],
            "session.id": HOSTILE[2],
            "gen_ai.request.model": HOSTILE[0],
            "gen_ai.input.messages": messages(*((text, text) for text in HOSTILE)),
        },
    )
    for text in HOSTILE:
        child = tracer.start_span(text, set_span_in_context(root))
        for key in HOSTILE:
            child.set_attribute(key or "empty", text)
        child.set_attribute("input.value", json.dumps({key: {key: text} for key in HOSTILE}))
        child.set_attribute("output.value", text)
        child.add_event(text, dict.fromkeys(HOSTILE, text))
        child.set_status(StatusCode.ERROR, text)
        child.end()
    root.end()


def many(tracer: Tracer, request_id: str, spans: int) -> None:
    """One request of so many spans: a hundred below each step."""
    start_ns = time.time_ns() - 60 * SECOND_NS
    root = tracer.start_span(
        "crawl",
        attributes={"hush.request_id": request_id, "hush.workflow_name": "crawl.site"},
        start_time=start_ns,
    )
    at_ns, parent = start_ns, root
    for number in range(spans - 1):
        if number % 100 == 0:
            if parent is not root:
                parent.end(at_ns)
            parent = tracer.start_span(
                f"section {number // 100}", set_span_in_context(root), start_time=at_ns
            )
            continue
        span = tracer.start_span(f"page {number}", set_span_in_context(parent), start_time=at_ns)
        at_ns += MS_NS
        if number == spans // 2 + 1:
            span.set_status(StatusCode.ERROR, "404 not found")
        span.end(at_ns)
    parent.end(at_ns)
    root.end(at_ns)


def large(tracer: Tracer, request_id: str, characters: int) -> None:
    """One span with an input of so many characters."""
    rows = [{"row": number, "text": "lorem ipsum dolor sit amet"} for number in range(characters // 50)]
    with tracer.start_as_current_span(
        "import",
        attributes={
            "hush.request_id": request_id,
            "hush.workflow_name": "import.rows",
            "input.value": json.dumps(rows),
            "output.value": "done",
        },
    ):
        pass
