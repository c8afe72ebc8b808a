"""A delivery that is larger than a request is read while it is sent: no more of it is in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background, rows
from test_iterations import delivered, loop

from hush_otel.store import above
from hush_otel.store.spans import READ_AT_ONCE, SpanReader
from hush_otel.store.stretches import Stretch
from hush_otel.testing import OtlpReceiver

PASSES = 2 * READ_AT_ONCE


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app whose background process is this one, with a loop of many passes."""
    no_background(monkeypatch, tmp_path)
    found = App(tmp_path / "t.db")
    loop(found, PASSES)
    return found


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A server that keeps every request."""
    with OtlpReceiver() as server:
        yield server


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many spans were read at a time."""
    counts: list[int] = []
    real = SpanReader._read

    def read(reader: SpanReader, *args: Any, **how: Any) -> Any:
        found = real(reader, *args, **how)
        counts.append(len(found[0]))
        return found

    monkeypatch.setattr(SpanReader, "_read", read)
    return counts


def test_a_large_delivery_is_read_by_requests(app: App, receiver: OtlpReceiver, reads: list[int]) -> None:
    """Each span is read once, and as many at a time as fit one request; all of them arrive, once."""
    delivered(app, receiver)
    assert max(reads) <= READ_AT_ONCE
    assert sum(reads) == PASSES + 2
    sent = [span.span.span_id for span in receiver.spans()]
    assert len(sent) == len(set(sent)) == 2 * PASSES + 2
    assert rows(app.db_path, "SELECT delivered, asked FROM hush_destinations") == [(PASSES + 2,) * 2]


def test_its_passes_are_grouped_once(
    app: App, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grouping looks at all nodes of the request: at each stretch it would take quadratic time."""
    groupings = 0
    real = above.group_iterations

    def group(nodes: Any) -> Any:
        nonlocal groupings
        groupings += 1
        return real(nodes)

    monkeypatch.setattr(above, "group_iterations", group)
    delivered(app, receiver)
    assert groupings == 1


def test_a_part_of_a_stretch_is_one() -> None:
    """It reads only its own places, and only when it is gone through."""
    asked: list[Any] = []

    def read(places: Any) -> Any:
        asked.append([seq for _, seq in places])
        return [f"span-{seq}" for _, seq in places]

    part = Stretch([(1, seq) for seq in range(10)], read)[2:6][1:]
    assert len(part) == 3
    assert asked == []
    assert [*part] == ["span-3", "span-4", "span-5"]
    assert [*part[3:]] == []
    assert part[0] == "span-3"
    assert asked == [[3, 4, 5], [3]]
