"""`OTEL_PYTHON_CONFIGURATOR=hush`: the full promises by environment alone.

Installs HushSpanProcessor in the provider that the SDK's own configurator sets up. The exporters
that OTEL_TRACES_EXPORTER names are not added: hush-otel forwards to its destinations instead.
`opentelemetry-instrument` takes the first configurator installed when none was chosen by name;
then this one does what the SDK's does, and nothing more.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

from .api import HushSpanProcessor
from .config import chosen_configurator, traces_exporter_kept_aside


class HushConfigurator(_OTelSDKConfigurator):
    """The SDK's configurator, with HushSpanProcessor for traces."""

    def _configure(self, **kwargs: Any) -> None:
        if chosen_configurator() != "hush":
            super()._configure(**kwargs)  # type: ignore[no-untyped-call]
            return
        processor = HushSpanProcessor()  # first: a setting that cannot work is said before anything is set up
        with traces_exporter_kept_aside():
            super()._configure(**kwargs)  # type: ignore[no-untyped-call]
        provider = trace.get_tracer_provider()
        if isinstance(provider, sdk_trace.TracerProvider):
            provider.add_span_processor(processor)
