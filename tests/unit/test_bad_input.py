"""Bad input by its id: through the processor and insert_node_trace, drained, and read back.

None of it may raise into the app, except the documented ValueError, or harm a neighbour.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import threading
import uuid
from collections import ChainMap, UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asking import turn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import App, dicts, losses, no_background, owning, rows
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, Status, StatusCode
from redacting import configure

from hush_otel import HushSpanProcessor

JSON_COLUMNS = {
    "spans": ("attributes", "events", "links", "resource", "scope"),
    "requests": ("tracer_config", "tags"),
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An application with a good span and a good node beside whatever the test does."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db")
    app.tracer.start_span("good neighbour").end()
    node(app, request_id="good neighbour", input_data={"good": True})
    yield app
    app.drain()
    assert app.span("good neighbour")["state"] == "ended"
    assert [n["input_data"] for n in app.nodes() if n["request_id"] == "good neighbour"] == ['{"good":true}']
    valid_json(app.db_path)
    assert rows(app.db_path, "PRAGMA integrity_check") == [("ok",)]


def valid_json(db_path: Path) -> None:
    """Every JSON column of every view holds valid JSON, by SQLite's own measure."""
    for view, columns in JSON_COLUMNS.items():
        for column in columns:
            bad = rows(
                db_path,
                f"SELECT {column} FROM {view} WHERE json_valid({column}) = 0 AND {column} IS NOT NULL",  # noqa: S608
            )
            assert not bad, (view, column, bad)


def node(app: App, **fields: Any) -> None:
    """insert_node_trace with what matters here."""
    names = (
        """parent_name context_id execution_order start_time end_time duration_ms input_data output_data"""
    )
    app.store.insert_node_trace(
        **(
            {"request_id": "r", "workflow_name": "w", "node_name": "n"}
            | dict.fromkeys(names.split())
            | fields
        )
    )


def stored(app: App, value: object) -> Any:
    """A value through input_data: what a reader of the column sees."""
    node(app, request_id="value", input_data={"v": value})
    app.drain()
    text = rows(
        app.db_path, "SELECT input_data FROM node_traces WHERE request_id = 'value' ORDER BY id DESC"
    )[0][0]
    return json.loads(text)["v"]


def tried(app: App) -> list[tuple[Any, ...]]:
    """State and last error of the deliveries, when the first of them has been tried."""
    sql = "SELECT state, last_error FROM deliveries"

    def found() -> bool:
        states = rows(app.db_path, sql)
        return bool(states) and (states[0][0] not in ("pending", "sending") or bool(states[0][1]))

    with owning(app.settings) as owner:
        turn(owner, found)
    return rows(app.db_path, sql)


def attributes(app: App, name: str) -> dict[str, Any]:
    """A span's attributes as a reader sees them."""
    found: dict[str, Any] = json.loads(app.span(name)["attributes"])
    return found


def test_b01_lone_surrogates(app: App) -> None:
    """B1: U+FFFD in names, keys, values, ids and errors, of spans and of nodes."""
    span = app.tracer.start_span("na\ud800me", attributes={"k\ud800": "v\udfff", "list": ["\ud800"]})
    span.add_event("e\ud800", {"x": "\ud800"})
    span.set_status(Status(StatusCode.ERROR, "m\ud800"))
    span.end()
    node(app, request_id="r\ud800", node_name="n\ud800", input_data="\ud800", error="\ud800")
    app.drain()
    row = app.span("na\ufffdme")
    assert json.loads(row["attributes"]) == {"k\ufffd": "v\ufffd", "list": ["\ufffd"]}
    assert json.loads(row["events"])[0]["name"] == "e\ufffd"
    assert row["status_message"] == "m\ufffd"
    assert rows(
        app.db_path,
        "SELECT request_id, node_name, input_data, error FROM node_traces WHERE request_id LIKE 'r_'",
    ) == [("r\ufffd", "n\ufffd", "\ufffd", "\ufffd")]


