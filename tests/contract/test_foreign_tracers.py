"""Tracers of users: what they are given, and that nothing they do harms more than their own delivery."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import rows
from plugging import install
from processes import is_running, processes_naming
from relaying import Yard, end_of
from support import eventually

from hush_otel import Destination, records
from hush_otel.background.settling import LONGEST_BACKOFF_S
from hush_otel.destinations import foreign_process
from hush_otel.testing import OtlpReceiver

SOON_S = 2.0
"""A deadline for what hangs."""
TOO_LATE = "no answer within 2 s"


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """A database and its relay, with the plug-ins installed."""
    for name, value in install(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with Yard(tmp_path / "t.db") as one:
        yield one


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the tracers write."""
    return tmp_path / "out.jsonl"


def flushed(out: Path) -> list[dict[str, Any]]:
    """What they have written, in order."""
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []


def node(request_id: str, name: str, parent: str | None = None, **fields: Any) -> records.Node:
    """A node trace."""
    given = {
        "request_id": request_id,
        "workflow_name": "flow",
        "node_name": name,
        "parent_name": parent,
        "context_id": None,
        "execution_order": None,
        "start_time": "2026-01-31T09:00:00Z",
        "end_time": "2026-01-31T09:00:01Z",
        "duration_ms": 1000.0,
        "input_data": None,
        "output_data": None,
        "user_id": None,
        "session_id": None,
        "model": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "total_tokens": None,
        "cost_usd": None,
        "contain_generation": False,
        "metadata": None,
        "node_type": None,
        "error": None,
    }
    assert fields.keys() <= given.keys()
    return records.Node(records.NODE, time.time_ns(), [*(given | fields).values()])


def mark(request_id: str, tracer: str, tags: list[str] | None = None, **config: Any) -> records.Mark:
    """A completion mark."""
    return records.Mark(records.MARK, time.time_ns(), request_id, tracer, config, tags)


def misbehaving(tmp_path: Path, out: Path, way: str, **config: Any) -> Destination:
    """A tracer that does one thing wrong until `mend`."""
    options = {"path": str(out), "until": str(tmp_path / "mended"), "pids": str(tmp_path / "pid"), "way": way}
    deadline = {"timeout_s": SOON_S} if RETRIED.get(way) == TOO_LATE else {}
    return Destination("Misbehaves", name="lab", **options | deadline | config)


def mend(tmp_path: Path) -> None:
    """From now on it works."""
    (tmp_path / "mended").touch()


# What a tracer is given.


def test_flush_data_has_the_shape_of_the_seed(yard: Yard, out: Path) -> None:
    """Order, parents, content out of its JSON, usage and cost; the mark's tags and configuration."""
    yard.ingest(
        node("r-1", "flow", execution_order=0, user_id="u", session_id="s", input_data={"q": "?"}),
        node(
            "r-1",
            "flow.chat",
            "flow",
            context_id="[0]",
            execution_order=1,
            input_data={"messages": [{"role": "user"}]},
            output_data="42",
            model="m-1",
            prompt_tokens=3,
            completion_tokens=4,
            cost_usd=0.25,
            contain_generation=True,
            metadata={"temperature": 0.5},
            error="cut short",
        ),
        mark("r-1", "Writes", tags=["a", "b"], path=str(out), limit=5),
    )
    yard.deliver()
    assert yard.deliveries() == [("delivered", 2)]
    (data,) = flushed(out)
    assert {key: data[key] for key in data if key not in ("execution_order", "nodes_trace_data", "pid")} == {
        "tracer_type": "Writes",
        "tracer_config": {"path": str(out), "limit": 5},
        "request_id": "r-1",
        "workflow_name": "flow",
        "user_id": "u",
        "session_id": "s",
        "tags": ["a", "b"],
        "is_delta": False,
        "new_nodes": ["flow", "flow.chat:[0]"],
    }
    assert data["execution_order"] == [
        {"node": "flow", "parent": None, "context_id": None, "contain_generation": False},
        {"node": "flow.chat", "parent": "flow", "context_id": "[0]", "contain_generation": True},
    ]
    chat = data["nodes_trace_data"]["flow.chat:[0]"]
    assert (
        chat.items()
        >= {
            "name": "chat",
            "start_time": "2026-01-31T09:00:00Z",
            "end_time": "2026-01-31T09:00:01Z",
            "duration_ms": 1000.0,
            "input": {"messages": [{"role": "user"}]},
            "output": "42",
            "model": "m-1",
            "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            "cost": 0.25,
            "metadata": {"temperature": 0.5},
            "error": "cut short",
            "interrupted": False,
        }.items()
    )
    root = data["nodes_trace_data"]["flow"]
    assert (root["input"], root["output"], root["usage"], root["metadata"]) == ({"q": "?"}, {}, None, {})
    assert chat["parent_span_id"] == root["span_id"]


