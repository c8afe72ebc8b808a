"""Which spans this process has open, a trace at a time: when a trace is done here.

No lock: each step is one atomic operation on a dict or set. When two threads meet in the same
nanosecond on a trace whose root has ended, a completion may be published twice or a span later than
it; both are harmless (a second completion says nothing new, a late span is a delta).
"""

from __future__ import annotations

from typing import Final

_ROOT_ENDED: Final = 0
"""Stands in a trace's set once its local root has ended. No span has the id 0."""


MOST_UNSAID: Final = 1000
"""Traces that wait for their completion to be said: where so many ends are lost, no more are remembered."""


class OpenSpans:
    """Spans by trace, as OTel's integer ids."""

    def __init__(self) -> None:
        self._traces: dict[int, set[int]] = {}
        self.forget = self._traces.pop
        """Forget a trace, given a default: its last open span has ended."""
        self.foreign: set[int] = set()
        """Spans that a parent process started. Empty unless there was a fork."""
        self.unsaid: dict[int, None] = {}
        """Traces that are complete here, whose completion was lost with a record. Empty unless one was."""

    def after_fork(self) -> None:
        """In the child the spans of its parent, and of that one's parents, are foreign: those end them."""
        self.foreign |= {span for spans in self._traces.values() for span in spans if span != _ROOT_ENDED}
        self._traces.clear()
        self.unsaid.clear()

    def opened(self, trace_id: int, span_id: int) -> None:
        """A span started."""
        spans = self._traces.get(trace_id)
        if spans is None:
            self._traces[trace_id] = {span_id}
        else:
            spans.add(span_id)

    def is_last(self, trace_id: int, span_id: int, local_root: bool) -> bool:
        """Whether ending this span leaves nothing open in a trace whose local root has ended."""
        spans = self._traces.get(trace_id)
        if spans is None:
            return local_root
        if span_id not in spans:
            return local_root and not spans
        return local_root if len(spans) == 1 else len(spans) == 2 and _ROOT_ENDED in spans  # noqa: PLR2004

    def closed(self, trace_id: int, span_id: int, local_root: bool) -> bool:
        """A span ended and is published. True when that made its trace complete here."""
        spans = self._traces.get(trace_id)
        if spans is None:
            return local_root
        spans.discard(span_id)
        if local_root:
            spans.add(_ROOT_ENDED)
        if not spans or (len(spans) == 1 and _ROOT_ENDED in spans):
            self._traces.pop(trace_id, None)
            return bool(spans)
        return False

    def not_said(self, trace_id: int) -> bool:
        """The record that was to complete a trace is lost. False: it is not safe."""
        if len(self.unsaid) < MOST_UNSAID:
            self.unsaid[trace_id] = None
        return False
