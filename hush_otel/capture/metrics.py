"""What the application's MeterProvider is told of this process: counts that are kept anyway.

Observable instruments only, read when a reader collects: no span pays for them, and without a MeterProvider
nobody calls. Of OpenTelemetry's metrics only the API is used, from the first processor or exporter on. One
set of instruments a process; in a forked child all counts begin anew.

Source of names, units and attributes: OpenTelemetry semantic conventions, otel/sdk-metrics (status:
development). There is no queue of spans in memory, so `otel.sdk.processor.span.queue.*` does not apply: what
waits is counted in bytes. What happens beyond the spool is told by the process that does it
(`background/metrics.py`).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from hush_otel.config import self_metrics_wanted
from hush_otel.diagnostics import guard
from hush_otel.providers import meter_named
from hush_otel.spool.writer import SpoolWriter
from hush_otel.version import __version__

from .pipeline import SpanPipeline

if TYPE_CHECKING:  # the API's metrics are imported when the first processor is made
    from opentelemetry.metrics import Meter, Observation

METER: Final = "hush_otel"

COMPONENT_NAME: Final = "otel.component.name"
COMPONENT_TYPE: Final = "otel.component.type"
ERROR_TYPE: Final = "error.type"
SPOOL: Final = "hush.spool"
"""The directory: an application may write to several."""


class Kind(StrEnum):
    """Components of the SDK. The value is otel.component.type: the class, where no standard one fits."""

    PROCESSOR = "hush_otel.HushSpanProcessor"
    EXPORTER = "hush_otel.HushSpanExporter"


class _Component(NamedTuple):
    kind: Kind
    name: str
    pipeline: weakref.ref[SpanPipeline]


_components: list[_Component] = []
_numbers: Final = {kind: itertools.count() for kind in Kind}
_begun: Final[list[bool]] = []


def register(kind: Kind, pipeline: SpanPipeline) -> None:
    """Have a component's counts observed for as long as it lives. Never raises."""
    with guard("registering metrics"):
        if not self_metrics_wanted():
            return
        _components[:] = [one for one in _components if one.pipeline() is not None]
        _components.append(_Component(kind, f"{kind}/{next(_numbers[kind])}", weakref.ref(pipeline)))
        if not _begun:
            _begun.append(True)
            instrument(meter_named(METER, __version__))


def instrument(meter: Meter) -> None:
    """Make the instruments of this process."""
    meter.create_observable_counter(
        "otel.sdk.processor.span.processed",
        [lambda _: _spans(Kind.PROCESSOR)],
        "{span}",
        "Spans that were written to the spool; with error.type: that were lost before it, and why.",
    )
    meter.create_observable_counter(
        "otel.sdk.exporter.span.exported",
        [lambda _: _spans(Kind.EXPORTER)],
        "{span}",
        "Spans that the exporter has written to the spool; with error.type: that it could not, and why.",
    )
    meter.create_observable_up_down_counter(
        "hush.spool.pending",
        [lambda _: _pending()],
        "By",
        "What this process has written to the spool and the background process has not stored yet.",
    )
    meter.create_observable_counter(
        "hush.spool.dropped",
        [lambda _: _dropped()],
        "{record}",
        "Records of any kind, of ends, starts, node traces and marks, that were lost before the spool.",
    )


def _spans(kind: Kind) -> Iterator[Observation]:
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    for component, pipeline in _living():
        if component.kind is kind:
            who = {COMPONENT_TYPE: str(kind), COMPONENT_NAME: component.name}
            yield Observation(pipeline.published, who)
            for reason, count in list(pipeline.lost.items()):
                yield Observation(count, {**who, ERROR_TYPE: reason})


def _pending() -> Iterator[Observation]:
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    for writer in _writers():
        with guard("observing what is pending"):
            yield Observation(writer.pending_bytes(), {SPOOL: str(writer.directory.path)})


def _dropped() -> Iterator[Observation]:
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    for writer in _writers():
        for reason, count in writer.losses().items():
            if reason != "cut":  # stored all the same, without a part
                yield Observation(count, {SPOOL: str(writer.directory.path), ERROR_TYPE: reason})


def _living() -> list[tuple[_Component, SpanPipeline]]:
    found = ((component, component.pipeline()) for component in list(_components))
    return [(component, pipeline) for component, pipeline in found if pipeline is not None]


def _writers() -> list[SpoolWriter]:
    """Each once: processors and exporters of one database share theirs."""
    return list({id(pipeline.writer): pipeline.writer for _, pipeline in _living()}.values())