def test_spans_of_one_name_are_told_apart(yard: Yard, out: Path) -> None:
    """Spans of OTel have no other names: each has its own entry, in the order in which they began."""
    yard.take(["chat", "chat", "root"], Destination("Writes", name="lab", path=str(out)))
    yard.deliver()
    (data,) = flushed(out)
    assert [entry["node"] for entry in data["execution_order"]] == ["chat", "chat#2", "root"]
    assert list(data["nodes_trace_data"]) == ["chat", "chat#2", "root"]
    assert [one["name"] for one in data["nodes_trace_data"].values()] == ["chat", "chat", "root"]
    assert len({one["span_id"] for one in data["nodes_trace_data"].values()}) == 3


def test_f34_a_delta_is_the_whole_request_and_says_what_is_new(yard: Yard, out: Path) -> None:
    """A node that comes after the mark is flushed with all the others, which are not new."""
    yard.ingest(
        node("r-1", "flow", execution_order=0),
        node("r-1", "flow.a", "flow", execution_order=1),
        mark("r-1", "Writes", path=str(out)),
    )
    yard.deliver()
    yard.ingest(node("r-1", "flow.late", "flow", execution_order=2))
    yard.time.pass_by(10)
    yard.deliver()
    assert yard.deliveries() == [("delivered", 2), ("delivered", 1)]
    whole, delta = flushed(out)
    assert (whole["is_delta"], whole["new_nodes"]) == (False, ["flow", "flow.a"])
    assert (delta["is_delta"], delta["new_nodes"]) == (True, ["flow.late"])
    assert list(delta["nodes_trace_data"]) == ["flow", "flow.a", "flow.late"]
    assert delta["nodes_trace_data"]["flow"] == whole["nodes_trace_data"]["flow"]
    assert whole["pid"] == delta["pid"], "one process, as long as it works"


def test_a_processors_tracer_gets_what_that_processor_captured(yard: Yard, out: Path) -> None:
    """As any other destination of a capture does; the other capture's spans are not among them."""
    trace = b"t" * 16
    lab = Destination("Writes", name="lab", path=str(out))
    yard.ingest(end_of(trace, 1, "theirs", "", root=False))
    yard.ingest(end_of(trace, 2, "ours", "", root=True), destinations=[lab])
    yard.deliver()
    (data,) = flushed(out)
    assert list(data["nodes_trace_data"]) == ["ours"]


def test_f35_an_interrupted_span_says_so(yard: Yard, out: Path) -> None:
    """Its process died: the tracer sees it, and once more with its real end when that turns up."""
    lab = Destination("Writes", name="lab", path=str(out))
    trace = b"t" * 16
    began = records.Start(records.START, 0, trace, (1).to_bytes(8, "big"), None, 0x101, "a", 1, 10, {})
    yard.ingest(began, destinations=[lab])
    yard.die()
    yard.deliver()
    yard.ingest(end_of(trace, 1, "a", "", root=True), destinations=[lab])
    yard.time.pass_by(10)
    yard.deliver()
    first, again = flushed(out)
    assert first["nodes_trace_data"]["a"]["interrupted"] is True
    assert again["nodes_trace_data"]["a"]["interrupted"] is False
    assert (first["is_delta"], again["is_delta"], again["new_nodes"]) == (False, True, ["a"])


@pytest.mark.parametrize("tracer", ["Writes", "AsTheSeed", "by-entry-point"])
def test_every_way_to_have_a_tracer(yard: Yard, out: Path, tracer: str) -> None:
    """Registered by a configured module, with a static method, by its entry point."""
    yard.take(["a"], Destination(tracer, name="lab", path=str(out)))
    yard.deliver()
    assert yard.states() == {"delivered": 1}
    assert [data["tracer_type"] for data in flushed(out)] == [tracer]


