"""Long texts are stored once, apart from the rows, and read back as if they were in them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import App, dicts, no_background, rows
from test_store_ingest import LAB, ROOT, Store, assert_exact, end, mark, node, start

from hush_otel.records import FLAG_COMPLETE
from hush_otel.store import outbox
from hush_otel.store.rows import LARGE_TEXT_CHARS
from hush_otel.store.spans import SpanReader

LONG = 'a "long" document, ünïcödé \\ and\nlines; ' * (LARGE_TEXT_CHARS // 20)
OTHER = LONG[::-1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "t.db")


def attributes_of(store: Store, name: str) -> dict[str, Any]:
    """As the view shows them."""
    (span,) = dicts(store.path, "SELECT attributes FROM spans WHERE name = ?", name)
    found: dict[str, Any] = json.loads(span["attributes"])
    return found


def payloads(store: Store) -> list[str]:
    """The texts that are stored apart."""
    return [json.loads(text) for (text,) in rows(store.path, "SELECT json FROM hush_payloads ORDER BY id")]


def sent(store: Store) -> dict[str, dict[str, Any]]:
    """Attributes by span name, as the relay reads them."""
    reader = SpanReader(store.path)
    (state,) = store.database.read(outbox.waiting)
    due = store.database.read(lambda db: outbox.due_deliveries(db, state.id, 1e12, 100))
    found = {span.name: dict(span.attributes) for span in reader.read(due)}
    reader.close()
    return found


def test_a_text_that_goes_through_many_spans_is_stored_once(store: Store) -> None:
    """Ten spans with the same document share one payload; the views and the relay show it in each."""
    spans = [
        end(
            1,
            number,
            ROOT if number > 1 else None,
            flags=FLAG_COMPLETE * (number == 10),
            **{"input.value": LONG, "n": number},
        )
        for number in range(1, 11)
    ]
    store.take(*spans, destinations=[LAB])
    assert payloads(store) == [LONG]
    assert attributes_of(store, "span-3") == {"input.value": LONG, "n": 3}
    nodes = dicts(store.path, "SELECT input_data, output_data FROM node_traces")
    assert {row["input_data"] for row in nodes} == {LONG}
    assert {row["output_data"] for row in nodes} == {None}
    store.queue()
    assert sent(store)["span-10"] == {"input.value": LONG, "n": 10}
    assert_exact(store)


def test_rows_stay_small_and_short_texts_stay_in_them(store: Store) -> None:
    """What is no longer than the threshold is not set apart."""
    short = "x" * LARGE_TEXT_CHARS
    store.take(end(1, ROOT, a=short, b=LONG))
    ((own, large),) = rows(store.path, "SELECT length(attributes), large FROM hush_spans")
    assert large == 1
    assert len(short) < own < len(short) + 100
    assert attributes_of(store, "span-1") == {"a": short, "b": LONG}


def test_an_end_replaces_the_long_texts_of_its_start(store: Store) -> None:
    """What the start referred to and the end does not is not shown any more."""
    store.take(start(1, ROOT, a=LONG, b=OTHER))
    assert attributes_of(store, "span-1") == {"a": LONG, "b": OTHER}
    store.take(end(1, ROOT, a=LONG, c=1))
    assert attributes_of(store, "span-1") == {"a": LONG, "c": 1}
    store.take(start(2, ROOT, name="short at last", a=LONG))
    store.ingest.forget()
    store.take(end(2, ROOT, name="short at last", a="short"))
    assert attributes_of(store, "short at last") == {"a": "short"}
    assert_exact(store)


def test_an_interrupted_span_keeps_its_long_texts(store: Store) -> None:
    """The prompt of a call in which the process died is what one wants to see."""
    store.take(start(1, ROOT, prompt=LONG))
    store.die()
    assert attributes_of(store, "span-1") == {"prompt": LONG, "hush.incomplete": True}


def test_node_traces_share_long_inputs_too(store: Store) -> None:
    """The seed's columns read back whole, whoever else has the same text."""
    store.take(end(9, ROOT, text=LONG))
    first = node("run-1", "a", None)
    first.values[9] = first.values[10] = LONG
    store.take(first, mark("run-1", "otlp", endpoint="http://lab"))
    (row,) = dicts(store.path, "SELECT input_data, output_data FROM node_traces WHERE node_name = 'a'")
    assert (row["input_data"], row["output_data"]) == (LONG, LONG)
    assert payloads(store) == [LONG]
    store.queue()
    assert LONG in sent(store)["flow"].values()


def test_values_that_json_cannot_carry_keep_their_typed_copy(store: Store) -> None:
    """There the text stays in the row: the copy holds all of it anyway."""
    store.take(end(1, ROOT, text=LONG, raw=b"\x00\xff"))
    assert payloads(store) == []
    assert attributes_of(store, "span-1")["text"] == LONG


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8), st.one_of(st.text(max_size=40), st.integers(-99, 99), st.none()), max_size=4
    )
)
def test_any_neighbours_read_back_beside_a_long_text(neighbours: dict[str, Any]) -> None:
    """The view puts texts and row together by SQLite's own JSON functions, whatever the other keys are."""
    connection = sqlite3.connect(":memory:")
    try:
        row = json.dumps(neighbours)
        sql = "SELECT json_patch(?, json_group_object('long', json(?)))"
        (found,) = connection.execute(sql, (row, json.dumps(LONG))).fetchone()
        expected = dict(neighbours.items()) | {"long": LONG}
        assert json.loads(found) == expected
    finally:
        connection.close()


def test_a_text_that_the_end_of_a_span_replaces_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its start said goes with the last reference to it."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db")
    span = app.tracer.start_span("s", attributes={"text": "before " * 5_000, "same": "same " * 5_000})
    app.drain()
    span.set_attribute("text", "after " * 5_000)
    span.end()
    app.drain()
    texts = [row[0][:6] for row in rows(app.db_path, "SELECT json FROM hush_payloads ORDER BY json")]
    assert texts == ['"after', '"same ']
