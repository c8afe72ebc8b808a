"""What requests are found by that they may have several of: the models of their spans, their tags."""

from __future__ import annotations

import json
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


def shown(store: Store) -> dict[str, list[str]]:
    """The tags of each request, in their order."""
    return {
        request: json.loads(listed)
        for request, listed in rows(store.path, "SELECT request_id, tags FROM requests")
        if listed
    }


@pytest.mark.parametrize("key", ["langfuse.trace.tags", "tag.tags", "logfire.tags"])
def test_spans_say_tags(store: Store, key: str) -> None:
    """By any convention, across batches, each once and in the order in which they came."""
    store.take(end(1, 2, ROOT, **{key: ["b", "a"]}), end(1, 3, ROOT, **{key: ["a", "c"]}))
    store.take(end(1, ROOT, **{key: ["d", "b"]}))
    (request,) = shown(store)
    assert shown(store) == {request: ["b", "a", "c", "d"]}
    assert [label for _, label in tags(store)] == ["a", "b", "c", "d"]


def test_a_call_whose_cost_is_computed_says_its_tags(store: Store) -> None:
    """As any other span."""
    store.take(end(1, ROOT, **{"hush.request_id": "r", "tag.tags": ["a"], **CALL}))
    assert rows(store.path, "SELECT cost_source IS NOT NULL FROM hush_spans") == [(1,)]
    assert shown(store) == {"r": ["a"]}


CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 1,
}


def test_tags_in_one_text(store: Store) -> None:
    """LangSmith's are separated by commas."""
    store.take(end(1, ROOT, **{"langsmith.span.tags": "b, a,,b", "hush.request_id": "r"}))
    assert shown(store) == {"r": ["b", "a"]}


@pytest.mark.parametrize("first", [True, False], ids=["mark first", "span first"])
def test_a_mark_adds_to_what_spans_say(store: Store, first: bool) -> None:
    """A later mark replaces what the one before it has said, and nothing else."""
    said = end(1, ROOT, **{"hush.request_id": "r", "tag.tags": ["a", "prod"]})
    for one in (mark("r", tags=["prod", "eu"]), said) if first else (said, mark("r", tags=["prod", "eu"])):
        store.take(one)
    assert shown(store) == {"r": ["a", "prod", "eu"]}
    store.take(mark("r", tags=["us"]))
    assert shown(store) == {"r": ["a", "prod", "us"]}
    assert tags(store) == [("r", "a"), ("r", "prod"), ("r", "us")]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_merge_joins_tags(store: Store, together: bool) -> None:
    """Of two requests that become one, those of both spans and of the mark."""
    store.take(
        end(1, ROOT, **{"hush.request_id": "order", "tag.tags": ["a", "b"]}), mark("order", tags=["m"])
    )
    later = (
        end(2, ROOT, **{"tag.tags": ["c", "a"]}),
        end(2, 3, ROOT, **{"hush.request_id": "order", "tag.tags": ["d"]}),
    )
    for batch in [later] if together else [(one,) for one in later]:
        store.take(*batch)
    assert {request: set(found) for request, found in shown(store).items()} == {"order": set("abcdm")}
    assert [label for _, label in tags(store)] == list("abcdm")


def test_a_span_that_moves_takes_its_tags_along(store: Store) -> None:
    """What is known at the start is found at once, and only there where the span has ended."""
    store.take(
        end(1, 2, ROOT, **{"hush.request_id": "a", "tag.tags": ["x"]}),
        start(1, 3, ROOT, **{"tag.tags": ["y"]}),
    )
    assert shown(store) == {"a": ["x", "y"]}
    store.take(end(1, 3, ROOT, **{"hush.request_id": "b", "tag.tags": ["y"]}))
    assert shown(store) == {"a": ["x"], "b": ["y"]}


def test_tags_of_spans_are_limited(store: Store) -> None:
    """A hundred a request, each as long as Langfuse takes them; what is no text is none."""
    store.take(
        end(1, ROOT, 2, **{"hush.request_id": "r", "tag.tags": ["x" * 201, "", 7, None, ["n"], "kept"]})
    )
    for number in range(3, 6):
        store.take(*(end(1, number * 100 + i, ROOT, **{"tag.tags": [f"{number}-{i}"]}) for i in range(50)))
    assert shown(store)["r"][:3] == ["kept", "3-0", "3-1"]
    assert len(shown(store)["r"]) == len(tags(store)) == 100
