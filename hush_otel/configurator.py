"""`OTEL_PYTHON_CONFIGURATOR=hush`: the full promises by environment alone.

Installs HushSpanProcessor in the provider that the SDK's own configurator sets up. The exporters
that OTEL_TRACES_EXPORTER names are not added: hush-otel forwards to its destinations instead. Exporters of
metrics and logs that are not installed are left out with a warning: the SDK would set nothing up at all, and
`opentelemetry-instrument` asks for them where nobody did.
`opentelemetry-instrument` takes the first configurator installed when none was chosen by name;
then this one does what the SDK's does, and nothing more.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Any, Final, Literal, TypeAlias

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk._configuration import _get_exporter_entry_point, _OTelSDKConfigurator

from .api import HushSpanProcessor
from .config import chosen_configurator, exporters_chosen, variables_replaced
from .diagnostics import say

Signal: TypeAlias = Literal["metrics", "logs"]

_VARIABLES: Final[dict[Signal, str]] = {"metrics": "OTEL_METRICS_EXPORTER", "logs": "OTEL_LOGS_EXPORTER"}

_PACKAGES: Final = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
    "prometheus": "opentelemetry-exporter-prometheus",
}
"""Exporter to the package that brings it."""


class HushConfigurator(_OTelSDKConfigurator):
    """The SDK's configurator, with HushSpanProcessor for traces."""

    def _configure(self, **kwargs: Any) -> None:
        if chosen_configurator() != "hush":
            super()._configure(**kwargs)  # type: ignore[no-untyped-call]
            return
        processor = HushSpanProcessor()  # first: a setting that cannot work is said before anything is set up
        with variables_replaced({"OTEL_TRACES_EXPORTER": "none", **_without_missing_exporters()}):
            super()._configure(**kwargs)  # type: ignore[no-untyped-call]
        provider = trace.get_tracer_provider()
        if isinstance(provider, sdk_trace.TracerProvider):
            provider.add_span_processor(processor)


def _without_missing_exporters() -> dict[str, str]:
    """The exporter variables as the SDK can work with them; one warning about what they lack."""
    values, missing = dict[str, str](), dict[str, None]()
    for signal, variable in _VARIABLES.items():
        names = exporters_chosen(variable)
        lacking = {name: wanted for name in names if (wanted := _missing(name, signal))}
        if lacking:
            values[variable] = ",".join(name for name in names if name not in lacking) or "none"
            missing |= dict.fromkeys(lacking.values())
    if missing:
        say(
            logging.WARNING,
            "%s: left out, because not installed: %s. Traces are recorded all the same; the value none says "
            "that no exporter is wanted",
            " and ".join(values),
            "; ".join(missing),
        )
    return values


def _missing(name: str, signal: Signal) -> str:
    """What is wrong with an exporter's name, and the remedy; empty when the SDK can load it."""
    try:
        entry: str = _get_exporter_entry_point(name, signal)
    except RuntimeError as exc:
        return str(exc)
    for found in entry_points(group=f"opentelemetry_{signal}_exporter", name=entry):
        try:
            found.load()
        except ImportError as exc:
            return f"{entry!r} ({exc})"
        return ""
    package = _PACKAGES.get(entry)
    return f"{entry!r} (pip install {package})" if package else repr(entry)