def test_b02_large_integers(app: App) -> None:
    """B2: 64 bit exactly, beyond that text, beyond 4,000 digits a marker; token counts are flagged."""
    values = [2**63 - 1, -(2**63), 2**53 + 1, 2**64, -(10**30)]
    assert stored(app, values) == [2**63 - 1, -(2**63), 2**53 + 1, str(2**64), str(-(10**30))]
    assert stored(app, 10**5000).startswith("<integer of ")
    app.tracer.start_span("span", attributes={"big": 2**70, "small": 1}).end()
    node(app, request_id="tokens", prompt_tokens=2**70, total_tokens=7)
    app.drain()
    assert attributes(app, "span") == {"big": str(2**70), "small": 1}
    assert rows(
        app.db_path, "SELECT prompt_tokens, total_tokens FROM requests WHERE request_id = 'tokens'"
    ) == [(None, 7)]
    found = rows(app.db_path, "SELECT attributes FROM spans WHERE request_id = 'tokens'")[0][0]
    assert json.loads(found)["hush.invalid.prompt_tokens"] == str(2**70)


def test_b02_token_sums_beyond_64_bit(app: App) -> None:
    """B2: two counts that each fit and together do not harm neither their request nor the next."""
    for _ in range(3):
        node(app, request_id="sum", prompt_tokens=2**63 - 1, cost_usd=1e308)
    node(app, request_id="after", prompt_tokens=1)
    app.drain()
    assert losses(app.db_path) == {}
    assert rows(app.db_path, "SELECT node_count FROM requests WHERE request_id = 'sum'") == [(3,)]
    assert rows(app.db_path, "SELECT prompt_tokens FROM requests WHERE request_id = 'after'") == [(1,)]


def test_b03_numbers_that_are_none(app: App) -> None:
    """B3: NaN and the infinities are the tagged strings, and the JSON is valid."""
    nan, inf = float("nan"), float("inf")
    assert stored(app, [nan, inf, -inf, 1.5]) == ["NaN", "Infinity", "-Infinity", 1.5]
    span = app.tracer.start_span("span", attributes={"f": nan, "l": [inf, 0.5]})
    span.add_event("e", {"x": -inf})
    span.end()
    node(app, request_id="r", duration_ms=nan, cost_usd=inf)
    app.drain()
    assert attributes(app, "span") == {"f": "NaN", "l": ["Infinity", 0.5]}
    assert json.loads(app.span("span")["events"])[0]["attributes"] == {"x": "-Infinity"}
    assert rows(app.db_path, "SELECT cost_usd, duration_ms FROM node_traces WHERE request_id = 'r'") == [
        (None, None)
    ]


def test_b04_cycles(app: App) -> None:
    """B4: what contains itself is "<cycle>"."""
    cycle: dict[str, Any] = {"a": 1}
    cycle["me"] = cycle
    node(app, request_id="r", input_data=cycle, metadata=cycle, output_data=[cycle])
    app.drain()
    found = rows(app.db_path, "SELECT input_data, metadata FROM node_traces WHERE request_id = 'r'")[0]
    assert json.loads(found[0]) == json.loads(found[1]) == {"a": 1, "me": "<cycle>"}


def test_b05_depth(app: App) -> None:
    """B5: below 64 levels everything is there; above it is cut, whatever the depth."""
    deep: Any = "leaf"
    for _ in range(40):
        deep = {"d": deep}
    assert stored(app, deep) == deep
    for _ in range(5000):
        deep = [deep]
    assert "<depth>" in json.dumps(stored(app, deep))


@dataclass
class Thing:
    """A dataclass."""

    x: int
    y: str


