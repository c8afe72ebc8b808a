"""`hush-otel demo`: the whole way of a trace, on this machine alone.

A receiver is started here, a small workflow is run twice (traced by the OTel SDK, then as node traces), and
what was stored and what arrived is shown.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hush_otel import Destination, HushSpanProcessor, TraceStore, get_background, get_store
from hush_otel.config import Settings
from hush_otel.errors import ConfigError, DeliveryError
from hush_otel.store.reading import Reader
from hush_otel.testing import OtlpReceiver

from . import show, ui
from .demo_live import Workload
from .demo_recorders import NodeRecorder, SpanRecorder
from .demo_workflow import QUESTION, answer
from .output import console, plain_table, program

TIMEOUT_MS: Final = 15_000
"""How long storing and delivering may take in all; it takes well under a second."""

DESTINATION: Final = "demo-receiver"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the workflow.

    Attributes:
        how: The way it was recorded.
        request_id: Under which it is stored.
        recorded: Spans or nodes that were made.
        received: Spans that the receiver has got from it.
    """

    how: str
    request_id: str
    recorded: int
    received: int


@click.command("demo")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Where to work. Default: a new one."
)
@click.option("--ui", "with_page", is_flag=True, help="Watch it on the page instead, live, until Ctrl-C.")
@click.option("--no-open", is_flag=True, help="With --ui: print the page's URL only; open no browser.")
def command(directory: Path | None, with_page: bool, no_open: bool) -> None:
    """Run a small traced workflow and watch it arrive, with nothing else running.

    The database, the spool and the receiver are the demo's own; --db has no effect here.
    """
    directory = (directory or Path(tempfile.mkdtemp(prefix="hush-demo-"))).absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = _own_settings(directory)
    if with_page:
        _watch(settings, no_open=no_open)
    else:
        _run_twice(settings)


def _watch(settings: Settings, *, no_open: bool) -> None:
    """The workflow again and again, slowly, and the page beside it."""
    server = ui.listen(settings)
    store = get_store(settings.db_path)
    with OtlpReceiver() as receiver:
        workload = Workload(store, Destination("otlp", name=DESTINATION, endpoint=receiver.endpoint))
        workload.start()
        try:
            ui.answer(server, no_open=no_open)
        finally:
            workload.stop()
            store.wait_delivered(TIMEOUT_MS)
            get_background(settings.db_path).shutdown()
    database = shlex.quote(str(settings.db_path))
    console().print(Text(f"{program()} --db {database} ui", style="cyan"), soft_wrap=True)


def _run_twice(settings: Settings) -> None:
    out = console()
    store = get_store(settings.db_path)
    with OtlpReceiver() as receiver:
        out.print(Text(f"Question  {QUESTION}", style="bold"))
        runs = [_with_spans(out, store, receiver), _with_nodes(store, receiver)]
        get_background(settings.db_path).shutdown()
    _print_trees(out, settings, runs)
    _print_arrival(out, runs)
    _print_next_steps(out, settings, runs)


def _own_settings(directory: Path) -> Settings:
    """Settings under which the demo depends on nothing else.

    Raises:
        ConfigError: The environment names a spool that the demo would share, or leaves draining to others.
    """
    settings = Settings.load(directory / "traces.db")
    if settings.spool_dir.parent != settings.db_path.parent:
        raise ConfigError(
            f"the spool {settings.spool_dir} is not the demo's own", hint="unset HUSH_SPOOL_DIR for the demo"
        )
    if settings.background == "external":
        raise ConfigError("nobody would drain the demo's spool", hint="unset HUSH_BACKGROUND for the demo")
    return settings


def _with_spans(out: Console, store: TraceStore, receiver: OtlpReceiver) -> Run:
    """The workflow under the OTel SDK: the processor is the one line that an application adds."""
    destination = Destination("otlp", name=DESTINATION, endpoint=receiver.endpoint)
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource.create({"service.name": "hush-demo"}), shutdown_on_exit=False
    )
    provider.add_span_processor(HushSpanProcessor(store.db_path, destinations=[destination]))
    recorder = SpanRecorder(provider.get_tracer("hush_otel.demo"), _new_id("spans"))
    out.print(Text(f"Answer    {answer(QUESTION, recorder)}", style="bold"))
    provider.shutdown()
    return _deliver("OTel SDK", recorder, store, receiver)


