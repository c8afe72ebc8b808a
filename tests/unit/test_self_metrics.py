"""What a MeterProvider is told: names and attributes of the semantic conventions, figures that are exact."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import MIB, App, attach, no_background, owning
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from support import eventually

from hush_otel import Destination, HushSpanExporter, HushSpanProcessor
from hush_otel.background import metrics as delivering
from hush_otel.capture import metrics as capturing
from hush_otel.testing import OtlpReceiver

PROCESSED = "otel.sdk.processor.span.processed"
EXPORTED = "otel.sdk.exporter.span.exported"
INFLIGHT = "otel.sdk.exporter.span.inflight"
PENDING = "hush.spool.pending"
DROPPED = "hush.spool.dropped"


class Meter:
    """A MeterProvider of one test, and what its reader collects."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meter = MeterProvider([self.reader], shutdown_on_exit=False).get_meter("test")

    def collect(self) -> dict[str, Any]:
        """The metrics by name."""
        data = self.reader.get_metrics_data()
        scopes = (
            [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        )
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def figures(self, name: str, **of: str) -> dict[str | None, int]:
        """One metric's figures by error.type, of the series that have these attributes (``_`` for a dot)."""
        wanted = {key.replace("_", "."): value for key, value in of.items()}
        metric = self.collect().get(name)
        found = {}
        for point in metric.data.data_points if metric else ():
            if wanted.items() <= point.attributes.items():
                error = point.attributes.get("error.type")
                assert error not in found, "two series that look the same"
                found[error] = point.value
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody drains by itself."""
    no_background(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def meter() -> Meter:
    """What this process captures."""
    one = Meter()
    capturing.instrument(one.meter)
    return one


def newest_component() -> str:
    """The name of the processor or exporter that was made last."""
    return capturing._components[-1].name


# In the application.


def test_a_processor_counts_the_spans_that_are_safe(home: Path, meter: Meter) -> None:
    """Ends, not starts; by component, without error.type."""
    app = App(home / "t.db", destinations=("local",))
    for n in range(3):
        app.tracer.start_span(f"s{n}").end()
    running = app.tracer.start_span("runs")
    component = newest_component()
    assert component.startswith("hush_otel.HushSpanProcessor/")
    assert meter.figures(PROCESSED, otel_component_name=component) == {None: 3}
    metric = meter.collect()[PROCESSED]
    assert (metric.unit, metric.data.is_monotonic) == ("{span}", True)
    (point,) = [p for p in metric.data.data_points if p.attributes["otel.component.name"] == component]
    assert dict(point.attributes) == {
        "otel.component.name": component,
        "otel.component.type": "hush_otel.HushSpanProcessor",
    }
    running.end()


def test_each_processor_has_its_own_series(home: Path, meter: Meter) -> None:
    """Two of one database as well."""
    names = []
    for count in (1, 2):
        app = App(home / "t.db", destinations=("local",))
        names.append(newest_component())
        for _ in range(count):
            app.tracer.start_span("s").end()
        assert meter.figures(PROCESSED, otel_component_name=names[-1]) == {None: count}
    assert len(set(names)) == 2


def test_spans_that_are_not_sampled_are_not_counted(home: Path, meter: Meter) -> None:
    """They are not processed."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(HushSpanProcessor(home / "t.db", destinations=["local"]))
    provider.get_tracer("t").start_span("s").end()
    assert meter.figures(PROCESSED, otel_component_name=newest_component()) == {None: 0}


def test_an_exporter_counts_what_it_has_exported(home: Path, meter: Meter) -> None:
    """Into the spool: that is what its export does."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(HushSpanExporter(home / "t.db", destinations=["local"])))
    for _ in range(2):
        provider.get_tracer("t").start_span("s").end()
    component = newest_component()
    assert component.startswith("hush_otel.HushSpanExporter/")
    assert meter.figures(EXPORTED, otel_component_name=component) == {None: 2}


@pytest.mark.parametrize("live", [True, False], ids=["live", "ends only"])
def test_dropped_spans_are_counted_by_reason(
    home: Path, meter: Meter, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the quota every span is either safe or lost; records that were lost may be starts, too."""
    monkeypatch.setenv("HUSH_SPOOL_MAX_BYTES", str(MIB))
    app = App(home / "t.db", live=live, destinations=("local",))
    for _ in range(200):
        app.tracer.start_span("s", attributes={"padding": "x" * 10_000}).end()
    figures = meter.figures(PROCESSED, otel_component_name=newest_component())
    assert set(figures) == {None, "quota"}
    assert sum(figures.values()) == 200
    dropped = meter.figures(DROPPED, hush_spool=str(app.settings.spool_dir))
    assert set(dropped) == {"quota"}
    assert dropped["quota"] == attach(home / "t.db").writer.dropped
    assert dropped["quota"] >= figures["quota"] + (50 if live else 0)


def test_a_span_that_cannot_be_recorded_is_an_error(home: Path, meter: Meter) -> None:
    """Something in it is not what the SDK puts there: counted, not raised."""
    app = App(home / "t.db", destinations=("local",))
    span = app.tracer.start_span("s")
    span._instrumentation_scope = object()  # type: ignore[attr-defined]
    span.end()
    assert meter.figures(PROCESSED, otel_component_name=newest_component()) == {None: 0, "error": 1}


def test_what_waits_in_the_spool_is_counted_in_bytes(home: Path, meter: Meter) -> None:
    """Until the background process has stored it, be it in segments that were left long ago."""
    app = App(home / "t.db", destinations=("local",))
    of = {"hush_spool": str(app.settings.spool_dir)}
    for _ in range(100):
        app.tracer.start_span("s", attributes={"padding": "x" * 10_000}).end()
    assert len(list(app.settings.spool_dir.glob("*.seg"))) > 1
    assert meter.figures(PENDING, **of)[None] >= 1_000_000
    assert meter.collect()[PENDING].unit == "By"
    app.drain()
    assert meter.figures(PENDING, **of) == {None: 0}


def test_threads_lose_no_count(home: Path, meter: Meter) -> None:
    """The count has no lock, and is exact."""
    app = App(home / "t.db", live=False, destinations=("local",))

    def work() -> None:
        for _ in range(2000):
            app.tracer.start_span("s").end()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert meter.figures(PROCESSED, otel_component_name=newest_component()) == {None: 8000}


def test_a_forked_child_begins_at_zero(home: Path, meter: Meter) -> None:
    """Its figures are its own: parent and children add up to what was recorded."""
    app = App(home / "t.db", destinations=("local",))
    component = newest_component()
    app.tracer.start_span("parent").end()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = meter.figures(PROCESSED, otel_component_name=component)
            app.tracer.start_span("child").end()
            after = meter.figures(PROCESSED, otel_component_name=component)
            os.write(writing, json.dumps([before[None], after[None]]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        assert json.loads(said.read()) == [0, 1]
    os.waitpid(child, 0)
    assert meter.figures(PROCESSED, otel_component_name=component) == {None: 1}


def test_a_component_that_is_gone_is_not_observed(home: Path, meter: Meter) -> None:
    """Nor kept alive."""
    HushSpanProcessor(home / "t.db", destinations=["local"])
    component = newest_component()
    gc.collect()
    assert meter.figures(PROCESSED, otel_component_name=component) == {}


PROVIDER = """
import sys
{before}
from opentelemetry.sdk.trace import TracerProvider
from hush_otel import HushSpanProcessor
spans = TracerProvider()
spans.add_span_processor(HushSpanProcessor(destinations=["local"]))
spans.get_tracer("t").start_span("s").end()
{after}
"""
READER = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
"""
COUNTED = """
found = reader.get_metrics_data()
scopes = [scope for one in found.resource_metrics for scope in one.scope_metrics] if found else []
ours = [metric.name for scope in scopes if scope.scope.name == "hush_otel" for metric in scope.metrics]
print(sorted(ours))
"""


def program(home: Path, before: str, after: str, **env: str) -> str:
    """What a process of its own says."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", PROVIDER.format(before=before, after=after)],
        env=clean | {"HUSH_TRACES_DB": str(home / "t.db"), "HUSH_BACKGROUND": "external"} | env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("before", "after"), [(READER, ""), ("", READER)], ids=["before", "after"])
def test_the_meter_provider_may_be_set_before_or_after(home: Path, before: str, after: str) -> None:
    """Applications do both."""
    assert program(home, before, after + COUNTED) == str([PENDING, PROCESSED])


@pytest.mark.parametrize(
    "switch", [{"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "false"}], ids=lambda one: next(iter(one))
)
def test_the_sdks_switch_turns_them_off(home: Path, switch: dict[str, str]) -> None:
    """Said of the SDK's own metrics, it is heard here, too."""
    assert program(home, READER, COUNTED, **switch) == "[]"


def test_without_a_meter_provider_the_sdk_of_metrics_is_not_imported(home: Path) -> None:
    """The API alone."""
    assert program(home, "", "print('opentelemetry.sdk.metrics' in sys.modules)") == "False"


def test_importing_hush_otel_imports_no_metrics_that_the_sdk_does_not(home: Path) -> None:
    """What has to do with metrics comes with the first processor."""
    says = (
        "print(sorted(name for name in sys.modules if 'metric' in name and not name.startswith('hush_otel')))"
    )
    ours, theirs = (
        subprocess.run(
            [sys.executable, "-c", f"import sys, {module}; {says}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for module in ("hush_otel", "opentelemetry.sdk.trace.export")
    )
    assert ours == theirs


# Where it is delivered.


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """Accepts everything until told otherwise."""
    with OtlpReceiver() as running:
        yield running


def test_deliveries_are_counted_by_destination(home: Path, receiver: OtlpReceiver) -> None:
    """From when this process works on the database: accepted, rejected and dead spans, and those in flight."""
    meter = Meter()
    delivering.instrument(meter.meter)
    lab = Destination("otlp", name="lab", endpoint=receiver.endpoint)
    app = App(home / "t.db", destinations=[lab])
    with owning(app.settings) as owner:

        def deliver(count: int, state: str, total: int) -> None:
            for _ in range(count):
                app.tracer.start_span("s").end()

            def reached() -> bool:
                owner.service._bell.wait(min(owner.step(), 0.01))
                with_state = [row for row in app.deliveries() if row["state"] == state]
                return len(with_state) == total

            eventually(reached, what=f"{total} {state}")

        deliver(2, "delivered", 2)
        observed = delivering.DeliveryMetrics(app.settings.db_path)
        observed.start()
        of = {"otel_component_name": "lab"}
        assert meter.figures(EXPORTED, **of) == {None: 0}
        deliver(3, "delivered", 5)
        assert meter.figures(EXPORTED, **of) == {None: 3}
        receiver.respond(404, times=1)
        deliver(1, "dead", 1)
        assert meter.figures(EXPORTED, **of) == {None: 3, "dead": 1}
        receiver.respond(401)
        deliver(4, "paused", 4)
        assert meter.figures(INFLIGHT, **of) == {None: 4}
        (point,) = meter.collect()[INFLIGHT].data.data_points
        assert dict(point.attributes) == {
            "otel.component.name": "lab",
            "otel.component.type": "otlp_http_span_exporter",
            "server.address": "127.0.0.1",
        } | {"server.port": int(receiver.endpoint.rpartition(":")[2])}
        owner.connection.execute("UPDATE hush_deliveries SET state = 'pending' WHERE state = 'dead'")
        assert meter.figures(EXPORTED, **of) == {None: 3, "dead": 1}
        observed.stop()
        assert meter.collect() == {}


def test_a_database_that_cannot_be_read_has_nothing_to_say(home: Path) -> None:
    """A reader's thread is not ours: nothing is raised in it."""
    meter = Meter()
    delivering.instrument(meter.meter)
    observed = delivering.DeliveryMetrics(home / "none.db")
    observed.start()
    assert meter.collect() == {}
    observed.stop()


IN_A_THREAD = """
import time
from hush_otel import get_store
store = get_store()
store.insert_node_trace("r", "flow", "flow", None, None, 0, None, None, 1.0, {{}}, {{}})
store.mark_request_complete("r", "file", {{"path": "{path}"}})
assert store.wait_delivered(30000, "r")
found = reader.get_metrics_data()
scopes = [scope for one in found.resource_metrics for scope in one.scope_metrics]
for scope in scopes:
    if scope.scope.name == "hush_otel.background":
        for metric in sorted(scope.metrics, key=lambda metric: metric.name):
            for point in metric.data.data_points:
                print(metric.name, point.attributes["otel.component.type"], point.value)
"""


def test_an_application_that_delivers_itself_counts_its_deliveries(home: Path) -> None:
    """HUSH_BACKGROUND=thread: the MeterProvider of the application is that of the delivering process."""
    after = IN_A_THREAD.format(path=home / "out.jsonl")
    said = program(home, READER, after, HUSH_BACKGROUND="thread")
    assert said.splitlines() == [f"{EXPORTED} hush_otel.file 1", f"{INFLIGHT} hush_otel.file 0"]
