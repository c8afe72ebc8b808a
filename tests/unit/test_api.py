"""The public contract: names, signatures, one object a path, and what shutting down means."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import time
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
from asking import turn
from inprocess import App, Passed, dicts, drain_once, no_background, owning, rows, settings_for

import hush_otel
from hush_otel import (
    BaseTracer,
    ConfigError,
    Destination,
    HushSpanExporter,
    HushSpanProcessor,
    TraceStore,
    attachment,
    diagnostics,
    get_background,
    get_registered_tracers,
    get_store,
    register_tracer,
    shutdown_background,
)
from hush_otel import api as api_module
from hush_otel.attachment import attach
from hush_otel.store.delivered import DeliveryWatch

DESIGN = [
    "HushSpanProcessor",
    "HushSpanExporter",
    "Destination",
    "TraceStore",
    "get_store",
    "DEFAULT_DB_PATH",
    "get_background",
    "shutdown_background",
    "BaseTracer",
    "register_tracer",
    "get_registered_tracers",
]

NODE_ARGUMENTS = [
    "request_id",
    "workflow_name",
    "node_name",
    "parent_name",
    "context_id",
    "execution_order",
    "start_time",
    "end_time",
    "duration_ms",
    "input_data",
    "output_data",
    "user_id",
    "session_id",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost_usd",
    "contain_generation",
    "metadata",
    "node_type",
    "error",
]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_background(monkeypatch, tmp_path)
    monkeypatch.setattr(api_module, "_backgrounds", {})


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The database."""
    return tmp_path / "t.db"


def parameters(function: Any) -> list[tuple[str, Any, str]]:
    """Name, default and kind of each parameter but self."""
    return [
        (p.name, p.default if p.default is not p.empty else "required", p.kind.name)
        for p in inspect.signature(function).parameters.values()
        if p.name != "self"
    ]


# ------------------------------------------------------------------ names and signatures


def test_every_name_of_the_contract_is_exported() -> None:
    """`from hush_otel import …` works for all of them, and __all__ holds exactly what exists."""
    assert set(DESIGN) <= set(hush_otel.__all__)
    assert len(set(hush_otel.__all__)) == len(hush_otel.__all__)
    for name in hush_otel.__all__:
        getattr(hush_otel, name)


def test_the_package_file_is_names_only() -> None:
    """__init__.py holds imports and __all__, nothing else."""
    tree = ast.parse(Path(hush_otel.__file__).read_text(encoding="utf-8"))
    assert all(isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in tree.body)


