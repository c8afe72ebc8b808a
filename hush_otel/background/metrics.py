"""What a MeterProvider of the delivering process is told: spans by destination, from the database.

One process delivers, so that nothing is counted twice: `hush-otel run` under `opentelemetry-instrument`, or
the application whose thread owns the database (HUSH_BACKGROUND=thread). The detached process has no
MeterProvider: there `hush-otel status --json` has the same figures. Observable instruments only.

Source of names, units and attributes: OpenTelemetry semantic conventions, otel/sdk-metrics (status:
development). A destination is a component of the SDK; a span is in flight from its delivery's queueing on,
over all attempts; dead ones have failed. `otel.sdk.exporter.operation.duration` is not measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hush_otel.config import self_metrics_wanted
from hush_otel.diagnostics import guard
from hush_otel.providers import meter_named
from hush_otel.store.reading import Reader, Row
from hush_otel.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, Observation

METER: Final = "hush_otel.background"
TIME_LIMIT_S: Final = 2.0
"""A reader's thread is not ours: a database that is busy has nothing to say this time."""

_STANDARD_TYPES: Final = {"http/protobuf": "otlp_http_span_exporter", "grpc": "otlp_grpc_span_exporter"}
_OTLP: Final = frozenset({"otlp", "jaeger"})
_OUTCOMES: Final = ("delivered", "rejected", "dead")
"""The last two are error.type, too."""

_observed: Final[dict[Path, DeliveryMetrics]] = {}
"""Databases that this process works on now."""
_begun: Final[list[bool]] = []


class DeliveryMetrics:
    """The counts of one database since it is observed. `stop` when the process gives it up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[tuple[str, str], int] | None = None
        self._totals: Counter[tuple[str, str]] = Counter()

    def start(self) -> None:
        """Have the instruments of this process speak of this database, too. Never raises."""
        with guard("registering metrics"):
            if not self_metrics_wanted():
                return
            _observed[self._path] = self
            self._begin(self._rows())
            if not _begun:
                _begun.append(True)
                instrument(meter_named(METER, __version__))

    def stop(self) -> None:
        """Say no more. Idempotent."""
        if _observed.get(self._path) is self:
            del _observed[self._path]

    def exported(self) -> Iterator[Observation]:
        """Spans whose delivery is over, by destination and error.type."""
        from opentelemetry.metrics import Observation  # noqa: PLC0415

        rows = self._rows()
        last = self._begin(rows)
        for row in rows:
            component = _component(row)
            for outcome in _OUTCOMES:
                key = (row["name"], outcome)
                # A counter never falls: what is dead and tried again is counted again should it die again.
                self._totals[key] += max(row[outcome] - last.get(key, 0), 0)
                last[key] = row[outcome]
                if outcome == "delivered":
                    yield Observation(self._totals[key], component)
                elif self._totals[key]:
                    yield Observation(self._totals[key], {**component, "error.type": outcome})

    def inflight(self) -> Iterator[Observation]:
        """Spans that wait, are being sent or paused, by destination."""
        from opentelemetry.metrics import Observation  # noqa: PLC0415

        for row in self._rows():
            yield Observation(row["open"], _component(row))

    def _rows(self) -> list[Row]:
        found: list[Row] = []
        with guard("observing deliveries"), Reader(self._path, time_limit_s=TIME_LIMIT_S) as reader:
            found += reader.rows("destination_spans")
        return found

    def _begin(self, rows: list[Row]) -> dict[tuple[str, str], int]:
        """What was there at the first look is none of this process's counts."""
        if self._last is None:
            self._last = {(row["name"], outcome): row[outcome] for row in rows for outcome in _OUTCOMES}
        return self._last


def instrument(meter: Meter) -> None:
    """Make the instruments of this process."""
    meter.create_observable_counter(
        "otel.sdk.exporter.span.exported",
        [lambda _: _of_all("exported")],
        "{span}",
        "Spans that a destination has accepted; with error.type: that it rejected, or that are dead.",
    )
    meter.create_observable_up_down_counter(
        "otel.sdk.exporter.span.inflight",
        [lambda _: _of_all("inflight")],
        "{span}",
        "Spans that a destination is owed: waiting, being sent or paused.",
    )


def _of_all(what: str) -> Iterator[Observation]:
    for metrics in list(_observed.values()):
        yield from metrics.exported() if what == "exported" else metrics.inflight()


def _component(row: Row) -> dict[str, str | int]:
    kind, endpoint = row["type"], row["endpoint"] or ""
    standard = _STANDARD_TYPES.get(row["protocol"] or "http/protobuf") if kind in _OTLP else None
    found: dict[str, str | int] = {
        "otel.component.type": standard or f"hush_otel.{kind}",
        "otel.component.name": row["name"],
    }
    try:
        server = urlsplit(endpoint)
        address = {"server.address": server.hostname, "server.port": server.port}
    except ValueError:  # no URL, or a reference in it
        return found
    return found | {key: value for key, value in address.items() if value is not None}
