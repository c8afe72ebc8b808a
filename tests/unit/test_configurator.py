"""`OTEL_PYTHON_CONFIGURATOR=hush`, in processes of their own: a provider is set once in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from inprocess import drain_once, rows, settings_for

PROGRAM = """
import os
import sys
import opentelemetry.sdk._configuration as sdk
from opentelemetry import metrics, trace
from hush_otel import configurator

def without(found):
    hidden = sys.argv[1:]
    return lambda **query: () if query.get("name") in hidden else found(**query)

sdk.entry_points, configurator.entry_points = without(sdk.entry_points), without(configurator.entry_points)
before = dict(os.environ)
configurator.HushConfigurator().configure()
assert dict(os.environ) == before
trace.get_tracer("t").start_span("recorded").end()
print(type(metrics.get_meter_provider()).__module__)
"""
"""What `opentelemetry-instrument` does, with the exporters hidden that the arguments name."""


def run_alone(tmp_path: Path, program: str, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its successful end, without what this process was told of OpenTelemetry."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HUSH_", "OTEL_"))}
    own = {
        "HOME": str(tmp_path),
        "HUSH_TRACES_DB": str(tmp_path / "t.db"),
        "HUSH_BACKGROUND": "external",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        env=kept | own | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def configure(tmp_path: Path, *hidden: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its successful end."""
    return run_alone(tmp_path, PROGRAM, *hidden, OTEL_PYTHON_CONFIGURATOR="hush", **variables)


def recorded(tmp_path: Path) -> list[tuple[str]]:
    """The spans that the program has left."""
    drain_once(settings_for(tmp_path / "t.db"))
    return rows(tmp_path / "t.db", "SELECT name FROM spans")


def test_exporters_that_are_not_installed_are_left_out_with_one_warning(tmp_path: Path) -> None:
    """The distro's defaults without an exporter package: spans are recorded, and a line says what lacks."""
    defaults = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "otlp")
    done = configure(tmp_path, "otlp_proto_grpc", **defaults, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert recorded(tmp_path) == [("recorded",)]
    assert done.stderr.count("\n") == 1
    for part in (
        "OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER",
        "opentelemetry-exporter-otlp-proto-grpc",
        "none",
    ):
        assert part in done.stderr
    assert done.stderr.count("otlp_proto_grpc") == 1
    assert done.stdout.startswith("opentelemetry.sdk.metrics")


def test_exporters_that_are_installed_stay(tmp_path: Path) -> None:
    """Of several names only the missing one is left out: the console exporter still prints at exit."""
    done = configure(tmp_path, OTEL_METRICS_EXPORTER="no-such, console", OTEL_LOGS_EXPORTER="none")
    assert recorded(tmp_path) == [("recorded",)]
    assert "OTEL_METRICS_EXPORTER: left out, because not installed: 'no-such'." in done.stderr
    assert "OTEL_LOGS_EXPORTER" not in done.stderr


def test_a_protocol_that_the_sdk_does_not_know_leaves_its_exporters_out(tmp_path: Path) -> None:
    """The SDK would end the set-up there as well."""
    done = configure(tmp_path, OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert recorded(tmp_path) == [("recorded",)]
    assert "Unsupported OTLP protocol 'http/json'" in done.stderr


def test_nothing_is_said_when_nothing_lacks(tmp_path: Path) -> None:
    """Without the variables, and with none in them."""
    assert configure(tmp_path).stderr == ""
    assert configure(tmp_path, OTEL_METRICS_EXPORTER=" None ", OTEL_LOGS_EXPORTER="none").stderr == ""
    assert recorded(tmp_path) == [("recorded",)] * 2