def test_importing_starts_nothing_and_stays_light() -> None:
    """`import hush_otel` loads neither SQLite nor HTTP nor protobuf, starts no thread, makes no file."""
    code = (
        "import sys, threading, hush_otel, hush_otel.api\n"
        "loaded = [m for m in ('sqlite3', 'urllib3', 'http.client', 'google.protobuf', 'hush_otel.store',"
        " 'hush_otel.destinations', 'rich', 'click') if m in sys.modules]\n"
        "print(loaded, threading.active_count())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.split("\n")[0] == "[] 1"


def test_capturing_loads_neither_sqlite_nor_http(db: Path) -> None:
    """Nor does recording: what runs in the app stays small."""
    code = (
        "import os, sys\n"
        "os.environ['HUSH_BACKGROUND'] = 'external'\n"
        "from hush_otel import HushSpanProcessor, get_store\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "provider = TracerProvider(shutdown_on_exit=False)\n"
        f"provider.add_span_processor(HushSpanProcessor({str(db)!r}))\n"
        "provider.get_tracer('t').start_span('x').end()\n"
        f"get_store({str(db)!r}).insert_node_trace('r', 'w', 'n', None, None, 1, None, None, None, {{}}, {{}})\n"
        "provider.force_flush(1)\n"
        "print([m for m in ('sqlite3', 'urllib3', 'http.client', 'hush_otel.store') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            HushSpanProcessor,
            [
                ("db_path", None, "POSITIONAL_OR_KEYWORD"),
                ("destinations", (), "KEYWORD_ONLY"),
                ("live", True, "KEYWORD_ONLY"),
            ],
        ),
        (
            HushSpanExporter,
            [("db_path", None, "POSITIONAL_OR_KEYWORD"), ("destinations", (), "KEYWORD_ONLY")],
        ),
        (TraceStore, [("db_path", None, "POSITIONAL_OR_KEYWORD")]),
        (get_store, [("db_path", None, "POSITIONAL_OR_KEYWORD")]),
        (get_background, [("db_path", None, "POSITIONAL_OR_KEYWORD")]),
        (TraceStore.force_flush, [("timeout_millis", 30000, "POSITIONAL_OR_KEYWORD")]),
        (
            TraceStore.wait_delivered,
            [
                ("timeout_millis", 30000, "POSITIONAL_OR_KEYWORD"),
                ("request_id", None, "POSITIONAL_OR_KEYWORD"),
            ],
        ),
        (
            Destination,
            [
                ("type", "required", "POSITIONAL_OR_KEYWORD"),
                ("name", None, "KEYWORD_ONLY"),
                ("endpoint", None, "KEYWORD_ONLY"),
                ("headers", None, "KEYWORD_ONLY"),
                ("protocol", None, "KEYWORD_ONLY"),
                ("options", "required", "VAR_KEYWORD"),
            ],
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_signatures_are_the_documented_ones(function: Any, expected: list[tuple[str, Any, str]]) -> None:
    """Names, defaults and kinds of every parameter."""
    assert parameters(function) == expected


def test_insert_node_trace_has_the_seeds_signature() -> None:
    """Twenty positional arguments in the seed's order, eleven of them required, then two of ours by keyword."""
    found = parameters(TraceStore.insert_node_trace)
    assert [name for name, _, _ in found] == NODE_ARGUMENTS
    assert [default for _, default, _ in found[:11]] == ["required"] * 11
    assert [default for _, default, _ in found[11:]] == [None] * 7 + [False, None, None, None]
    assert {kind for _, _, kind in found[:20]} == {"POSITIONAL_OR_KEYWORD"}
    assert {kind for _, _, kind in found[20:]} == {"KEYWORD_ONLY"}


def test_mark_request_complete_takes_the_seeds_arguments_in_order() -> None:
    """request_id, tracer_type, tracer_config, tags."""
    found = parameters(TraceStore.mark_request_complete)
    assert [name for name, _, _ in found] == ["request_id", "tracer_type", "tracer_config", "tags"]
    assert [default for _, default, _ in found] == ["required", "required", None, None]


# ------------------------------------------------------------------ writing

FULL: dict[str, Any] = {
    "request_id": "req-1",
    "workflow_name": "flow",
    "node_name": "flow.answer",
    "parent_name": "flow",
    "context_id": "[0]",
    "execution_order": 3,
    "start_time": "2026-01-01T00:00:00.000001",
    "end_time": "2026-01-01T00:00:01",
    "duration_ms": 999.999,
    "input_data": {"q": "?"},
    "output_data": ["!"],
    "user_id": "u",
    "session_id": "s",
    "model": "gpt",
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "cost_usd": 0.25,
    "contain_generation": True,
    "metadata": {"k": [1]},
    "node_type": "llm",
    "error": "boom",
}
STORED = FULL | {
    "input_data": '{"q":"?"}',
    "output_data": '["!"]',
    "metadata": '{"k":[1]}',
    "contain_generation": 1,
    "status": "error",
}


@pytest.mark.parametrize("how", ["keyword", "positional", "background"])
def test_a_node_reads_back_as_it_was_written(how: str, db: Path) -> None:
    """By keyword, in the seed's order, or through the background handle: the same row, times verbatim."""
    if how == "keyword":
        get_store(db).insert_node_trace(**FULL)
    elif how == "positional":
        values = [FULL[name] for name in NODE_ARGUMENTS[:20]]
        get_store(db).insert_node_trace(*values, node_type="llm", error="boom")
    else:
        get_background(db).write_trace(**FULL)
    drain_once(attach(db).settings)
    (row,) = dicts(db, "SELECT * FROM node_traces")
    assert {name: row[name] for name in STORED} == STORED


def test_write_trace_needs_three_fields_only(db: Path) -> None:
    """request_id, workflow_name, node_name; without one of them it is a TypeError that names it."""
    background = get_background(db)
    background.write_trace(request_id="r", workflow_name="w", node_name="n")
    for missing in ("request_id", "workflow_name", "node_name"):
        fields = {"request_id": "r", "workflow_name": "w", "node_name": "n"}
        del fields[missing]
        with pytest.raises(TypeError, match=missing):
            background.write_trace(**fields)
    with pytest.raises(TypeError, match="nodename"):
        background.write_trace(request_id="r", workflow_name="w", node_name="n", nodename="x")
    drain_once(attach(db).settings)
    assert rows(db, "SELECT request_id, workflow_name, node_name, status FROM node_traces") == [
        ("r", "w", "n", "ok")
    ]


def test_marks_by_position_and_keyword_are_the_same(db: Path) -> None:
    """mark_request_complete and mark_complete set tracer and tags, and complete the request."""
    get_store(db).mark_request_complete("a", "local", {"x": 1}, ["t"])
    get_background(db).mark_complete(request_id="b", tracer_type="local", tracer_config={"x": 1}, tags=["t"])
    drain_once(attach(db).settings)
    assert (
        rows(db, "SELECT tracer_type, tracer_config, tags, status, completed_by FROM requests")
        == [("local", '{"x":1}', '["t"]', "stored", "mark")] * 2
    )


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("request_id", ""),
        ("request_id", None),
        ("request_id", 5),
        ("workflow_name", None),
        ("node_name", b"n"),
    ],
)
def test_a_wrong_required_field_is_one_clear_value_error(field: str, wrong: Any, db: Path) -> None:
    """B11: the caller is told which required field is wrong; everything else is stored and flagged."""
    with pytest.raises(ValueError, match=field):
        get_store(db).insert_node_trace(**(FULL | {field: wrong}))


