"""Types ``otel:<name>`` and tracers of users: code of others, in a process of its own (`foreign_process`).

The process is started with the first attempt. One that crashed or was killed is followed by another with the
next attempt; one whose code cannot be opened likewise, for what was wrong may be mended by then.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Literal, cast

from hush_otel import config as settings
from hush_otel import secrets
from hush_otel.errors import ConfigError, DeliveryError, PausedError, PermanentError, RetryableError
from hush_otel.model import DestinationConfig, Outcome, SpanData, WholeRequest
from hush_otel.options import FOREIGN_TIMEOUT_S, HTTP_REQUEST_BYTES, check, exporter_name, timeout_s
from hush_otel.tracers import TRACERS

from .foreign_process import ForeignProcess, Words
from .foreign_wire import Answer, Close, Export, Flush, Open, encode, pack
from .hiding import hidden
from .otlp_answers import MAX_RETRY_AFTER_S, check_size, short
from .registry import unknown_type

STARTUP_S: Final = 60.0
"""What a process gets to start and to import its code: large libraries on a busy machine."""
CLOSE_S: Final = 1.0
"""What an exporter gets to shut down: less than the relay waits for its lanes in the end."""


def open_exporter(config: DestinationConfig) -> ExporterSender:
    """Type ``otel:<name>``: an entry point of the SDK's group `opentelemetry_traces_exporter`.

    Raises:
        PermanentError: The name or an option cannot work.
        PausedError: A secret is missing.
    """
    check(config.type, config.config)
    return ExporterSender(_Code(config, "exporter", exporter_name(config.type)))


def open_tracer(config: DestinationConfig) -> TracerSender:
    """Any other type: a tracer's name.

    Raises:
        PermanentError: `timeout_s` is no time.
        PausedError: There is no such tracer, or a secret is missing.
    """
    code = _Code(config, "tracer", config.type)
    try:
        modules = settings.foreign_code().tracer_modules
    except ConfigError as exc:
        raise PausedError(f"{code.label}: {exc.message}", hint=exc.hint) from exc
    if not modules and not entry_points(group=TRACERS):
        error = unknown_type(config.type, ())  # without starting a process for it
        raise PausedError(f"{code.label}: {error.message}", hint=error.hint)
    return TracerSender(code)


class ExporterSender:
    """A `base.Sender` over a SpanExporter."""

    max_in_flight: Final = 1
    wants_facts: Final = False

    def __init__(self, code: _Code) -> None:
        self._code = code

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Have the exporter export `spans`.

        Raises:
            RetryableError: It returned FAILURE or raised, crashed, hung.
            PausedError: It is not installed, cannot be imported or made, or a secret is missing.
            PermanentError: It has no such option.
            OversizeError: Too much for one message.
        """
        question = encode(Export(pack(spans)))
        check_size(question, HTTP_REQUEST_BYTES, len(spans))
        self._code.ask(question)
        return Outcome()

    def close(self) -> None:
        """Have it shut down, within CLOSE_S."""
        self._code.close()


class TracerSender:
    """A `base.RequestSender` over a tracer."""

    max_in_flight: Final = 1

    def __init__(self, code: _Code) -> None:
        self._code = code

    def send_request(self, request: WholeRequest) -> Outcome:
        """Have the tracer flush a request.

        Raises:
            RetryableError: It raised or returned False, crashed, hung.
            PausedError: It is not found, cannot be imported, or raised one.
            PermanentError: It raised one.
        """
        fields: dict[str, Any] = {name: getattr(request, name) for name in Flush.__struct_fields__}
        self._code.ask(encode(Flush(**fields | {"spans": pack(request.spans)})))
        return Outcome()

    def close(self) -> None:
        """End its process, within CLOSE_S."""
        self._code.close()


class _Code:
    """One destination's process of foreign code: there when it is asked, replaced when it is gone."""

    def __init__(self, config: DestinationConfig, role: Literal["exporter", "tracer"], name: str) -> None:
        self.label = config.name if config.name.startswith(config.type) else f"{config.name} ({config.type})"
        self._config = config
        self._role = role
        self._name = name
        self._secrets: list[str] = []
        self._words = Words(self.label, self._clean)
        self._process: ForeignProcess | None = None
        self._opened_with: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._timeout_s = timeout_s(("timeout_s", self._options().get("timeout_s")), FOREIGN_TIMEOUT_S)

    def ask(self, question: bytes) -> None:
        """Hand over one encoded question; returns when the answer is good.

        Raises:
            DeliveryError: It is not, or there is none.
        """
        with self._lock:
            process = self._running()
            try:
                self._check(process.ask(question, self._timeout_s))
            finally:
                self._words.tell()

    def close(self) -> None:
        """Idempotent; never raises."""
        with self._lock:
            if self._process is not None:
                self._process.close(encode(Close()), CLOSE_S)
                self._process = None
            self._words.tell(last=True)

    # ------------------------------------------------------------------ the process

    def _running(self) -> ForeignProcess:
        """The process, opened with the options as they are now: a secret may have changed."""
        options = self._options()
        if self._process is not None and options != self._opened_with:
            self._process.close(encode(Close()), CLOSE_S)
        if self._process is None or not self._process.is_usable or options != self._opened_with:
            self._process = self._open(options)
            self._opened_with = options
        return self._process

    def _open(self, options: dict[str, Any]) -> ForeignProcess:
        self._secrets = secrets.values_of(self._config.config)
        try:
            modules = settings.foreign_code().tracer_modules if self._role == "tracer" else ()
        except ConfigError as exc:
            raise PausedError(f"{self.label}: {exc.message}", hint=exc.hint) from exc
        if self._role == "exporter":
            options = {key: value for key, value in options.items() if key != "timeout_s"}
        process = ForeignProcess(self.label, self._config.name, self._words)
        try:
            self._check(process.ask(encode(Open(self._role, self._name, options, modules)), STARTUP_S))
        except DeliveryError:
            process.kill()
            self._words.tell()
            raise
        return process

    def _options(self) -> dict[str, Any]:
        return cast("dict[str, Any]", secrets.resolve(self._config.config))

    # ------------------------------------------------------------------ answers

    def _check(self, answer: Answer) -> None:
        if not answer.error:
            return
        words, hint = f"{self.label}: {short(self._clean(answer.words))}", short(self._clean(answer.hint))
        if answer.error == "paused":
            raise PausedError(words, hint=hint)
        if answer.error == "permanent":
            raise PermanentError(words, hint=hint)
        raise RetryableError(words, hint=hint, retry_after_s=_wish(answer.retry_after_s))

    def _clean(self, text: str) -> str:
        return hidden(text, self._secrets, cut=True)


def _wish(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
