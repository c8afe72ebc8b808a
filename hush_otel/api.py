"""What the user touches: capture on an attachment to the database.

Importing this starts nothing. SQLite is imported by `wait_delivered` alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .attachment import attach, wait_until
from .background.client import owner_pid
from .capture.exporter import SpoolingSpanExporter
from .capture.nodes import NodeTraces
from .capture.processor import SpoolingSpanProcessor
from .config import Settings, vendor_defaults
from .model import TRACER_ALIASES, Destination
from .monotonic import monotonic
from .signalled import let_through


class HushSpanProcessor(SpoolingSpanProcessor):
    """Records every span: on disk before `on_end` returns, in SQLite in milliseconds.

    Args:
        db_path: The database; None means ``$HUSH_TRACES_DB`` or ``~/.hush/traces.db``.
        destinations: Destination objects or names from the configuration file; ``()`` means
            ``$HUSH_DESTINATIONS`` or the file's default; ``("local",)`` means none.
        live: Record starts, too (``$HUSH_LIVE=0`` turns it off everywhere).

    Raises:
        ConfigError: At construction only, naming the key.

    Thread-, signal- and fork-safe. Durability: survives any process death (HUSH_DURABILITY=process).
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str] | None = None,
        *,
        destinations: Sequence[Destination | str] = (),
        live: bool = True,
    ) -> None:
        attachment = attach(db_path)
        settings = attachment.settings
        super().__init__(
            attachment.writer,
            attachment.choose(destinations),
            live=live and settings.live,
            flush=attachment.flush,
        )


