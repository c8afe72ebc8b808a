"""Spans that are read when they are gone through: a request may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, overload

from hush_otel.model import SpanData

Place: TypeAlias = tuple[int, int]
"""Of a span: its delivery's number and its row's end_seq."""


class Stretch(Sequence[SpanData]):
    """Spans by their places. A part of it is another one; each time that one is iterated, it is read anew.

    Args:
        places: Of one delivery, in their order.
        read: The spans at some of them; fewer where rows are gone.
    """

    def __init__(
        self, places: Sequence[Place], read: Callable[[Sequence[Place]], Sequence[SpanData]]
    ) -> None:
        self._places = places
        self._read = read

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[SpanData]:
        return iter(self._read(self._places) if self._places else ())

    @overload
    def __getitem__(self, index: int) -> SpanData: ...
    @overload
    def __getitem__(self, index: slice) -> Stretch: ...
    def __getitem__(self, index: int | slice) -> SpanData | Stretch:
        if isinstance(index, slice):
            return Stretch(self._places[index], self._read)
        return self._read([self._places[index]])[0]
