"""One request as a JSON object: what programs read of it, hidden what is to be hidden."""

from __future__ import annotations

from collections.abc import Iterator

from hush_otel.presentation.sharing import Shared

from .output import to_json
from .tree import walk


def json(shared: Shared) -> Iterator[str]:
    """``request``, and ``spans`` in the order of execution, each in full and on a line of its own."""
    yield f'{{"request":{to_json(shared.request)},\n"spans":['
    before = "\n"
    for line in walk(shared.roots, 0):
        span = shared.detail(line.node)
        if span is not None:  # the pass of a loop is no span
            yield before + to_json(span.as_json())
            before = ",\n"
    yield "\n]}\n"