@pytest.mark.parametrize(("request_id", "tracer_type"), [("", "otlp"), (None, "otlp"), ("r", None), ("r", 5)])
def test_a_wrong_mark_is_one_clear_value_error(request_id: Any, tracer_type: Any, db: Path) -> None:
    """The same for marks."""
    with pytest.raises(ValueError, match=r"request_id|tracer_type"):
        get_store(db).mark_request_complete(request_id, tracer_type, {})


def test_an_exception_as_error_is_its_text(db: Path) -> None:
    """error=exc is written as type and message; one whose text cannot be made is its type."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    store = get_store(db)
    store.insert_node_trace(**(FULL | {"error": KeyError("k")}))
    store.insert_node_trace(**(FULL | {"error": MuteError()}))
    drain_once(attach(db).settings)
    assert [row[0] for row in rows(db, "SELECT error FROM node_traces ORDER BY id")] == [
        "KeyError: 'k'",
        "MuteError",
    ]


# ------------------------------------------------------------------ one object a path


def test_one_object_for_each_path(tmp_path: Path) -> None:
    """get_store and get_background give one object a database, however its path is written."""
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    assert get_store(a) is get_store(str(a)) is get_store(tmp_path / "x" / ".." / "a.db")
    assert get_store(a) is not get_store(b)
    assert get_background(a) is get_background(str(a))
    assert get_background(a) is not get_background(b)
    assert get_store(a).db_path == a == get_background(a).db_path


def test_the_path_is_read_when_the_object_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is what the environment says now, not what it said at import."""
    monkeypatch.setenv("HUSH_TRACES_DB", str(tmp_path / "one.db"))
    one = get_store()
    monkeypatch.setenv("HUSH_TRACES_DB", str(tmp_path / "two.db"))
    assert one.db_path == tmp_path / "one.db"
    assert get_store().db_path == tmp_path / "two.db"
    monkeypatch.delenv("HUSH_TRACES_DB")
    assert get_store().db_path == tmp_path / ".hush/traces.db"