def test_b06_types(app: App) -> None:
    """B6: the documented conversions, as a reader of the column sees them."""
    value = {
        "set": {1},
        "tuple": (1, "a"),
        "decimal": Decimal("1.50"),
        "datetime": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "date": dt.date(2026, 1, 2),
        "uuid": uuid.UUID(int=1),
        "bytes": b"\0\xff",
        "dataclass": Thing(1, "y"),
        "keys": {1: "int", None: "none", (1, 2): "tuple", False: "bool", 2: 2},
    }
    found = stored(app, value)
    assert found["set"] == [1]
    assert found["tuple"] == [1, "a"]
    assert found["decimal"] == "1.50"
    assert found["datetime"] == "2026-01-02T03:04:05Z"
    assert found["date"] == "2026-01-02"
    assert found["uuid"] == str(uuid.UUID(int=1))
    assert found["bytes"] == "AP8="
    assert found["dataclass"] == {"x": 1, "y": "y"}
    assert found["keys"]["2"] == 2
    assert found["keys"]["[1,2]"] == "tuple"


def test_b07_hostile_objects(app: App) -> None:
    """B7: an object whose every method raises is named by its type; its neighbours are whole."""

    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __repr__(self) -> str:
            raise AssertionError("a user's repr was called")

    class Items(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    node(
        app,
        request_id="r",
        input_data={"bad": Hostile(), "good": 1},
        metadata=Items(a=1),
        output_data=Hostile(),
    )
    node(app, request_id=str(Items), user_id=Hostile(), execution_order=Hostile(), model=[1], error=Hostile())
    app.store.mark_request_complete("marked", "local", Items(a=1), Hostile())  # type: ignore[arg-type]
    app.store.mark_request_complete("marked", "local", {"bad": Hostile()}, (Hostile(), "tag"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tracer_config must be a mapping, not Hostile$"):
        app.store.mark_request_complete("marked", "local", Hostile())  # type: ignore[arg-type]
    app.drain()
    found = rows(app.db_path, "SELECT input_data FROM node_traces WHERE request_id = 'r'")[0][0]
    assert json.loads(found)["good"] == 1
    assert "Hostile" in json.loads(found)["bad"]
    assert rows(app.db_path, "SELECT status FROM requests WHERE request_id = 'marked'") == [("stored",)]
    assert len(app.nodes()) == 4
    assert losses(app.db_path) == {}


def test_b07_a_hostile_text(app: App) -> None:
    """B7: a required field that is text by its type is taken without asking it anything."""

    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise RuntimeError

        __str__ = __bool__ = __iter__ = __len__  # type: ignore[assignment]

    node(app, request_id=Text("hostile"), node_name=Text("name"))
    with pytest.raises(ValueError, match="request_id must be non-empty text"):
        node(app, request_id=Text())
    app.drain()
    assert rows(app.db_path, "SELECT node_name FROM node_traces WHERE request_id = 'hostile'") == [("name",)]


def test_b07_keyboard_interrupt_goes_through(app: App) -> None:
    """B7: what must stop the program does."""

    class Interrupting:
        @property
        def __pydantic_fields__(self) -> Any:
            return {}

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        node(app, input_data=Interrupting())


def test_b08_nul_round_trips(app: App) -> None:
    """B8: a NUL in the midst of a text is no end of it, in values, names and ids."""
    assert stored(app, "a\0b") == "a\0b"
    app.tracer.start_span("na\0me", attributes={"k\0": "v\0w"}).end()
    node(app, request_id="r\0q")
    app.drain()
    assert attributes(app, "na\0me") == {"k\0": "v\0w"}
    assert ("r\0q",) in rows(app.db_path, "SELECT request_id FROM requests")


def test_b10_a_huge_value(app: App) -> None:
    """B10: a text of 100 MB is cut to a bounded record, counted, and the span is stored."""
    app.tracer.start_span("huge", attributes={"text": "x" * 100_000_000, "small": 1}).end()
    node(app, request_id="huge", input_data="y" * 40_000_000)
    app.drain()
    assert attributes(app, "huge")["small"] == 1
    assert attributes(app, "huge")["text"].endswith("… [cut 98951424 bytes]")
    (length,) = rows(app.db_path, "SELECT length(input_data) FROM node_traces WHERE request_id = 'huge'")[0]
    assert length < 2_000_000
    assert losses(app.db_path) == {"cut": 3}  # the span's start, its end, and the node


def test_b10_floods(app: App) -> None:
    """B10: 100,000 attributes and an event flood: the SDK's own limits, or ours, never the app's end."""
    provider = TracerProvider(
        span_limits=SpanLimits(
            max_attributes=SpanLimits.UNSET, max_events=SpanLimits.UNSET, max_span_attributes=SpanLimits.UNSET
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(app.processor)
    span = provider.get_tracer("t").start_span("flood", attributes={f"k{i}": i for i in range(100_000)})
    for _ in range(20_000):
        span.add_event("e")
    span.end()
    app.drain()
    row = app.span("flood")
    assert len(json.loads(row["attributes"])) == 100_000
    assert len(json.loads(row["events"])) == 20_000


class FreshIds(RandomIdGenerator):
    """Hypothesis seeds `random`, from which the SDK takes its ids: these never repeat."""

    def generate_trace_id(self) -> int:
        """16 bytes."""
        return int.from_bytes(os.urandom(16), "big")

    def generate_span_id(self) -> int:
        """8 bytes."""
        return int.from_bytes(os.urandom(8), "big")


class FixedIds(RandomIdGenerator):
    """Ids that no specification allows."""

    def __init__(self, trace_id: int, span_id: int) -> None:
        self.ids = trace_id, span_id

    def generate_trace_id(self) -> int:
        """One for all."""
        return self.ids[0]

    def generate_span_id(self) -> int:
        """Likewise."""
        return self.ids[1]


@pytest.mark.parametrize(("trace_id", "span_id"), [(0, 0), (2**130 + 3, 2**66 + 3), (-1, -1)])
def test_b11_malformed_ids(trace_id: int, span_id: int, app: App) -> None:
    """B11: a span with zero, too large or negative ids is stored, its ids cut to size."""
    provider = TracerProvider(id_generator=FixedIds(trace_id, span_id), shutdown_on_exit=False)
    provider.add_span_processor(app.processor)
    provider.get_tracer("t").start_span("odd").end()
    context = SpanContext(trace_id, span_id, is_remote=False)
    made = ReadableSpan("linked", SpanContext(1, 2, is_remote=False), links=[Link(context)], end_time=2)
    assert app.processor._pipeline.write_end(made, 0)
    app.drain()
    row, (link,) = app.span("odd"), json.loads(app.span("linked")["links"])
    for found in (row, link):
        assert found["trace_id"] == f"{trace_id & (1 << 128) - 1:032x}"
        assert found["span_id"] == f"{span_id & (1 << 64) - 1:016x}"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (10, 5),
        (-5, -1),
        (0, 0),
        (2**62, 2**63 - 1),
        (2**64, 2**70),
        (1.5, 2.5),
        ("soon", None),
        (None, "late"),
    ],
    ids=str,
)
def test_b11_span_times(start: Any, end: Any, app: App) -> None:
    """B11: end before start, negative, far future, no integers at all: stored, deliverable, sorted somewhere."""
    context = SpanContext(5, 6, is_remote=False)
    made = ReadableSpan("odd", context, start_time=start, end_time=end)
    assert app.processor._pipeline.write_end(made, 0)
    app.drain()
    row = app.span("odd")
    assert isinstance(row["start_ns"], int)
    assert isinstance(row["end_ns"], int)
    assert losses(app.db_path) == {}
    rows(app.db_path, "SELECT * FROM requests")
    rows(app.db_path, "SELECT * FROM node_traces")


def test_b11_span_times_of_the_sdk(app: App) -> None:
    """B11: time.time() where nanoseconds are wanted, the commonest mistake, loses no span."""
    span = app.tracer.start_span("seconds", start_time=1_700_000_000.5)  # type: ignore[arg-type]
    span.add_event("e", timestamp=1_700_000_000.7)  # type: ignore[arg-type]
    span.end(end_time=1_700_000_001.5)  # type: ignore[arg-type]
    app.drain()
    row = app.span("seconds")
    assert (row["start_ns"], row["end_ns"]) == (1_700_000_000, 1_700_000_001)
    assert json.loads(row["events"])[0]["name"] == "e"
    assert losses(app.db_path) == {}


def test_b11_names_that_are_no_text(app: App) -> None:
    """B11: a number as a name, an object as an event's: stored as text, with nothing of ours undone."""
    app.tracer.start_span(5).end()  # type: ignore[arg-type]
    app.tracer.start_span(None).end()  # type: ignore[arg-type]
    span = app.tracer.start_span("events")
    span.add_event(7)  # type: ignore[arg-type]
    span.add_event("odd time", timestamp="now")  # type: ignore[arg-type]
    span.end()
    app.drain()
    assert app.span("5")["state"] == "ended"
    assert losses(app.db_path) == {}


NO_NAMES: list[tuple[Any, Any, str, str]] = [
    ("lib", 1.2, "lib", "1.2"),
    ("lib", (1, 2), "lib", "[1, 2]"),
    (5, True, "5", "True"),
    (b"lib\xff", b"1", "lib\ufffd", "1"),
    (Thing, None, "<builtins.type>", ""),
]


@pytest.mark.parametrize("redact_in", ["background", "app"])
@pytest.mark.parametrize(("name", "version", "name_text", "version_text"), NO_NAMES, ids=str)
def test_b11_a_scope_that_is_no_text(
    name: Any,
    version: Any,
    name_text: str,
    version_text: str,
    redact_in: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B11: a library's version is a number, its name a class: its spans keep resource, scope and destinations."""
    no_background(monkeypatch, tmp_path)
    configure(monkeypatch, tmp_path, redact_in=redact_in)
    app = App(tmp_path / "t.db", destinations=("console",))
    app.provider.get_tracer(name, version, schema_url=7).start_span("odd").end()  # type: ignore[arg-type]
    app.drain()
    scope = json.loads(app.span("odd")["scope"])
    assert (scope["name"], scope.get("version", "")) == (name_text, version_text)
    assert json.loads(app.span("odd")["resource"])["service.name"] == "shop"
    assert len(app.deliveries()) == 1
    assert losses(app.db_path) == {}


def test_b11_what_is_odd_can_still_be_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B11: names, times and event fields of any type leave the store as a destination can take them."""
    no_background(monkeypatch, tmp_path)
    out = tmp_path / "out.jsonl"
    from hush_otel import Destination

    app = App(tmp_path / "t.db", destinations=[Destination("file", path=str(out))])
    span = app.tracer.start_span(5, start_time=1.5)  # type: ignore[arg-type]
    span.add_event(7, timestamp=1.5)  # type: ignore[arg-type]
    span.add_event("big", timestamp=2**70)
    span.add_event("negative", {"x": 2**70, "n": float("nan")}, timestamp=-1)
    span.end(end_time=2**70)
    assert tried(app) == [("delivered", None)]
    assert out.exists()


@pytest.mark.parametrize(
    ("start", "end", "flagged"),
    [
        ("2026-01-01T00:00:01", "2026-01-01T00:00:00", {"hush.invalid.end_time"}),
        ("yesterday", "2026-01-01T00:00:00Z", {"hush.invalid.start_time"}),
        ("1900-01-01T00:00:00", "9999-12-31T23:59:59", {"hush.invalid.start_time", "hush.invalid.end_time"}),
        ("", "", {"hush.invalid.start_time", "hush.invalid.end_time"}),
        (1e300, -5, {"hush.invalid.start_time", "hush.invalid.end_time"}),
        (b"x", object(), {"hush.invalid.start_time", "hush.invalid.end_time"}),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01T00:00:01+01:00", {"hush.invalid.end_time"}),
    ],
    ids=["end first", "no date", "far away", "empty", "numbers", "objects", "offset"],
)
def test_b11_node_times(start: Any, end: Any, flagged: set[str], app: App) -> None:
    """B11: times that cannot be read or be right are stored and flagged, the node with them."""
    node(app, request_id="r", start_time=start, end_time=end)
    app.drain()
    found = json.loads(rows(app.db_path, "SELECT attributes FROM spans WHERE request_id = 'r'")[0][0])
    assert {key for key in found if key.startswith("hush.invalid.")} == flagged
    (row,) = [n for n in app.nodes() if n["request_id"] == "r"]
    if isinstance(start, str):
        assert row["start_time"] == start


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("prompt_tokens", "ten"),
        ("prompt_tokens", 1.5),
        ("cost_usd", "free"),
        ("execution_order", [1]),
        ("duration_ms", "long"),
        ("contain_generation", "yes"),
        ("user_id", 5),
        ("parent_name", {"a": 1}),
        ("context_id", 0),
        ("model", b"gpt"),
        ("node_type", 3),
    ],
)
def test_b11_optional_fields_of_the_wrong_type(field: str, wrong: Any, app: App) -> None:
    """B11: nothing optional raises; what was given is kept as hush.invalid.<field>."""
    node(app, request_id="r", **{field: wrong})
    app.drain()
    found = json.loads(rows(app.db_path, "SELECT attributes FROM spans WHERE request_id = 'r'")[0][0])
    assert f"hush.invalid.{field}" in found


def test_b14_values_that_change_afterwards(app: App) -> None:
    """B14: what is stored is what was there at the call."""
    data = {"list": [1]}
    node(app, request_id="r", input_data=data)
    data["list"].append(2)
    data["new"] = [3]
    app.drain()
    assert rows(app.db_path, "SELECT input_data FROM node_traces WHERE request_id = 'r'") == [
        ('{"list":[1]}',)
    ]


def test_b14_values_that_change_meanwhile(app: App) -> None:
    """B14: a dict that another thread fills while it is recorded raises nothing, and is stored each time."""
    data: dict[str, Any] = {"big": 2**70}
    stop = threading.Event()

    def churn() -> None:
        index = 0
        while not stop.is_set():
            data[f"k{index % 500}"] = index
            data.pop(f"k{(index * 7) % 500}", None)
            index += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(200):
            node(app, request_id="r", input_data=data)
    finally:
        stop.set()
        thread.join()
    app.drain()
    found = rows(app.db_path, "SELECT count(*) FROM node_traces WHERE request_id = 'r'")[0][0]
    assert found + losses(app.db_path).get("error", 0) == 200
    assert found >= 190


def test_b15_the_same_span_id_twice_with_other_content(app: App) -> None:
    """B15: the first content wins, in one batch and across two; the second is counted."""
    context = SpanContext(5, 6, is_remote=False)
    first = ReadableSpan("first", context, start_time=1, end_time=2, attributes={"a": 1})
    second = ReadableSpan("second", context, start_time=1, end_time=3, attributes={"a": 2})
    for span in (first, second):
        app.processor._pipeline.write_end(span, 0)
    app.drain()
    app.processor._pipeline.write_end(second, 0)
    app.drain()
    assert attributes(app, "first") == {"a": 1}
    assert not [span for span in app.spans() if span["name"] == "second"]
    assert losses(app.db_path) == {"duplicate": 2}


@pytest.mark.parametrize(
    ("tracer_type", "config", "state"),
    [
        ("no-such-type", {}, "paused"),
        ("", {}, "paused"),
        ("otlp", {"endpoint": 5}, "dead"),
        ("otlp", {"endpoint": "http://x", "headers": "a=b"}, "dead"),
        ("otlp", {"endpoint": "http://x", "headers": 5}, "dead"),
        ("otlp", {"endpoint": "http://x", "headers": [1, 2]}, "dead"),
        ("otlp", {"endpoint": "http://x", "no_such_option": 1}, "dead"),
        ("otlp", {"endpoint": "http://x", "self": 1, "type": "x", "name": "y"}, "dead"),
        ("otlp", {"endpoint": "http://x", 1: 2, (1, 2): {(3,): b"x"}}, "dead"),
        ("otlp", ChainMap({"endpoint": "http://x"}), "dead"),
        ("otlp", {"endpoint": "http://x", "timeout": float("nan")}, "dead"),
    ],
    ids=repr,
)
def test_b16_a_mark_that_cannot_work(tracer_type: str, config: Any, state: str, app: App) -> None:
    """B16: the request stays stored, its delivery is paused or dead with a reason, the neighbours go on."""
    node(app, request_id="r")
    app.store.mark_request_complete("r", tracer_type, config)
    found = tried(app)
    assert losses(app.db_path) == {}
    assert [row[0] for row in found] == [state], found
    assert found[0][1]
    if state == "paused":
        assert "known types: " in found[0][1]
    assert rows(app.db_path, "SELECT completed_by FROM requests WHERE request_id = 'r'") == [("mark",)]


class Empty(UserDict[str, Any]):
    """Without the mapping that a UserDict wraps."""

    def __init__(self) -> None:
        pass


class Wrong(UserDict[str, Any]):
    """With something else in its place."""

    def __init__(self) -> None:
        self.data = 5  # type: ignore[assignment]


class Endless(UserDict[str, Any]):
    """Wraps itself."""

    def __init__(self) -> None:
        self.data = self  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Empty, Wrong, Endless])
def test_b16_a_mark_whose_mapping_holds_none(kind: Any, app: App) -> None:
    """B16: the mark is there, and its delivery dead: nobody knows where it should have gone."""
    node(app, request_id="r")
    app.store.mark_request_complete("r", "otlp", kind())
    assert [row[0] for row in tried(app)] == ["dead"]
    assert rows(app.db_path, "SELECT completed_by FROM requests WHERE request_id = 'r'") == [("mark",)]
    assert losses(app.db_path) == {}


class Liar:
    """Says that it is a dict, and counts who asks."""

    asked = 0

    @property
    def __class__(self) -> type:  # type: ignore[override]
        Liar.asked += 1
        return dict

    def keys(self) -> list[str]:
        """As a mapping has them."""
        Liar.asked += 1
        return []


@pytest.mark.parametrize(
    "config",
    ["http://x", [("endpoint", "http://x")], 5, b"x", object(), {"x"}, Liar(), False, ""],
    ids=lambda config: type(config).__qualname__,
)
def test_b11_a_mark_whose_config_is_no_mapping(config: Any, app: App) -> None:
    """B11: the caller is told, by type alone: no code of the value runs. None stands for no options."""
    Liar.asked = 0
    said = rf"tracer_config must be a mapping, not {type(config).__name__}$"
    with pytest.raises(ValueError, match=said):
        app.store.mark_request_complete("r", "local", config)
    assert Liar.asked == 0
    app.store.mark_request_complete("r", "local", None)
    app.drain()
    assert rows(app.db_path, "SELECT tracer_config FROM requests WHERE request_id = 'r'") == [("{}",)]


# ------------------------------------------------------------------ anything

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-16", exclude_categories=()) | st.sampled_from("\ud800\0"), max_size=20)
    | st.binary(max_size=20)
    | st.datetimes()
    | st.builds(object)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "parent_name",
            "context_id",
            "execution_order",
            "start_time",
            "end_time",
            "duration_ms",
            "input_data",
            "output_data",
            "user_id",
            "session_id",
            "model",
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "cost_usd",
            "contain_generation",
            "metadata",
            "node_type",
            "error",
        ]
    ),
    VALUES,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    nodes=st.lists(st.tuples(st.text(min_size=1, max_size=5), FIELDS), min_size=1, max_size=5),
    span_attributes=st.dictionaries(st.text(max_size=5), VALUES, max_size=5),
    tags=VALUES,
    config=st.none() | st.dictionaries(SCALARS, VALUES, max_size=4),
)
def test_anything_at_all(
    app: App,
    nodes: list[tuple[str, dict[str, Any]]],
    span_attributes: dict[str, Any],
    tags: Any,
    config: Any,
) -> None:
    """Whatever is passed for the optional fields, every node and span is a row, and no record is lost."""
    before = rows(app.db_path, "SELECT count(*) FROM spans")[0][0] if app.db_path.exists() else 2
    for request_id, fields in nodes:
        node(app, request_id=request_id, **fields)
    app.store.mark_request_complete(nodes[0][0], "local", config, tags)
    provider = TracerProvider(id_generator=FreshIds(), shutdown_on_exit=False)
    provider.add_span_processor(app.processor)
    provider.get_tracer("t").start_span("any", attributes=span_attributes).end()
    context = SpanContext(9, FreshIds().generate_span_id(), is_remote=False)
    made = ReadableSpan("made", context, attributes=span_attributes, start_time=1, end_time=2)
    assert app.processor._pipeline.write_end(made, 0)
    app.drain()
    assert losses(app.db_path) == {}
    assert rows(app.db_path, "SELECT count(*) FROM spans")[0][0] == before + len(nodes) + 2
    for view in ("requests", "node_traces", "spans"):
        dicts(app.db_path, f"SELECT * FROM {view}")  # noqa: S608
    valid_json(app.db_path)


def test_b09_text_that_is_no_utf8_in_the_file(app: App) -> None:
    """B9: bytes that no writer of ours put there are replaced when they are read, not raised."""
    from hush_otel.store.reading import Reader

    app.drain()
    with sqlite3.connect(app.db_path) as db:
        db.execute("UPDATE hush_spans SET name = CAST(x'61ff62' AS TEXT) WHERE name = 'good neighbour'")
    try:
        with Reader(app.db_path) as reader:
            assert reader is not None
    finally:
        with sqlite3.connect(app.db_path) as db:
            db.execute("UPDATE hush_spans SET name = 'good neighbour' WHERE name = CAST(x'61ff62' AS TEXT)")


def test_the_processor_has_no_settings_of_its_own_for_bad_input(app: App) -> None:
    """There is nothing to switch on: the rules hold for every processor."""
    assert isinstance(app.processor, HushSpanProcessor)


# ------------------------------------------------------------------ what msgpack can carry and Python cannot


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


@dataclass(frozen=True)
class Key:
    """Hashable here, a mapping on the way."""

    x: int


@pytest.mark.parametrize(
    "value",
    [
        {Key(1): "one", Key(2): "two"},
        msgspec.msgpack.Ext(5, b"x"),
        msgspec.Raw(b'{"a": 1}'),
        *(nested(depth) for depth in range(960, 1000, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_b06_a_value_that_cannot_be_read_back_costs_itself_only(app: App, value: Any) -> None:
    """B5, B6: the node is stored, with a placeholder in its place."""
    app.store.insert_node_trace("r", "flow", "node", None, None, 0, None, None, 1.0, value, {"out": 1})
    app.drain()
    (node,) = [node for node in app.nodes() if node["node_name"] == "node"]
    assert json.loads(node["output_data"]) == {"out": 1}
    assert losses(app.db_path) == {}
    if isinstance(value, dict):
        assert sorted(json.loads(node["input_data"]).values()) == ["one", "two"]