def _with_nodes(store: TraceStore, receiver: OtlpReceiver) -> Run:
    """The same through TraceStore: nodes as they end, then the mark that completes the request."""
    recorder = NodeRecorder(store, _new_id("nodes"))
    answer(QUESTION, recorder)
    store.mark_request_complete(recorder.request_id, "otlp", {"endpoint": receiver.endpoint}, tags=["demo"])
    return _deliver("TraceStore", recorder, store, receiver)


def _new_id(how: str) -> str:
    # Unique, so that a second demo in the same directory is a request of its own.
    return f"demo-{how}-{secrets.token_hex(3)}"


def _deliver(
    how: str, recorder: SpanRecorder | NodeRecorder, store: TraceStore, receiver: OtlpReceiver
) -> Run:
    """Wait until everything that was recorded is stored and accepted, and count what the receiver has of it.

    Raises:
        DeliveryError: Something was not stored, not accepted or not seen in time; says which.
    """
    request_id = recorder.request_id
    hint = f"{program()} --db {shlex.quote(str(store.db_path))} status says more"
    if not store.force_flush(TIMEOUT_MS):
        raise DeliveryError(f"{request_id} was not stored within {TIMEOUT_MS / 1000:g} s", hint=hint)
    if not store.wait_delivered(TIMEOUT_MS):
        raise DeliveryError(f"{request_id} was stored but not delivered to {receiver.endpoint}", hint=hint)
    received = _received(store, receiver, request_id)
    if received < recorder.recorded:
        raise DeliveryError(
            f"{request_id}: {recorder.recorded} spans were made, the receiver has {received}", hint=hint
        )
    return Run(how=how, request_id=request_id, recorded=recorder.recorded, received=received)


def _received(store: TraceStore, receiver: OtlpReceiver, request_id: str) -> int:
    """Distinct spans of the request: delivery is at least once, a resend carries the same ids."""
    with Reader(store.db_path) as reader:
        request = reader.row("request", request_id=request_id)
    trace_id = request["trace_id"] if request is not None else None
    return len({span.span_id for span in receiver.spans() if span.trace_id == trace_id})


def _print_trees(out: Console, settings: Settings, runs: list[Run]) -> None:
    with Reader(settings.db_path) as reader:
        for run in runs:
            out.print()
            out.print(Rule(Text(f"stored, from {run.how}"), align="left", style="bright_black"), width=80)
            show.render(out, reader, run.request_id)


def _print_arrival(out: Console, runs: list[Run]) -> None:
    table = plain_table()
    for name in ("recorded by", "request", "recorded", "received"):
        table.add_column(name, justify="right" if name.startswith("rec") and " " not in name else "left")
    for run in runs:
        complete = run.received >= run.recorded
        received = Text(str(run.received), style="green" if complete else "red")
        table.add_row(Text(run.how), Text(run.request_id), Text(str(run.recorded)), received)
    out.print()
    out.print(Rule(Text("arrived at the receiver"), align="left", style="bright_black"), width=80)
    out.print(table)


def _print_next_steps(out: Console, settings: Settings, runs: list[Run]) -> None:
    database = shlex.quote(str(settings.db_path))
    query = "select node_name, duration_ms, model, status from node_traces"
    out.print()
    out.print(Rule(Text("yours now"), align="left", style="bright_black"), width=80)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("database", Text(str(settings.db_path)))
    grid.add_row("spool", Text(str(settings.spool_dir)))
    out.print(grid)
    commands = [
        f"{program()} --db {database} {what}" for what in ("ls", f"show {runs[0].request_id}", "status", "ui")
    ]
    if shutil.which("sqlite3"):
        commands.append(f"sqlite3 {database} '{query}'")
    for line in commands:
        out.print(Text(line, style="cyan"), soft_wrap=True)  # broken into two it could not be run
