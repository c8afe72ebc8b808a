"""hush-otel: an OpenTelemetry span processor that never loses an ended span."""

from .api import (
    HushSpanExporter,
    HushSpanProcessor,
    TraceStore,
    get_background,
    get_store,
    shutdown_background,
)
from .config import DEFAULT_DB_PATH
from .errors import ConfigError, DeliveryError, HushError, SpoolError, StoreError
from .model import Destination
from .tracers import BaseTracer, get_registered_tracers, register_tracer
from .version import __version__

__all__ = [
    "DEFAULT_DB_PATH",
    "BaseTracer",
    "ConfigError",
    "DeliveryError",
    "Destination",
    "HushError",
    "HushSpanExporter",
    "HushSpanProcessor",
    "SpoolError",
    "StoreError",
    "TraceStore",
    "__version__",
    "get_background",
    "get_registered_tracers",
    "get_store",
    "register_tracer",
    "shutdown_background",
]
