"""Images of node traces on their way out: how many bytes a request gets, and who gets none."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background, owning, rows
from support import eventually

from hush_otel.testing import OtlpReceiver

IMAGE = "llm.input_messages.0.message.contents.1.message_content.image.image.url"
KIB = 1024


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Nobody drains by itself."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A server that keeps every request."""
    with OtlpReceiver() as server:
        yield server


def image(number: int, size: int) -> bytes:
    """Different bytes for each number."""
    return number.to_bytes(4, "big") * (size // 4)


def ask(app: App, count: int, size: int) -> None:
    """So many model calls, each with an image of its own."""
    for number in range(count):
        app.store.insert_node_trace(
            request_id="r",
            workflow_name="flow",
            node_name=f"ask {number}",
            parent_name=None,
            context_id=None,
            execution_order=number,
            start_time=None,
            end_time=None,
            duration_ms=1.0,
            input_data={
                "messages": [{"role": "user", "content": "What is it?"}],
                "__media__": [{"bytes": image(number, size), "content_type": "image/png"}],
            },
            output_data=None,
            model="m",
            node_type="llm",
        )


def deliver(app: App, receiver: OtlpReceiver, kind: str = "phoenix", **options: Any) -> list[dict[str, Any]]:
    """Mark, store, send; the attributes of the spans that arrived."""
    app.store.mark_request_complete("r", kind, {"endpoint": receiver.endpoint, **options})
    with owning(app.settings) as owner:

        def settled() -> bool:
            owner.service._bell.wait(min(owner.step(), 0.05))
            return bool(rows(app.db_path, "SELECT 1 FROM deliveries WHERE state IN ('delivered', 'dead')"))

        eventually(settled, 60.0, what="the delivery", poll_s=0)
    assert rows(app.db_path, "SELECT state, last_error FROM deliveries") == [("delivered", None)]
    return [dict(span.attributes) for span in receiver.spans()]


def sent(spans: list[dict[str, Any]]) -> list[bytes]:
    """The images that arrived."""
    return [base64.b64decode(span[IMAGE].partition(",")[2]) for span in spans if IMAGE in span]


def test_phoenix_gets_the_bytes(app: App, receiver: OtlpReceiver) -> None:
    """From the store into the message, beside the reference."""
    ask(app, 1, 200 * KIB)
    (span,) = deliver(app, receiver)
    assert sent([span]) == [image(0, 200 * KIB)]
    assert '"sha256"' in span["hush.media"]


def test_the_dialect_decides(app: App, receiver: OtlpReceiver) -> None:
    """Whatever the type is."""
    ask(app, 1, KIB)
    assert len(sent(deliver(app, receiver, "otlp", dialect="openinference"))) == 1


@pytest.mark.parametrize("options", [{"media": False}, {"dialect": "none"}, {"dialect": "genai"}])
def test_it_can_be_switched_off(app: App, receiver: OtlpReceiver, options: dict[str, Any]) -> None:
    """Then the text is the message's content again."""
    ask(app, 1, KIB)
    (span,) = deliver(app, receiver, **options)
    assert not [key for key in span if "image" in key]
    assert "hush.media" in span


def test_images_count_against_the_limit_of_a_request(app: App, receiver: OtlpReceiver) -> None:
    """Ten of 64 KiB, 85 KiB in base64: no more than two go into 200 KiB, and all arrive."""
    ask(app, 10, 64 * KIB)
    spans = deliver(app, receiver, max_request_bytes=200 * KIB, compression="none")
    assert sorted(sent(spans)) == [image(number, 64 * KIB) for number in range(10)]
    assert max(len(request.body) for request in receiver.requests) <= 200 * KIB


def test_a_span_that_is_too_large_goes_without_its_images(app: App, receiver: OtlpReceiver) -> None:
    """An image never costs the span."""
    ask(app, 2, 64 * KIB)
    spans = deliver(app, receiver, max_request_bytes=50 * KIB)
    assert len(spans) == 2
    assert sent(spans) == []
    assert [span["llm.input_messages.0.message.content"] for span in spans] == ["What is it?"] * 2


def test_a_receiver_that_finds_them_too_large_gets_them_without(app: App, receiver: OtlpReceiver) -> None:
    """As a proxy in front of it may: 413."""
    ask(app, 1, 64 * KIB)
    receiver.respond(413, times=1)
    spans = deliver(app, receiver)
    assert sent(spans[-1:]) == []
    assert len(receiver.requests) == 2
