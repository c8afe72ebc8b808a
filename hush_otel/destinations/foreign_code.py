"""Finding and calling code of others: exporters by their entry point, tracers by theirs or by a module.

Runs in the process of foreign code. Nothing here trusts what it gets: an answer is only good when it says so.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Protocol

import msgspec
from opentelemetry.sdk.trace.export import SpanExportResult

from hush_otel.errors import PausedError, PermanentError, RetryableError
from hush_otel.mapping.flushing import flush_data
from hush_otel.model import WholeRequest
from hush_otel.tracers import TRACERS, get_registered_tracers

from .foreign_wire import Export, Flush, Open, Question, unpack
from .readable import readable_spans
from .registry import unknown_type

EXPORTERS: Final = "opentelemetry_traces_exporter"
"""The SDK's entry-point group."""
MAX_WORDS: Final = 2000


class Foreign(Protocol):
    """Code of others that was found and made."""

    def take(self, question: Question) -> None:
        """Hand over what is asked for; returns when it was accepted, else raises whatever says why not."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


class LastWords(logging.Handler):
    """Remembers the last warning: exporters log why they return FAILURE, and return nothing else."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep its message."""
        try:
            self.text = record.getMessage()
        except Exception:  # noqa: BLE001 - their arguments, formatted by their code
            self.handleError(record)


def described(value: object) -> str:
    """An exception by its type and words, anything else by its text; what cannot be shown, by its type."""
    name = type(value).__name__
    try:
        # Lone surrogates, as in names of files, go through no pipe.
        words = str(value)[:MAX_WORDS].encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 - their __str__
        return name
    if not isinstance(value, BaseException):
        return words
    return f"{name}: {words}" if words else name


# ------------------------------------------------------------------ exporters


def open_exporter(question: Open, last_words: LastWords) -> Foreign:
    """The exporter of an entry point, made with the destination's options.

    Raises:
        PausedError: It is not installed, or cannot be imported or made.
        PermanentError: It is ours, or has no such option.
    """
    found = entry_points(group=EXPORTERS, name=question.name)
    if not found:
        raise PausedError(
            f"no exporter {question.name!r} is installed in the background process's Python",
            hint=f"install its package there; installed are: {', '.join(_names(EXPORTERS))}",
        )
    make = _load(next(iter(found)))
    if any(base.__module__.startswith("hush_otel.") for base in getattr(make, "__mro__", ())):
        raise PermanentError("it is hush-otel itself: every delivery would make the next one")
    _check_options(make, question.options)
    return _Exporter(_made(lambda: make(**question.options)), last_words)


def _names(group: str) -> list[str]:
    return sorted(entry_points(group=group).names - {"hush"})


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as exc:
        raise PausedError(
            f"{point.value} cannot be imported: {described(exc)}",
            hint="mend it where the background process runs",
        ) from exc


def _check_options(make: Callable[..., object], options: Mapping[str, object]) -> None:
    try:
        inspect.signature(make).bind(**options)
    except TypeError as exc:
        raise PermanentError(
            f"its options do not fit: {exc}", hint="they are the exporter's arguments"
        ) from exc
    except ValueError:
        pass  # it has no signature: making it will show


def _made(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as exc:
        raise PausedError(f"cannot be made: {described(exc)}", hint="check its options") from exc


class _Exporter:
    """A SpanExporter."""

    def __init__(self, exporter: Any, last_words: LastWords) -> None:
        self._exporter = exporter
        self._last_words = last_words

    def take(self, question: Question) -> None:
        assert isinstance(question, Export)  # noqa: S101 - that is what its sender sends
        result = self._exporter.export(readable_spans(unpack(question.spans)))
        if result is not SpanExportResult.SUCCESS:
            said = f"; it logged: {self._last_words.text}" if self._last_words.text else ""
            shown = result.name if isinstance(result, SpanExportResult) else described(result)
            raise RetryableError(f"the exporter returned {shown}{said}")

    def close(self) -> None:
        self._exporter.shutdown()


# ------------------------------------------------------------------ tracers


def open_tracer(question: Open, _last_words: LastWords) -> Foreign:
    """The tracer of a name.

    Raises:
        PausedError: There is none, or it cannot be imported or made.
    """
    found = entry_points(group=TRACERS, name=question.name)
    tracer = _load(next(iter(found))) if found else _registered(question)
    return _Tracer(_flush_of(tracer, question.name), question)


def _registered(question: Open) -> Any:
    failures = [failure for module in question.modules if (failure := _import_failure(module))]
    tracers = get_registered_tracers()
    if question.name not in tracers:
        error = unknown_type(question.name, {*tracers, *_names(TRACERS)})
        raise PausedError("; ".join([error.message, *failures]), hint=error.hint)
    return tracers[question.name]


def _import_failure(module: str) -> str:
    """Why a module cannot be imported; empty when it was."""
    try:
        import_module(module)
    except Exception as exc:  # noqa: BLE001 - the tracer may be in another one
        return f"the tracer module {module} cannot be imported: {described(exc)}"
    return ""


def _flush_of(tracer: Any, name: str) -> Callable[[dict[str, Any]], object]:
    """Its `flush`; of a class the static or class method, as the seed has it, or that of a new instance."""
    if not callable(getattr(tracer, "flush", None)):
        raise PausedError(
            f"the entry point of the tracer {name!r} is no tracer", hint="derive it from BaseTracer"
        )
    if isinstance(tracer, type):
        is_bound = isinstance(inspect.getattr_static(tracer, "flush"), (staticmethod, classmethod))
        tracer = tracer if is_bound else _made(tracer)
    flush: Callable[[dict[str, Any]], object] = tracer.flush
    return flush


class _Tracer:
    """A tracer's `flush`."""

    def __init__(self, flush: Callable[[dict[str, Any]], object], question: Open) -> None:
        self._flush = flush
        self._type = question.name
        self._config = question.options

    def take(self, question: Question) -> None:
        assert isinstance(question, Flush)  # noqa: S101 - that is what its sender sends
        fields = {name: getattr(question, name) for name in Flush.__struct_fields__}
        request = WholeRequest(**fields | {"spans": unpack(question.spans)})
        # A copy of the configuration: what one request's flush does to it is none of the next one's business.
        config = msgspec.msgpack.decode(msgspec.msgpack.encode(self._config))
        result = self._flush(flush_data(request, self._type, config))
        if result is False or result is SpanExportResult.FAILURE:
            raise RetryableError(f"flush returned {result}")

    def close(self) -> None:
        """The seed's tracers have no end."""
