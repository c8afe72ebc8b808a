"""Tracers that users add: named types beside the built-in destinations.

A tracer runs in a process of its own, started by the background process, never in the app. It is found by an
entry point of the group `hush_otel.tracers`, or by importing the modules that `tracer_modules` names, which
call `register_tracer`. To register it in the app alone names it there, and has nobody call it.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from .errors import ConfigError


class BaseTracer:
    """Base of tracers that users write: a class with `flush`, static or not.

    Of a class whose `flush` is no static or class method one instance is made, without arguments. Calls
    come one after the other, in the main thread of a process that runs this tracer for one destination. A
    call that takes longer than ``timeout_s`` (of ``tracer_config``; 30 s) ends with that process killed, and
    is tried again in another. Nothing that the process does is traced: OTEL_SDK_DISABLED is true there.
    """

    def flush(self, flush_data: dict[str, Any]) -> object:
        """Send one request, or what is new of it; return once it was accepted.

        At least once: a request whose outcome was not heard of comes again, with the same ids.

        Args:
            flush_data: As the seed has it: ``request_id``, ``workflow_name``, ``user_id``, ``session_id``,
                ``tags`` (a list), ``tracer_type``, ``tracer_config`` (its secrets resolved);
                ``execution_order``, a list of ``{node, parent, context_id, contain_generation}``;
                ``nodes_trace_data``, by ``node``, or ``node:context_id`` where there is a context:
                ``{name, start_time, end_time, input, output, model, usage, cost, metadata}``, times in
                ISO 8601, input and output out of their JSON, ``{}`` without any, ``usage`` None or the token
                counts that are known, ``cost`` in US dollars.
                Beside them ``duration_ms``, ``node_type``, ``error`` (None, or the failure's words),
                ``interrupted``, and ``trace_id``, ``span_id``, ``parent_span_id`` in hex; of spans of OTel
                also ``attributes``. Further nodes of one name and context are ``name#2``, ``name#3``.
                ``is_delta``: an earlier call had a part of this request; it is whole all the same, and
                ``new_nodes`` lists the keys of ``nodes_trace_data`` that were in none of them. Without a
                delta those are all.

        Returns:
            Delivered, whatever is returned; but for False and SpanExportResult.FAILURE: tried again later.

        Raises:
            hush_otel.errors.PermanentError: This request is never accepted: its delivery is dead.
            hush_otel.errors.PausedError: None is until somebody acts: the destination is paused.
            hush_otel.errors.RetryableError: Tried again, not before ``retry_after_s``.
            BaseException: Anything else, SystemExit and KeyboardInterrupt too: tried again with backoff; past
                HUSH_DELIVERY_MAX_AGE_S it is dead.
        """
        raise NotImplementedError


TRACERS: Final = "hush_otel.tracers"
"""The entry-point group: each name is a tracer's, each value a class with `flush`."""

_Tracer = TypeVar("_Tracer", bound=type[BaseTracer])

_registered: dict[str, type[BaseTracer]] = {}


def register_tracer(tracer: _Tracer, name: str | None = None) -> _Tracer:
    """Make a tracer known by its class name, or by `name`. Usable as a decorator.

    For the process that calls it: in a module of `tracer_modules`. A built-in type or alias of the same name
    comes first, then an entry point.

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
