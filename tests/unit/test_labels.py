"""What requests are found by that they may have several of: the models of their spans, the tags of their marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from inprocess import rows
from test_store_ingest import ROOT, Store, assert_exact, end, mark, models, node, start, trace_bytes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "t.db")


def tags(store: Store) -> list[tuple[str, str]]:
    """Which requests are found by which tags."""
    return rows(
        store.path,
        """SELECT r.request_id, l.label FROM hush_request_labels l JOIN hush_requests r ON r.id = l.request
           WHERE l.kind = 1 AND l.created_at = r.created_at ORDER BY 1, 2""",
    )


def test_each_model_once_across_batches(store: Store) -> None:
    """Spans and nodes, in the batch that begins a request and in later ones; no model says nothing."""
    store.take(
        end(1, 2, ROOT, **{"hush.model": "m"}), end(1, 3, ROOT, **{"hush.model": "m"}), end(1, 4, ROOT)
    )
    store.take(end(1, 5, ROOT, **{"hush.model": "m"}), end(1, ROOT, **{"hush.model": "n"}))
    store.take(node("r", "step", model="m"))
    assert [(one[0], one[1]) for one in models(store.path)] == [
        (trace_bytes(1).hex(), "m"),
        (trace_bytes(1).hex(), "n"),
        ("r", "m"),
    ]
    assert_exact(store)


def test_a_running_call_is_found_by_its_model(store: Store) -> None:
    """What is known at the start counts, before the end comes."""
    store.take(start(1, ROOT, **{"hush.model": "m"}))
    assert [one[1] for one in models(store.path)] == ["m"]
    assert_exact(store)


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_merge_takes_the_models_along(store: Store, together: bool) -> None:
    """Of two requests that become one, nothing stays under the number that is gone."""
    store.take(end(1, ROOT, **{"hush.request_id": "order", "hush.model": "m"}))
    first, second = (
        end(2, ROOT, **{"hush.model": "n"}),
        end(2, 3, ROOT, **{"hush.request_id": "order", "hush.model": "m"}),
    )
    if together:
        store.take(first, second)
    else:
        store.take(first)
        store.take(second)
    assert [one[:2] for one in models(store.path)] == [("order", "m"), ("order", "n")]
    assert_exact(store)


def test_a_span_that_moves_takes_its_model_along(store: Store) -> None:
    """Started unnamed, ended under another request's name: the first is not found by its model any more."""
    store.take(end(1, 2, ROOT, **{"hush.request_id": "a"}), start(1, 3, ROOT, **{"hush.model": "m"}))
    store.take(end(1, 3, ROOT, **{"hush.request_id": "b", "hush.model": "m"}))
    assert [one[:2] for one in models(store.path)] == [("b", "m")]
    assert_exact(store)


def test_the_last_mark_says_the_tags(store: Store) -> None:
    """Each tag once; a mark without tags leaves those that are there."""
    store.take(node("r", "root", None), mark("r", tags=["prod", "eu", "prod"]))
    assert tags(store) == [("r", "eu"), ("r", "prod")]
    store.take(mark("r"))
    assert tags(store) == [("r", "eu"), ("r", "prod")]
    store.take(mark("r", tags=["prod", 7]))
    assert tags(store) == [("r", "7"), ("r", "prod")]
