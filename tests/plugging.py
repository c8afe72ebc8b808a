"""Exporters and tracers of others, installed: `tests/plugins` with entry points."""

from __future__ import annotations

import os
from pathlib import Path

PLUGINS = Path(__file__).with_name("plugins")

ENTRY_POINTS = """\
[hush_otel.tracers]
by-entry-point = plugin_tracers:ByEntryPoint
no-tracer = plugin_tracers:NoTracer
gone = plugin_gone:Tracer

[opentelemetry_traces_exporter]
files = plugin_exporters:Files
hangs-at-shutdown = plugin_exporters:HangsAtShutdown
cannot-be-made = plugin_exporters:CannotBeMade
cannot-be-imported = plugin_gone:Exporter
ours-again = plugin_exporters:UnderAnotherName
"""


def install(directory: Path) -> dict[str, str]:
    """Make a distribution there that declares them; the environment in which they are found."""
    info = directory / "plugins_for_tests-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins-for-tests\nVersion: 1.0\n", "ascii")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, "ascii")
    return {
        "PYTHONPATH": os.pathsep.join([str(directory), str(PLUGINS)]),
        "HUSH_TRACER_MODULES": "plugin_tracers",
    }
