"""Images of node traces in the messages of a model call, as OpenInference and MLflow document them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from dialect_samples import CHAT, node

from hush_otel.destinations.translating import translating
from hush_otel.errors import OversizeError
from hush_otel.mapping.dialects import images
from hush_otel.mapping.dialects.catalogue import additions, dialect_named, translated
from hush_otel.mapping.dialects.images import DRAWN, MAX_IMAGE_BYTES, MAX_SPAN_BYTES
from hush_otel.mapping.dialects.remarks import remarks
from hush_otel.model import AttributeValue, DestinationConfig, Outcome, SpanData
from hush_otel.presets import PRESETS

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


def attached(*files: bytes, kind: str = "llm", to: str = "input", **fields: Any) -> SpanData:
    """A node with these files, as the relay reads it."""
    content_type = fields.pop("content_type", "image/png")
    stored = {sha256(data).hexdigest(): data for data in files}
    references = [
        {"name": "a", "content_type": content_type, "attach_to": to, "size": len(data), "sha256": digest}
        for digest, data in stored.items()
    ]
    values = {"input_data": {"messages": CHAT}, "output_data": "Because.", "node_type": kind} | fields
    one = node(**values)
    one.attributes["hush.media"] = json.dumps([*references, {"name": "b", "missing": "too large"}])
    return msgspec.structs.replace(one, facts=msgspec.structs.replace(one.facts, media=stored.get))


def messages(one: SpanData, dialect: str = "openinference") -> dict[str, AttributeValue]:
    """What the dialect says of its messages, without the prefix."""
    found = dialect_named(dialect)
    assert found is not None
    return {
        key.removeprefix("llm."): value
        for key, value in additions(found, one).items()
        if key.startswith(("llm.input_messages.", "llm.output_messages."))
    }


def urls(one: SpanData) -> list[AttributeValue]:
    """The images that are sent."""
    return [value for key, value in messages(one).items() if key.endswith("message_content.image.image.url")]


def test_an_image_is_a_part_of_the_last_message_of_the_user() -> None:
    """Its text is a part, too, and no content of the message besides: readers would show it twice."""
    found = messages(attached(PNG))
    parts = "input_messages.1.message.contents."
    assert {key: value for key, value in found.items() if key.startswith("input_messages.1.")} == {
        "input_messages.1.message.role": "user",
        parts + "0.message_content.type": "text",
        parts + "0.message_content.text": "Why?",
        parts + "1.message_content.type": "image",
        parts + "1.message_content.image.image.url": URL,
    }
    assert found["input_messages.0.message.content"] == "Be brief."
    assert found["output_messages.0.message.content"] == "Because."


def test_an_image_of_the_output_is_the_assistants() -> None:
    """As image models answer."""
    found = messages(attached(PNG, to="output"))
    assert found["output_messages.0.message.contents.1.message_content.image.image.url"] == URL
    assert found["input_messages.1.message.content"] == "Why?"


def test_an_image_without_messages_makes_one() -> None:
    """An input that is no conversation stands in `input.value` as ever."""
    assert messages(attached(PNG, input_data={"q": 1}, output_data=None)) == {
        "input_messages.0.message.role": "user",
        "input_messages.0.message.contents.0.message_content.type": "image",
        "input_messages.0.message.contents.0.message_content.image.image.url": URL,
    }


def in_mlflow(one: SpanData) -> tuple[Any, Any]:
    """What MLflow is given as the input and the output."""
    found = dialect_named("mlflow")
    assert found is not None
    sent = additions(found, one)
    return sent.get("mlflow.spanInputs"), sent.get("mlflow.spanOutputs")


PART = {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"messages": CHAT, "n": 1},
            {
                "messages": [
                    CHAT[0],
                    {"role": "user", "content": [{"type": "text", "text": "Why?"}, PART]},
                ],
                "n": 1,
            },
        ),
        (
            [
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
                {"role": "assistant", "content": "b"},
            ],
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a"}, PART]},
                    {"role": "assistant", "content": "b"},
                ]
            },
        ),
        (
            {"role": "user", "content": "Why?"},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}, PART]}]},
        ),
        (
            {"messages": [{"role": "system", "content": "s"}]},
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [PART]}]},
        ),
        ("Why?", {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}, PART]}]}),
        ({"q": 1}, {"q": 1, "messages": [{"role": "user", "content": [PART]}]}),
        (
            {"messages": [{"role": "user", "content": 1}]},
            {"messages": [{"role": "user", "content": 1}, {"role": "user", "content": [PART]}]},
        ),
        ({"messages": "none"}, {"messages": "none"}),
        ([1, 2], [1, 2]),
        (7, 7),
    ],
    ids=[
        *("messages", "list", "one message", "no user", "text", "no messages", "content of another kind"),
        *("messages of another kind", "other list", "number"),
    ],
)
def test_mlflow_has_images_as_parts_of_openais_messages(given: Any, shown: Any) -> None:
    """What is there stays; where no message has a place, the image stays a reference."""
    assert in_mlflow(attached(PNG, input_data=given)) == (shown, "Because.")


def test_mlflow_has_an_image_of_the_output_as_the_assistants() -> None:
    """Beside its text."""
    given, answered = in_mlflow(attached(PNG, to="output"))
    assert given == {"messages": CHAT}
    assert answered == {
        "messages": [{"role": "assistant", "content": [{"type": "text", "text": "Because."}, PART]}]
    }


def test_mlflow_has_images_of_model_calls_alone() -> None:
    """As Phoenix has them: nobody looks for messages elsewhere."""
    assert in_mlflow(attached(PNG, kind="tool")) == ({"messages": CHAT}, "Because.")


@pytest.mark.parametrize("content_type", sorted(DRAWN))
def test_what_browsers_draw_is_sent(content_type: str) -> None:
    """By the type that it was given."""
    (url,) = urls(attached(PNG, content_type=content_type))
    assert str(url).startswith(f"data:{content_type};base64,")


@pytest.mark.parametrize(
    "one",
    [
        attached(PNG, content_type="image/svg+xml"),
        attached(PNG, content_type="application/pdf"),
        attached(PNG, content_type="image/png;x=<script>"),
        attached(PNG, to="metadata"),
        attached(PNG, kind="tool"),
        attached(bytes(MAX_IMAGE_BYTES + 1)),
    ],
    ids=["svg", "pdf", "no plain type", "of the metadata", "no model call", "too large"],
)
def test_everything_else_stays_a_reference(one: SpanData) -> None:
    """Its attribute goes as it is."""
    assert urls(one) == []


def test_a_span_has_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are sent; a smaller one behind may fit."""
    monkeypatch.setattr(images, "MAX_SPAN_BYTES", 1000)
    sizes = [len(base64.b64decode(str(url).partition(",")[2])) for url in urls(attached(*map(bytes, SIZES)))]
    assert sizes == [600, 300, 100]


