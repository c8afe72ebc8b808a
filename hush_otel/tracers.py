"""Tracers that users add: named types beside the built-in destinations.

A tracer runs in the background process, never in the app. That process finds it by the entry-point
group `hush_otel.tracers`; `register_tracer` names it within the process that calls it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from .errors import ConfigError


class BaseTracer:
    """Base of tracers that users write."""

    def flush(self, flush_data: dict[str, Any]) -> None:
        """Send one request.

        Args:
            flush_data: request_id, workflow_name, user_id, session_id, tags, tracer_config,
                execution_order and nodes_trace_data.

        Raises:
            Exception: Whatever says that it was not accepted; it is tried again later.
        """
        raise NotImplementedError


_Tracer = TypeVar("_Tracer", bound=type[BaseTracer])

_registered: dict[str, type[BaseTracer]] = {}


def register_tracer(tracer: _Tracer, name: str | None = None) -> _Tracer:
    """Make a tracer known by its class name, or by `name`. Usable as a decorator.

    Raises:
        ConfigError: It is no class derived from BaseTracer.
    """
    if not (isinstance(tracer, type) and issubclass(tracer, BaseTracer)):
        raise ConfigError(f"{tracer!r} is no class derived from BaseTracer")
    _registered[name or tracer.__name__] = tracer
    return tracer


def get_registered_tracers() -> dict[str, type[BaseTracer]]:
    """The tracers registered in this process, by name."""
    return dict(_registered)
