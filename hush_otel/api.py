"""What the user touches: it composes capture, spool and background, one set per database and process.

Importing this starts nothing. SQLite is imported by `wait_delivered` alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import failpoints
from .background.client import BackgroundClient, owner_of_another_spool, owner_pid
from .capture.exporter import SpoolingSpanExporter
from .capture.nodes import NodeTraces
from .capture.processor import SpoolingSpanProcessor
from .config import Settings, vendor_defaults
from .errors import ConfigError
from .model import TRACER_ALIASES, Destination
from .records import encode_rules
from .spool.directory import SpoolDirectory
from .spool.filesystem import Append, append_mode
from .spool.process import on_fork
from .spool.writer import SpoolWriter
from .sqlite_file import why_no_database

FIRST_POLL_S: Final = 0.0005
LONGEST_POLL_S: Final = 0.01


class Attachment:
    """This process attached to one database: settings, writer, background client.

    Raises:
        ConfigError: A setting cannot work, the database's path is taken by something else, or the filesystem
            cannot keep the promises.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        force = settings.force_filesystem
        _check_database(settings.db_path)
        append_mode(settings.db_path.parent, key="HUSH_TRACES_DB", force=force)
        mode = append_mode(settings.spool_dir, key="HUSH_SPOOL_DIR", force=force)
        _check_spool(settings)
        self.client = BackgroundClient(settings)
        self.writer = _writer(settings, mode, self.client)
        self._dropped_before = 0
        self._named: dict[str, Destination] = {}
        on_fork(self)

    def choose(self, destinations: Sequence[Destination | str]) -> tuple[Destination, ...]:
        """What a processor or exporter sends to.

        Raises:
            ConfigError: A name is unknown, or stands for two receivers in this process: the store knows
                a destination by its name.
        """
        chosen = self.settings.choose(destinations)
        for destination in chosen:
            if self._named.setdefault(destination.name, destination) != destination:
                raise ConfigError(
                    f"two destinations are named {destination.name!r} and have different options",
                    hint="give each a name of its own, or none",
                )
        return chosen

    def destination_named(self, name: object) -> Destination | None:
        """What a mark means by a name: of the configuration file, else given in code."""
        if type(name) is not str:
            return None
        return self.settings.known_destinations.get(name) or self._named.get(name)

    def after_fork(self) -> None:
        """The child has dropped nothing, and launched nothing."""
        self._dropped_before = 0
        self.client.after_fork()

    def flush(self, timeout_millis: int) -> bool:
        """Wait until all records of this process are in SQLite; see `force_flush`."""
        dropped, self._dropped_before = self.writer.dropped - self._dropped_before, self.writer.dropped
        return self.wait_drained(time.monotonic() + timeout_millis / 1000) and not dropped

    def wait_drained(self, deadline: float) -> bool:
        """Wait until SQLite has what this process published, at most until the monotonic deadline."""
        return wait_until(self._is_drained, deadline, self.writer.ring)

    def _is_drained(self) -> bool:
        if self.writer.is_drained():
            return True
        if time.monotonic() >= self._next_ensure:
            self._next_ensure = time.monotonic() + 0.1
            self.client.ensure()
        return False

    _next_ensure = 0.0


def _writer(settings: Settings, mode: Append, client: BackgroundClient) -> SpoolWriter:
    """This process's way into the spool. Rules go with the records: whoever drains has them, too."""
    rules = settings.redaction
    directory, quota = SpoolDirectory(settings.spool_dir), settings.spool_max_bytes
    prelude = encode_rules(rules.as_text(), applied=rules.in_app) if rules else b""
    if rules is None or not rules.in_app:
        return SpoolWriter(directory, mode, quota, client.ensure, prelude)
    # Imported here: nobody else pays for it.
    from .capture.redacting import RedactingWriter  # noqa: PLC0415

    return RedactingWriter(directory, mode, quota, client.ensure, prelude, rules)


def _check_database(path: Path) -> None:
    """The background process will not touch what is no database: say so where somebody reads it."""
    wrong = why_no_database(path)
    if wrong:
        raise ConfigError(f"the database {path} is {wrong}", hint="set HUSH_TRACES_DB to another path")


def wait_until(done: Any, deadline: float, nudge: Any) -> bool:
    """Poll `done()` until it is true or the monotonic deadline has passed; `nudge()` once at first."""
    if done():
        return True
    nudge()
    pause = FIRST_POLL_S
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        if done():
            return True
        pause = min(pause * 1.5, LONGEST_POLL_S)
    return False


_attachments: dict[Path, Attachment] = {}


def attach(db_path: str | os.PathLike[str] | None) -> Attachment:
    """This process's one attachment to a database.

    No lock, which a forked child could find taken for ever: of two made at once, neither of which has
    written yet, setdefault keeps one.
    """
    failpoints.check()
    settings = Settings.load(db_path)
    found = _attachments.get(settings.db_path)
    return found or _attachments.setdefault(settings.db_path, Attachment(settings))


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

        deadline = time.monotonic() + timeout_millis / 1000
        if not self._attachment.wait_drained(deadline):
            return False  # what was asked for is not known yet
        settings, writer_id = self._attachment.settings, self._attachment.writer.writer_id
        stored_id, patience_s = _stored_id(settings, request_id), settings.complete_timeout_s
        with DeliveryWatch(self.db_path, writer_id, stored_id, patience_s) as watch:
            wait_until(lambda: watch.look() is not None, deadline, self._attachment.writer.ring)
            return watch.look() is True


def _stored_id(settings: Settings, request_id: str | None) -> str | None:
    """The id as it is stored: one that redaction hides has another there."""
    if settings.redaction is None or request_id is None:
        return request_id
    from .mapping.redactor import Redactor  # noqa: PLC0415 - only where there are rules

    return Redactor(settings.redaction).identifier(request_id)


def _check_spool(settings: Settings) -> None:
    other = owner_of_another_spool(settings)
    if other is not None:
        raise ConfigError(
            f"HUSH_SPOOL_DIR: {settings.db_path} has a spool already: process {other[1]} stores what lies in"
            f" {other[0]}",
            hint="unset HUSH_SPOOL_DIR, or set it for all applications and end that process",
        )


def _error_text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the exception's own __str__ raises
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
        deadline = time.monotonic() + timeout
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
    """The one TraceStore of a database in this process."""
    store = TraceStore(db_path)
    return _stores.setdefault(store.db_path, store)


def get_background(db_path: str | os.PathLike[str] | None = None) -> Background:
    """The one handle of a database in this process. Starts nothing: the first record does."""
    background = Background(db_path)
    return _backgrounds.setdefault(background.db_path, background)


def shutdown_background(timeout: float = 5) -> None:
    """Shut every handle of this process down; `timeout` seconds each."""
    for background in list(_backgrounds.values()):
        background.shutdown(timeout)