SIZES = (600, 500, 300, 200, 100)


def test_a_full_span_fits_into_the_smallest_usual_request() -> None:
    """Base64 makes four bytes of three; gRPC receivers take 4 MiB."""
    assert MAX_SPAN_BYTES * 4 / 3 < 4 * 1024 * 1024 / 2


class Nobody:
    """Sends nothing."""

    max_in_flight = 1
    wants_facts = False

    def send(self, _: Sequence[SpanData]) -> Outcome:
        """As if it were."""
        return Outcome()

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("kind", ["phoenix", "mlflow"])
def test_no_more_are_read_than_one_request_can_carry(kind: str) -> None:
    """The images of a whole batch may need more memory than there is."""
    read: list[str] = []
    one = attached(bytes(60_000))
    files = one.facts.media
    assert files is not None

    def reading(digest: str) -> bytes | None:
        read.append(digest)
        return files(digest)

    one = msgspec.structs.replace(one, facts=msgspec.structs.replace(one.facts, media=reading))
    config = DestinationConfig("p", kind, {"max_request_bytes": 200_000})
    with pytest.raises(OversizeError) as caught:
        translating(Nobody(), config).send([one] * 500)
    assert len(read) == 3
    assert caught.value.size_bytes > 10_000_000, "so that the next try is of about two"


@pytest.mark.parametrize("kind", ["phoenix", "mlflow"])
@pytest.mark.parametrize(("content_type", "left"), [("image/png", False), ("application/pdf", True)])
def test_files_that_stay_here_are_remarked(kind: str, content_type: str, left: bool) -> None:
    """An image that is in its message is none of them; nor is what was never stored."""
    name = PRESETS[kind].dialect
    dialect, one = dialect_named(name), attached(PNG, content_type=content_type)
    assert dialect is not None
    keys = [each.key for each in remarks(kind, name, one, translated(dialect, one))]
    assert ("hush.media" in keys) == left


def test_a_file_that_is_gone_stays_a_reference() -> None:
    """Retention may have deleted it since the span was read."""
    one = attached(PNG)
    gone = msgspec.structs.replace(one.facts, media=lambda _: None)
    assert urls(msgspec.structs.replace(one, facts=gone)) == []


@pytest.mark.parametrize(
    "text", ["", "[", "{}", '[{"sha256": 1}]', '[{"sha256": "a", "size": "1"}]', '["a"]']
)
def test_references_of_another_form_are_none(text: str) -> None:
    """Redaction may have changed them."""
    one = attached(PNG)
    one.attributes["hush.media"] = text
    assert urls(one) == []
