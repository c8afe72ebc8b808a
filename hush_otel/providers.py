"""The application's providers, looked at without making one.

With OTEL_PYTHON_METER_PROVIDER or OTEL_PYTHON_TRACER_PROVIDER in the environment the API's own getters load a
provider and set it, once for the whole process: the one that the application sets later is refused. What they
look at is private; a test pins it on the oldest and the newest API that pyproject allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace

if TYPE_CHECKING:  # the API's metrics are imported by who has some
    from opentelemetry.metrics import Meter


def tracer_provider() -> trace.TracerProvider | None:
    """The tracer provider that was set; None when none was."""
    return getattr(trace, "_TRACER_PROVIDER", None)


def meter_named(name: str, version: str) -> Meter:
    """A meter of the provider that was set, or that takes its instruments over once it is."""
    from opentelemetry.metrics import _internal, get_meter  # noqa: PLC0415

    found = getattr(_internal, "_METER_PROVIDER", None)
    if found is None:
        found = getattr(_internal, "_PROXY_METER_PROVIDER", None)
    return get_meter(name, version, found)
