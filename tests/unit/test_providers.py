"""The application's own providers stay the ones in force, in processes of their own: they are set once there."""

from __future__ import annotations

from pathlib import Path

from test_configurator import run_alone

METRICS = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from hush_otel import HushSpanProcessor
from hush_otel.background.metrics import DeliveryMetrics
from pathlib import Path

processor = HushSpanProcessor()
DeliveryMetrics(Path(sys.argv[1])).start()
reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
metrics.set_meter_provider(provider)
assert metrics.get_meter_provider() is provider
found = {metric.name for resource in reader.get_metrics_data().resource_metrics
         for scope in resource.scope_metrics for metric in scope.metrics}
assert "otel.sdk.processor.span.processed" in found, found
"""
TRACES = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from hush_otel import get_store

get_store().insert_node_trace("r", "flow", "a", None, None, 1, None, None, 1.0, {}, {})
provider = TracerProvider(shutdown_on_exit=False)
trace.set_tracer_provider(provider)
assert trace.get_tracer_provider() is provider
"""
CONFIGURED = """
from opentelemetry import metrics
from hush_otel.configurator import HushConfigurator

HushConfigurator().configure()
assert type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.sdk.metrics")
"""


def run(tmp_path: Path, program: str, **variables: str) -> None:
    """Run a program to its successful end."""
    done = run_alone(tmp_path, program, str(tmp_path / "t.db"), **variables)
    assert "not allowed" not in done.stderr, "the API says so of a second provider"


def test_a_processor_leaves_the_meter_provider_to_the_application(tmp_path: Path) -> None:
    """With OTEL_PYTHON_METER_PROVIDER the API would load one, and refuse the application's."""
    run(tmp_path, METRICS, OTEL_PYTHON_METER_PROVIDER="sdk_meter_provider")


def test_instruments_are_taken_over_by_the_provider_that_comes_later(tmp_path: Path) -> None:
    """The same without the variable: what is pinned here are the names that `providers` looks at."""
    run(tmp_path, METRICS)


def test_a_node_trace_leaves_the_tracer_provider_to_the_application(tmp_path: Path) -> None:
    """Its resource is looked for before the application has set anything up."""
    run(tmp_path, TRACES, OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider")


def test_the_configurator_sets_up_the_sdks_metrics(tmp_path: Path) -> None:
    """Its processor is made first, and must not be the one that chooses the MeterProvider."""
    variables = {
        "OTEL_PYTHON_CONFIGURATOR": "hush",
        "OTEL_PYTHON_METER_PROVIDER": "sdk_meter_provider",
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
    }
    run(tmp_path, CONFIGURED, **variables)