def test_a_store_made_at_import_does_not_decide_for_what_comes_later(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of a processor are those of its own moment, and the store's from then on."""
    store = get_store(db)
    monkeypatch.setenv("HUSH_DESTINATIONS", "console")
    monkeypatch.setenv("HUSH_LIVE", "0")
    monkeypatch.setenv("HUSH_SPOOL_MAX_BYTES", "2MiB")
    (tmp_path / "hush.toml").write_text('[destination.lab]\ntype = "otlp"\nendpoint = "http://lab:4318"\n')
    monkeypatch.setenv("HUSH_CONFIG", str(tmp_path / "hush.toml"))
    processor = HushSpanProcessor(db)
    assert [one["name"] for one in processor._pipeline._destinations] == ["console"]
    assert not processor._live
    assert processor._writer.max_bytes == 2 * 1024 * 1024
    assert store._attachment.destination_named("lab") is not None
    assert processor._writer is store._attachment.writer


def test_a_processor_that_cannot_be_made_takes_no_names(db: Path) -> None:
    """One of its destinations contradicts an earlier one: the others are not kept, and the mended one is made."""

    def processor(**endpoints: str) -> HushSpanProcessor:
        destinations = [Destination("otlp", name=name, endpoint=url) for name, url in endpoints.items()]
        return HushSpanProcessor(db, destinations=destinations)

    processor(first="http://first:4318")
    with pytest.raises(ConfigError, match="two destinations are named 'first'"):
        processor(second="http://typo:4318", first="http://another:4318")
    processor(second="http://second:4318")


@pytest.mark.parametrize("way_in", [HushSpanProcessor, HushSpanExporter, TraceStore])
@pytest.mark.parametrize("before", ["", "[redaction]\nkeys = ['pin']\n"])
def test_s13_redaction_that_comes_too_late_is_an_error(
    before: str, way_in: Any, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13: who asks for it must not believe that it is on; the same rules read again are no change."""
    file = tmp_path / "hush.toml"
    monkeypatch.setenv("HUSH_CONFIG", str(file))
    file.write_text(before)
    get_store(db)
    way_in(db)
    file.write_text("[redaction]\nkeys = ['password']\n")
    with pytest.raises(ConfigError, match=rf"^\[redaction\] has changed: this process records to {db} with"):
        way_in(db)


@pytest.mark.parametrize("way_in", [get_store, get_background])
def test_what_is_asked_for_in_each_request_raises_nothing_when_somebody_edits_the_file(
    way_in: Any, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and what was decided stays."""
    file = tmp_path / "hush.toml"
    monkeypatch.setenv("HUSH_CONFIG", str(file))
    file.write_text("")
    monkeypatch.setattr(diagnostics, "_next", {})
    first = way_in(db)
    file.write_text("[redaction]\nkeys = ['password']\n")
    assert way_in(db) is first
    assert "[redaction] has changed" in caplog.text


def test_a_spool_that_has_moved_meanwhile_is_an_error(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One database has one spool, which this process writes to."""
    get_store(db)
    monkeypatch.setenv("HUSH_SPOOL_DIR", str(db.parent / "elsewhere"))
    with pytest.raises(ConfigError, match=r"^HUSH_SPOOL_DIR has changed"):
        HushSpanProcessor(db)


def test_all_ways_in_share_one_writer_a_database(db: Path) -> None:
    """Processor, exporter and store of one database are one process to the spool."""
    app = App(db)
    app.tracer.start_span("x").end()
    get_store(db).insert_node_trace(**FULL)
    TraceStore(db).insert_node_trace(**FULL)
    get_background(db).write_trace(**FULL)
    HushSpanExporter(db)
    assert len(list(app.settings.spool_dir.glob("*.seg"))) == 1
    assert len(list(app.settings.spool_dir.glob("*.owner"))) == 1


# ------------------------------------------------------------------ flushing and shutting down


def test_force_flush_is_true_when_the_store_has_it(db: Path) -> None:
    """On the store as on the handle."""
    store, background = get_store(db), get_background(db)
    store.insert_node_trace(**FULL)
    assert store.force_flush(0) is False
    assert background.force_flush(0) is False
    drain_once(attach(db).settings)
    assert store.force_flush(0) is True
    assert background.force_flush(timeout_millis=0) is True


def test_shutdown_gives_the_ownership_up_and_a_later_record_takes_it_again(db: Path) -> None:
    """After shutdown nothing of this process is owned; it is no end: the next record is stored, too."""
    background = get_background(db)
    background.write_trace(request_id="r", workflow_name="w", node_name="before")
    writer = attach(db).writer
    background.shutdown(timeout=0)
    background.shutdown(0)
    assert writer._identity is None
    background.write_trace(request_id="r", workflow_name="w", node_name="after")
    assert writer._identity is not None
    drain_once(attach(db).settings)
    assert rows(db, "SELECT node_name FROM node_traces ORDER BY 1") == [("after",), ("before",)]


@pytest.mark.alone
def test_shutdown_is_bounded(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody draining it returns after its timeout, in seconds."""
    background = get_background(db)
    background.write_trace(request_id="r", workflow_name="w", node_name="n")
    passed = Passed.for_waiting(monkeypatch)
    began = time.monotonic()
    background.shutdown(timeout=0.1)
    assert passed.slept_s == pytest.approx(0.1)
    assert time.monotonic() - began < 1.0, "it waits by nothing else"


def test_shutdown_background_shuts_every_handle_down(tmp_path: Path) -> None:
    """All databases of this process; without any it is nothing."""
    shutdown_background()
    handles = [get_background(tmp_path / name) for name in ("a.db", "b.db")]
    for handle in handles:
        handle.write_trace(request_id="r", workflow_name="w", node_name="n")
    shutdown_background(timeout=0)
    assert all(attach(handle.db_path).writer._identity is None for handle in handles)


def test_nobody_owns_a_database_that_nobody_drains(db: Path) -> None:
    """Pid is None and is_running False, before and after the first record, and nothing is made by asking."""
    background = get_background(db)
    assert (background.pid, background.is_running) == (None, False)
    assert not db.exists()
    background.write_trace(request_id="r", workflow_name="w", node_name="n")
    assert (background.pid, background.is_running) == (None, False)


# ------------------------------------------------------------------ wait_delivered


def test_wait_delivered_needs_the_store_first(db: Path) -> None:
    """What is not in the store yet is not delivered, whether a database exists or not."""
    store = get_store(db)
    store.insert_node_trace(**FULL)
    assert store.wait_delivered(0) is False
    drain_once(attach(db).settings)
    store.insert_node_trace(**FULL)
    assert store.wait_delivered(0) is False


def test_wait_delivered_answers_what_has_ended_the_waiting(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All was accepted; that another request has been completed since is no reason to say False."""
    looks = iter([True, None])
    monkeypatch.setattr(DeliveryWatch, "look", lambda _: next(looks))
    assert get_store(db).wait_delivered(0) is True


def test_wait_delivered_is_true_when_nothing_was_asked_for(db: Path) -> None:
    """Stored and nothing owed: at once."""
    store = get_store(db)
    store.insert_node_trace(**FULL)
    store.mark_request_complete("req-1", "local", {})
    drain_once(attach(db).settings)
    assert store.wait_delivered(1000) is True
    assert store.wait_delivered(1000, "req-1") is True
    assert store.wait_delivered(50, request_id="another") is False


@pytest.mark.alone
def test_wait_delivered_is_false_at_once_when_a_destination_cannot_work(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused or dead delivery ends the waiting; a file's is accepted."""
    store = get_store(db)
    store.insert_node_trace(**FULL)
    store.mark_request_complete("req-1", "file", {"path": str(db.with_name("out.jsonl"))})
    store.mark_request_complete("req-2", "no-such-type", {})
    store.insert_node_trace(**(FULL | {"request_id": "req-2"}))
    with owning(attach(db).settings) as owner:
        turn(owner, lambda: store.wait_delivered(0, "req-1"))
        turn(owner, lambda: rows(db, "SELECT 1 FROM deliveries WHERE state = 'paused'"))
        passed = Passed.for_waiting(monkeypatch)
        began = time.monotonic()
        assert store.wait_delivered(10_000, "req-2") is False
        assert store.wait_delivered(10_000) is False
        assert time.monotonic() - began < 5
    assert passed.slept_s == 0


def test_wait_delivered_knows_this_process_after_shutdown(db: Path) -> None:
    """Giving the ownership up does not make what was asked for somebody else's."""
    store = get_store(db)
    store.insert_node_trace(**FULL)
    store.mark_request_complete("req-1", "no-such-type", {})
    get_background(db).shutdown(0)
    drain_once(attach(db).settings)
    assert store.wait_delivered(50) is False
    store.insert_node_trace(**FULL | {"request_id": "req-2"})  # by an identity of its own
    drain_once(attach(db).settings)
    assert store.wait_delivered(50) is False


# ------------------------------------------------------------------ destinations and tracers


def test_a_destination_is_a_value() -> None:
    """Equal configurations are equal, hash alike, share a name, and show no secret."""
    one = Destination("otlp", endpoint="http://x", headers={"authorization": "Bearer canary"})
    other = Destination("otlp", headers={"authorization": "Bearer canary"}, endpoint="http://x")
    assert one == other
    assert hash(one) == hash(other)
    assert one.name == other.name
    assert one.name.startswith("otlp#")
    assert one != Destination("otlp", endpoint="http://y")
    assert one != "otlp"
    assert "canary" not in repr(one)


@pytest.mark.parametrize(
    ("alias", "kind"), [("OTELTracer", "otlp"), ("LangfuseTracer", "langfuse"), ("LocalTracer", "local")]
)
def test_the_seeds_class_names_are_types(alias: str, kind: str) -> None:
    """What the seed's users pass still works."""
    assert Destination(alias).type == kind


def test_the_processor_asks_for_its_destinations(db: Path) -> None:
    """Each span captured by it is owed to each of them."""
    app = App(db, destinations=[Destination("otlp", name="lab", endpoint="http://127.0.0.1:9")])
    app.tracer.start_span("x").end()
    app.drain()
    assert rows(db, "SELECT destination, state, span_count FROM deliveries") == [("lab", "pending", 1)]
    assert rows(db, "SELECT status FROM requests") == [("pending",)]


MAIN = """
[destination.main]
type = "otlp"
endpoint = "http://127.0.0.1:9"
headers = {x-key = "${KEY}"}
[destination.otlp]
type = "jaeger"
[destination.quiet]
type = "local"
"""


class Stubborn(dict[str, Any]):
    """A dict whose own ways to read it fail."""

    def keys(self) -> Any:
        """Never called."""
        raise RuntimeError

    __iter__ = items = keys


@pytest.mark.parametrize(
    ("name", "config", "kind", "resolved"),
    [
        ("main", None, "otlp", {"endpoint": "http://127.0.0.1:9", "headers": {"x-key": "${KEY}"}}),
        ("main", {}, "otlp", {"endpoint": "http://127.0.0.1:9", "headers": {"x-key": "${KEY}"}}),
        (
            "main",
            {"endpoint": "http://127.0.0.1:8", "timeout_s": 1},
            "otlp",
            {"endpoint": "http://127.0.0.1:8", "headers": {"x-key": "${KEY}"}, "timeout_s": 1},
        ),
        ("main", UserDict({"headers": {}}), "otlp", {"endpoint": "http://127.0.0.1:9", "headers": {}}),
        ("main", Stubborn(headers={}), "otlp", {"endpoint": "http://127.0.0.1:9", "headers": {}}),
        ("otlp", None, "jaeger", {}),
        ("jaeger", None, "jaeger", {}),
        ("quiet", None, "local", {}),
    ],
)
def test_a_mark_may_name_a_destination_of_the_file(
    name: str, config: Any, kind: str, resolved: dict[str, Any], db: Path, tmp_path: Path
) -> None:
    """Its type and options come from the file, what the call gives replaces them, references stay."""
    (tmp_path / ".hush").mkdir()
    (tmp_path / ".hush/hush.toml").write_text(MAIN)
    store = get_store(db)
    store.insert_node_trace(**FULL)
    store.mark_request_complete("req-1", name, config)
    drain_once(attach(db).settings)
    ((stored_type, stored_config),) = rows(db, "SELECT tracer_type, tracer_config FROM requests")
    assert (stored_type, json.loads(stored_config)) == (kind, resolved)
    states = [] if kind == "local" else [("pending",)]
    assert rows(db, "SELECT state FROM deliveries") == states


def test_an_empty_request_id_is_told_as_such(db: Path) -> None:
    """Of the right type and still wrong: the message does not speak of the type."""
    for call in (
        lambda: get_store(db).insert_node_trace(**(FULL | {"request_id": ""})),
        lambda: get_store(db).mark_request_complete("", "local"),
    ):
        with pytest.raises(ValueError, match=r"^request_id must be non-empty text$"):
            call()
    with pytest.raises(ValueError, match=r"^request_id must be text, not int$"):
        get_store(db).mark_request_complete(5, "local")  # type: ignore[arg-type]


def test_help_on_the_test_doubles_works() -> None:
    """Every signature in hush_otel.testing can be shown."""
    program = """
import inspect
import hush_otel.testing as doubles
help(doubles)
for one in vars(doubles).values():
    if callable(one) and one.__module__ == doubles.__name__:
        inspect.signature(one)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert "class OtlpReceiver" in done.stdout


def test_tracers_are_registered_by_class() -> None:
    """register_tracer is a decorator, names by class or by name, and refuses what is no tracer."""

    @register_tracer
    class MineForTest(BaseTracer):
        """Mine."""

    register_tracer(MineForTest, "another-name")
    assert get_registered_tracers()["MineForTest"] is MineForTest
    assert get_registered_tracers()["another-name"] is MineForTest
    with pytest.raises(ConfigError, match="BaseTracer"):
        register_tracer(str)  # type: ignore[type-var]
    with pytest.raises(NotImplementedError):
        MineForTest().flush({})


# ------------------------------------------------------------------ one spool a database


def test_two_databases_in_one_spool_directory_keep_their_records_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HUSH_SPOOL_DIR for all: each database stores what was recorded for it, and that only."""
    monkeypatch.setenv("HUSH_SPOOL_DIR", str(tmp_path / "spools"))
    for name in ("a", "b"):
        get_store(tmp_path / f"{name}.db").insert_node_trace(
            f"run-{name}", "flow", "node", None, None, 0, None, None, 1.0, {}, {}
        )
    for name in ("a", "b"):
        drain_once(attach(tmp_path / f"{name}.db").settings)
        assert rows(tmp_path / f"{name}.db", "SELECT request_id FROM requests") == [(f"run-{name}",)]


def test_a_second_spool_of_a_database_is_refused(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process drains the spool beside the database, another one would take it from it for ever."""
    holder = """
import sys
from pathlib import Path
from hush_otel.spool.locks import LockFile
assert LockFile(Path(sys.argv[1])).try_lock()
print("locked", flush=True)
sys.stdin.read()
"""
    beside = settings_for(db).spool_dir
    beside.mkdir(mode=0o700)
    command = [sys.executable, "-c", holder, str(beside / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        HushSpanProcessor(db)
        attachment._attachments.clear()
        monkeypatch.setenv("HUSH_SPOOL_DIR", str(tmp_path / "spools"))
        with pytest.raises(ConfigError, match=rf"HUSH_SPOOL_DIR: .*process {process.pid}") as refused:
            HushSpanProcessor(db)
        assert str(beside) in str(refused.value)
        process.kill()
    HushSpanProcessor(db)


def test_one_name_is_one_receiver(db: Path) -> None:
    """Two destinations of one name and other options would take each other's spans; two equal ones are one."""
    HushSpanProcessor(db, destinations=[Destination("otlp", name="rx", endpoint="http://127.0.0.1:1")])
    HushSpanExporter(db, destinations=[Destination("otlp", name="rx", endpoint="http://127.0.0.1:1")])
    with pytest.raises(ConfigError, match="'rx'"):
        HushSpanProcessor(db, destinations=[Destination("otlp", name="rx", endpoint="http://127.0.0.1:2")])