def test_s04_secrets_reach_the_tracer_by_reference(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the configuration refers to is resolved for it, and is in no command line."""
    monkeypatch.setenv("LAB_TOKEN", "s3cr3t-value")
    yard.take(["a"], Destination("Tells", name="lab", path=str(out), token="${LAB_TOKEN}"))
    yard.deliver()
    (data,) = flushed(out)
    assert data["tracer_config"]["token"] == "s3cr3t-value"
    assert "s3cr3t-value" not in data["found"]["argv"]
    assert "s3cr3t-value" not in yard.path.read_bytes().decode("latin-1")


def test_a_secret_file_that_changes_is_read_again(yard: Yard, out: Path, tmp_path: Path) -> None:
    """The process that was opened with the old one is replaced."""
    key = tmp_path / "key"
    key.write_text("old-secret\n")
    lab = Destination("Writes", name="lab", path=str(out), token=f"${{file:{key}}}")
    for secret in ("old-secret", "new-secret"):
        key.write_text(f"{secret}\n")
        yard.take([secret], lab)
        yard.deliver()
    assert [data["tracer_config"]["token"] for data in flushed(out)] == ["old-secret", "new-secret"]


def test_the_process_has_nothing_of_ours(yard: Yard, out: Path) -> None:
    """Neither the database nor the spool, no working directory of the app, and nothing it does is traced."""
    yard.take(["a"], Destination("Tells", name="lab", path=str(out)))
    yard.deliver()
    (data,) = flushed(out)
    found = data["found"]
    assert not [name for name in found["descriptors"] if str(yard.path) in name or ".spool" in name]
    assert found["cwd"] == "/"
    assert "" not in found["path"]
    assert (found["sdk"], found["recording"]) == ("true", False)


# What a tracer may do, and what becomes of it.

RETRIED = {
    "raises": "raised ValueError: no thanks",
    "raises without words": "raised _UnspeakableError",
    "raises surrogates": "raised OSError: no file ? here",
    "exits in the midst of a sentence": "with exit code 5; it last printed: I leave because of nobody",
    "returns False": "flush returned False",
    "raises SystemExit": "raised SystemExit: 4",
    "raises KeyboardInterrupt": "raised KeyboardInterrupt",
    "raises BaseException": "raised BaseException: base",
    "asks for all time": "busy",
    "exits": "ended by itself, with exit code 3",
    "segfaults": "ended by SIGSEGV",
    "is killed": "was killed",
    "hangs": TOO_LATE,
    "hangs with the GIL": TOO_LATE,
    "closes all": "its process",
    "speaks for us": "something else than our side answered",
    "floods": "after 20 MB",
    "forks": "I am the parent",
    "forks past the hooks": "I am the parent",
    "forks and stays": TOO_LATE,
    "leaves a thread": "it stays",
}


@pytest.mark.parametrize("way", RETRIED)
def test_f31_what_a_tracer_does_wrong_is_tried_again(yard: Yard, out: Path, tmp_path: Path, way: str) -> None:
    """It is a retryable failure with its reason; mended, the same delivery goes, once."""
    yard.take(["a", "b"], misbehaving(tmp_path, out, way))
    yard.deliver()
    (reason,) = yard.errors("pending")
    assert RETRIED[way] in reason
    assert reason.startswith("lab (Misbehaves): ")
    mend(tmp_path)
    if RETRIED[way] == TOO_LATE:  # what works now has all the time that it needs
        yard.ingest(destinations=[misbehaving(tmp_path, out, way, timeout_s=60.0)])
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    assert yard.deliveries() == [("delivered", 2)]
    assert [list(data["nodes_trace_data"]) for data in flushed(out)] == [["a", "b"]]
    assert yard.ledger_balances()


def test_a_tracers_wish_for_time_is_kept(yard: Yard, out: Path, tmp_path: Path) -> None:
    """RetryableError(retry_after_s=…) holds the destination, as a receiver's Retry-After does."""
    yard.take(["a"], misbehaving(tmp_path, out, "asks for time"))
    yard.deliver()
    assert yard.destination()["hold_until"] - yard.time.wall_s == pytest.approx(777.0, abs=1.0)


def test_a_tracer_may_refuse_one_request(yard: Yard, out: Path, tmp_path: Path) -> None:
    """PermanentError: that one is dead, the others go."""
    lab = misbehaving(tmp_path, out, "refuses", spares=["2".zfill(32), "3".zfill(32)])
    for name in ("a", "b", "c"):
        yard.take([name], lab)
    yard.deliver()
    assert yard.deliveries() == [("dead", 1), ("delivered", 1), ("delivered", 1)]
    assert yard.errors("dead") == ["lab (Misbehaves): never this one"]
    assert yard.ledger_balances()


def test_a_tracer_may_pause_its_destination(yard: Yard, out: Path, tmp_path: Path) -> None:
    """PausedError: nothing goes until somebody acts."""
    for name in ("a", "b"):
        yard.take([name], misbehaving(tmp_path, out, "needs somebody"))
    yard.deliver()
    assert yard.states() == {"paused": 2}
    assert yard.destination()["paused"] == "lab (Misbehaves): no key (get one)"


def test_what_follows_a_failure_is_not_tried(yard: Yard, out: Path, tmp_path: Path) -> None:
    """Others would only meet the same: their attempts are not counted."""
    for name in ("a", "b", "c"):
        yard.take([name], misbehaving(tmp_path, out, "raises"))
    yard.deliver()
    assert rows(yard.path, "SELECT state, attempts FROM deliveries ORDER BY id") == [
        ("pending", 1),
        ("pending", 0),
        ("pending", 0),
    ]


def test_f31_others_do_not_wait_for_a_tracer_that_hangs(yard: Yard, out: Path, tmp_path: Path) -> None:
    """The same request is accepted elsewhere, and the next one stored, while the tracer has not answered."""
    with OtlpReceiver() as receiver:
        hanging = misbehaving(tmp_path, out, "hangs", timeout_s=60.0)
        yard.take(["a"], hanging, Destination("otlp", name="other", endpoint=receiver.endpoint))
        yard.queue()
        yard.run_until(receiver.spans, "the other destination")
        yard.take(["b"])
        states = rows(yard.path, "SELECT destination, state FROM deliveries ORDER BY destination")
        assert ("lab", "sending") in states
        assert rows(yard.path, "SELECT count(*) FROM spans") == [(2,)]
        pid = tmp_path / "pid"
        hung = eventually(lambda: pid.exists() and pid.read_text("ascii"), what="the tracer's process")
        os.kill(int(hung), signal.SIGKILL)  # else the test waits for a minute


@pytest.mark.parametrize("way", ["hangs", "forks and stays", "hangs with the GIL"])
def test_what_hangs_is_gone_after_its_deadline(yard: Yard, out: Path, tmp_path: Path, way: str) -> None:
    """The process, and what it has forked."""
    yard.take(["a"], misbehaving(tmp_path, out, way))
    yard.deliver()
    place = tmp_path / "pid"

    def has_hung() -> bool:
        if not (place.exists() and place.read_text("ascii")):  # killed before it could say its pid
            yard.time.pass_by(LONGEST_BACKOFF_S)
            yard.settle()
        return place.exists() and bool(place.read_text("ascii"))

    eventually(has_hung, 60.0, what="a tracer that hangs")
    pid = int(place.read_text("ascii"))
    eventually(lambda: not is_running(pid), what="the end of what the tracer has left")


def test_what_a_tracer_prints_is_logged_once_and_in_short(
    yard: Yard, out: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten requests, 2 MB of output: one entry, of its beginning, with nothing for a terminal and no secret."""
    monkeypatch.setenv("LAB_TOKEN", "s3cr3t-value")
    with caplog.at_level(logging.INFO, "hush_otel"):
        for number in range(10):
            yard.take([f"s{number}"], Destination("Prints", name="lab", path=str(out), token="${LAB_TOKEN}"))
        yard.deliver()
    assert yard.states() == {"delivered": 10}
    said = [record.getMessage() for record in caplog.records if "printed:" in record.getMessage()]
    assert len(said) == 1
    assert "printed 0000" in said[0]
    assert "***" in said[0]
    assert "s3cr3t-value" not in caplog.text
    assert "\x1b" not in said[0]
    assert "bytes more" in said[0]
    assert len(said[0]) < foreign_process.KEPT_BYTES + 500


@pytest.mark.parametrize("way", ["raises", "exits in the midst of a sentence"])
def test_s04_a_secret_in_the_words_of_a_tracer_is_hidden(
    yard: Yard, out: Path, tmp_path: Path, way: str
) -> None:
    """They are shown by status and kept in the database."""
    yard.take(["a"], misbehaving(tmp_path, out, way, token="s3cr3t-value"))
    yard.deliver()
    (reason,) = yard.errors("pending")
    assert "***" in reason
    assert "s3cr3t" not in reason


def test_a_marks_configuration_reaches_its_tracer_whole(yard: Yard, out: Path) -> None:
    """Also what would be a destination's own words."""
    yard.ingest(node("r-1", "flow"), mark("r-1", "Writes", path=str(out), name="n", type="t", endpoint=7))
    yard.deliver()
    assert [data["tracer_config"] for data in flushed(out)] == [
        {"path": str(out), "name": "n", "type": "t", "endpoint": 7}
    ]


def test_a_secret_that_is_cut_is_not_shown_in_part(
    yard: Yard, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever the beginning of what it prints ends."""
    secret = "-".join(f"{number:04}" for number in range(100, 300))
    lab = Destination("PrintsSecrets", name="lab", path=str(out), token=secret)
    yard.take(["a"], lab)
    yard.deliver()
    assert yard.states() == {"delivered": 1}
    (said,) = [record.getMessage() for record in caplog.records if "printed:" in record.getMessage()]
    assert "***" in said
    assert secret[:10] not in said


def test_any_name_can_be_a_destinations(yard: Yard, out: Path) -> None:
    """Also one that no command line can have."""
    yard.take(["a"], Destination("Writes", name="lab é\0 \n日本", path=str(out)))
    yard.deliver()
    assert yard.states() == {"delivered": 1}


# Where there is no tracer.


def test_b16_a_tracer_that_the_background_process_cannot_find_pauses(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered in the application alone: paused, with what to do; done, it is delivered."""
    monkeypatch.setenv("HUSH_TRACER_MODULES", "")
    yard.take(["a"], Destination("Writes", name="lab", path=str(out)))
    yard.deliver()
    reason = yard.destination()["paused"]
    assert "lab (Writes): unknown type 'Writes'" in reason
    assert "tracers: by-entry-point, gone, no-tracer" in reason
    assert "HUSH_TRACER_MODULES" in reason
    assert "register_tracer in the application alone is not seen" in reason
    monkeypatch.setenv("HUSH_TRACER_MODULES", "plugin_tracers")
    yard.time.pass_by(LONGEST_BACKOFF_S + 1)
    yard.settle()
    assert yard.states() == {"delivered": 1}


def test_without_any_tracer_no_process_is_started_to_look_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a module nor an entry point: the answer is known."""
    monkeypatch.delenv("HUSH_TRACER_MODULES", raising=False)
    monkeypatch.setattr(foreign_process, "_start", None)
    with Yard(tmp_path / "t.db") as yard:
        yard.take(["a"], Destination("nosuch", name="lab"))
        yard.deliver()
        assert "unknown type 'nosuch'" in yard.destination()["paused"]


@pytest.mark.parametrize(
    ("tracer", "modules", "words"),
    [
        ("Writes", "plugin_gone", "the tracer module plugin_gone cannot be imported: ModuleNotFoundError"),
        ("no-tracer", "", "the entry point of the tracer 'no-tracer' is no tracer"),
        ("gone", "", "plugin_gone:Tracer cannot be imported: ModuleNotFoundError"),
        ("Writes", "not a module", "HUSH_TRACER_MODULES names 'not a module', which is no module"),
    ],
)
def test_what_is_wrong_with_a_tracer_is_said(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch, tracer: str, modules: str, words: str
) -> None:
    """Paused, with its reason: mended there, the next probe gets through."""
    monkeypatch.setenv("HUSH_TRACER_MODULES", modules)
    yard.take(["a"], Destination(tracer, name="lab", path=str(out)))
    yard.deliver()
    assert yard.states() == {"paused": 1}
    assert words in yard.destination()["paused"]


def test_an_interpreter_that_is_not_there_pauses(
    yard: Yard, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HUSH_PYTHON is somebody's to mend."""
    monkeypatch.setenv("HUSH_PYTHON", "/nowhere/python")
    yard.take(["a"], Destination("Writes", name="lab", path=str(out)))
    yard.deliver()
    assert "cannot run /nowhere/python: No such file or directory" in yard.destination()["paused"]


def test_the_process_is_gone_when_the_relay_is_closed(yard: Yard, out: Path) -> None:
    """Its name is in the command line, for whoever reads `ps`."""
    name = f"lab-{uuid.uuid4().hex}"  # no other run of this test has it
    yard.take(["a"], Destination("Writes", name=name, path=str(out)))
    yard.deliver()
    assert len(processes_naming(name)) == 1
    yard.relay.close()
    eventually(lambda: processes_naming(name) == [], what="the end of its process")