class HushSpanExporter(SpoolingSpanExporter):
    """The same for the SDK's own processors: safe from the moment `export` returns.

    Args: `db_path` and `destinations` as of HushSpanProcessor.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str] | None = None,
        *,
        destinations: Sequence[Destination | str] = (),
    ) -> None:
        attachment = attach(db_path)
        super().__init__(attachment.writer, attachment.choose(destinations), flush=attachment.flush)


class TraceStore:
    """Hush's node traces, with the seed's signatures. One writer a database and process.

    Thread-, signal- and fork-safe. A call returns when its record is safe from any process death.
    """

    __slots__ = ("_attachment", "_nodes")

    def __init__(self, db_path: str | os.PathLike[str] | None = None) -> None:
        self._attachment = attach(db_path)
        self._nodes = NodeTraces(self._attachment.writer)

    @property
    def db_path(self) -> Path:
        """The database, absolute."""
        return self._attachment.settings.db_path

    def insert_node_trace(
        self,
        request_id: str,
        workflow_name: str,
        node_name: str,
        parent_name: str | None,
        context_id: str | None,
        execution_order: int | None,
        start_time: str | None,
        end_time: str | None,
        duration_ms: float | None,
        input_data: Any,
        output_data: Any,
        user_id: str | None = None,
        session_id: str | None = None,
        model: str | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        total_tokens: int | None = None,
        cost_usd: float | None = None,
        contain_generation: bool = False,
        metadata: Mapping[str, Any] | None = None,
        *,
        node_type: str | None = None,
        error: Any = None,
    ) -> None:
        """Record one node of a workflow run.

        Args:
            request_id: The run; 32 hex digits or a UUID become the trace id themselves.
            workflow_name: The workflow; the name of the root span.
            node_name: The node, dotted path allowed.
            parent_name: The node above it; None for the root.
            context_id: Which iteration: ``[0].[1]`` or None.
            execution_order: Order among the nodes of the run.
            start_time: ISO 8601 text, kept verbatim; without offset it is UTC.
            end_time: Likewise.
            duration_ms: Milliseconds.
            input_data: Any value; see `hush_otel.codec` for what becomes of unusual ones.
            output_data: Likewise.
            user_id: Who asked.
            session_id: The conversation.
            model: The model that answered.
            prompt_tokens: Tokens in.
            completion_tokens: Tokens out.
            total_tokens: Both.
            cost_usd: US dollars.
            contain_generation: Whether a model was called in it or below it.
            metadata: Anything else.
            node_type: ``llm``, ``tool``, ``agent``, ``retriever``, …
            error: Makes the node fail; text or an exception.

        Raises:
            ValueError: request_id, workflow_name or node_name is no text, or request_id is empty.
        """
        if issubclass(type(error), BaseException):  # isinstance would ask the object for its __class__
            error = _error_text(error)
        self._nodes.write(
            (
                request_id,
                workflow_name,
                node_name,
                parent_name,
                context_id,
                execution_order,
                start_time,
                end_time,
                duration_ms,
                input_data,
                output_data,
                user_id,
                session_id,
                model,
                prompt_tokens,
                completion_tokens,
                total_tokens,
                cost_usd,
                contain_generation,
                metadata,
                node_type,
                error,
            )
        )

    def mark_request_complete(
        self,
        request_id: str,
        tracer_type: str,
        tracer_config: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Record that a request is complete, and have all of it delivered.

        Args:
            request_id: As given to `insert_node_trace`, or the trace id in hex of OTel spans.
            tracer_type: A destination by its name, of the configuration file or given to a processor or
                exporter of this process; or a type: ``otlp``, ``jaeger``, ``langfuse``, ``phoenix``, …
                (docs/destinations.md), ``console``, ``file``, ``local`` (store only), ``otel:NAME``, a
                tracer's name (docs/plugins.md), or one of the seed's names.
            tracer_config: What the type needs: endpoint, headers, … Beside a name each entry replaces what
                that destination has, which makes it another one; None takes it as it is.
            tags: Kept with the request.

        Raises:
            ValueError: request_id or tracer_type is no text, request_id is empty, or tracer_config is neither
                a mapping nor None.
        """
        known = self._attachment.destination_named(tracer_type)
        name, kind = (None, tracer_type) if known is None else (known.name, known.type)
        config = {} if known is None else known.config
        if type(kind) is str:
            config = vendor_defaults(TRACER_ALIASES.get(kind, kind), config)
        self._nodes.mark(request_id, kind, tracer_config, tags, config, name)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until all of this process's records are in SQLite.

        Returns:
            True only when they are and none was dropped since the last call; False at the timeout.
        """
        return self._attachment.flush(timeout_millis)

    def wait_delivered(self, timeout_millis: int = 30000, request_id: str | None = None) -> bool:
        """Wait until receivers have accepted every delivery of the requests that this process sends on.

        Those are the complete requests for which it asked for at least one delivery, by a processor, an
        exporter or a mark. All deliveries of such a request count, those that another process asked for too:
        that one is dead or paused makes the answer False, whoever wanted it.

        A request that was marked complete and of which no span has come is not delivered: it is waited for,
        and when it was marked longer than HUSH_COMPLETE_TIMEOUT_S ago, the answer is False at once.

        Args:
            timeout_millis: Milliseconds in all.
            request_id: Only this request's deliveries, whoever asked for them; waits for its completion, too.

        Returns:
            True only when all were accepted; False at the timeout, and at once when one is dead, paused or
            nowhere to be found.
        """
        # Imported here: the only call of the app side that reads the database.
        from .store.delivered import DeliveryWatch  # noqa: PLC0415

        deadline = monotonic() + timeout_millis / 1000
        if not self._attachment.wait_drained(deadline):
            return False  # what was asked for is not known yet
        settings, writer_ids = self._attachment.settings, self._attachment.writer.writer_ids
        stored_id, patience_s = _stored_id(settings, request_id), settings.complete_timeout_s
        with DeliveryWatch(self.db_path, writer_ids, stored_id, patience_s) as watch:
            verdict: bool | None = None

            def is_settled() -> bool:
                nonlocal verdict
                verdict = watch.look()  # the one that ends the waiting counts: others go on meanwhile
                return verdict is not None

            wait_until(is_settled, deadline, self._attachment.writer.ring)
            return verdict is True


def _stored_id(settings: Settings, request_id: str | None) -> str | None:
    """The id as it is stored: one that redaction hides has another there."""
    if settings.redaction is None or request_id is None:
        return request_id
    from .mapping.redactor import Redactor  # noqa: PLC0415 - only where there are rules

    return Redactor(settings.redaction).identifier(request_id)


def _error_text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as exc:  # noqa: BLE001 - the exception's own __str__ raises
        let_through(exc)
        return type(error).__name__


class Background:
    """A handle on the background process of a database, as the seed's users know it."""

    __slots__ = ("_attachment", "_store")

    def __init__(self, db_path: str | os.PathLike[str] | None = None) -> None:
        self._store = TraceStore(db_path)
        self._attachment = attach(db_path)

    @property
    def db_path(self) -> Path:
        """The database, absolute."""
        return self._store.db_path

    @property
    def pid(self) -> int | None:
        """The process that owns the database now; None when there is none."""
        return owner_pid(self._attachment.settings)

    @property
    def is_running(self) -> bool:
        """Whether somebody drains now."""
        return self.pid is not None

    def write_trace(self, **fields: Any) -> None:
        """`insert_node_trace` by keyword; only request_id, workflow_name and node_name are required.

        Raises:
            TypeError: A required field is missing, or a keyword is unknown.
            ValueError: As `insert_node_trace`.
        """
        optional = dict.fromkeys(_OPTIONAL)
        self._store.insert_node_trace(**{**optional, **fields})

    def mark_complete(self, **fields: Any) -> None:
        """`mark_request_complete` by keyword."""
        self._store.mark_request_complete(**fields)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """As `TraceStore.force_flush`."""
        return self._store.force_flush(timeout_millis)

    def shutdown(self, timeout: float = 5) -> None:
        """Flush and give up ownership, in at most `timeout` seconds.

        The background process ends when nobody else owns it and nothing is pending. A later record
        starts it again.
        """
        deadline = monotonic() + timeout
        attachment = self._attachment
        attachment.wait_drained(deadline)
        attachment.writer.release()
        if attachment.client.ask_to_leave():
            wait_until(attachment.client.has_answered, deadline, attachment.writer.ring)


_OPTIONAL: Final = (
    "parent_name",
    "context_id",
    "execution_order",
    "start_time",
    "end_time",
    "duration_ms",
    "input_data",
    "output_data",
)

_stores: dict[Path, TraceStore] = {}
_backgrounds: dict[Path, Background] = {}


def get_store(db_path: str | os.PathLike[str] | None = None) -> TraceStore:
    """The one TraceStore of a database in this process.

    Once there is one, a setting that has changed and cannot change any more is logged, and raises nothing.
    """
    path = attach(db_path, begins=False).settings.db_path
    return _stores.get(path) or _stores.setdefault(path, TraceStore(db_path))


def get_background(db_path: str | os.PathLike[str] | None = None) -> Background:
    """The one handle of a database in this process. Starts nothing: the first record does.

    As `get_store` where a setting has changed.
    """
    path = attach(db_path, begins=False).settings.db_path
    return _backgrounds.get(path) or _backgrounds.setdefault(path, Background(db_path))


def shutdown_background(timeout: float = 5) -> None:
    """Shut every handle of this process down; `timeout` seconds each."""
    for background in list(_backgrounds.values()):
        background.shutdown(timeout)
