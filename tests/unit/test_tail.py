"""What happens, as it happens: what a look gives, once each, and how the command shows it."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, Owner, no_background, owning, settings_for
from rich.console import Console
from store_rows import START_NS, StoreRows

from hush_otel.cli import tail
from hush_otel.config import Settings
from hush_otel.presentation import following
from hush_otel.presentation.following import Event, Follower
from hush_otel.store.reading import Reader


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of an empty directory, where applications start nothing."""
    no_background(monkeypatch, tmp_path)
    return settings_for(tmp_path / "traces.db")


@pytest.fixture
def owner(settings: Settings) -> Iterator[Owner]:
    """The owner of the database."""
    with owning(settings) as opened:
        yield opened


def said(events: Iterator[Event]) -> list[tuple[str, str]]:
    """What happened to whom."""
    return [(event.kind, event.row.get("name") or event.row["request_id"]) for event in events]


def test_a_span_starts_and_ends_and_its_request_completes(owner: Owner, settings: Settings) -> None:
    """Each is told once, and what runs is there to be shown until it ends."""
    app = App(settings.db_path)
    with Reader(settings.db_path) as reader:
        follower = Follower(reader)
        assert said(follower.look()) == []
        with app.tracer.start_as_current_span("root", attributes={"hush.request_id": "r"}):
            with app.tracer.start_as_current_span("step"):
                owner.drain()
                assert said(follower.look()) == [("started", "root"), ("started", "step")]
                assert [row["name"] for row in follower.running()] == ["root", "step"]
            owner.drain()
            assert said(follower.look()) == [("ended", "step")]
            assert [row["name"] for row in follower.running()] == ["root"]
        owner.drain()
        assert said(follower.look()) == [("ended", "root"), ("complete", "r")]
        assert follower.running() == []
        assert said(follower.look()) == []


def test_spans_that_end_between_two_looks_are_told_as_they_ended(owner: Owner, settings: Settings) -> None:
    """The inner one first, however they began."""
    app = App(settings.db_path)
    with Reader(settings.db_path) as reader:
        follower = Follower(reader)
        with app.tracer.start_as_current_span("outer"), app.tracer.start_as_current_span("inner"):
            owner.drain()
            list(follower.look())
        owner.drain()
        assert [name for kind, name in said(follower.look()) if kind == "ended"] == ["inner", "outer"]


def test_a_look_reads_nothing_when_nobody_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks SQLite for one number."""
    with StoreRows(tmp_path / "traces.db") as rows:
        rows.span(rows.request("r"), 1)
    with Reader(tmp_path / "traces.db") as reader:
        follower = Follower(reader)
        list(follower.look())
        asked = list[str]()
        each = reader.each
        monkeypatch.setattr(reader, "each", lambda name, **params: asked.append(name) or each(name, **params))
        assert list(follower.look()) == []
        assert asked == ["data_version"]


def test_what_was_there_before_is_told_as_far_as_asked(tmp_path: Path) -> None:
    """The last rows, and whatever runs, however old it is."""
    with StoreRows(tmp_path / "traces.db") as rows:
        request = rows.request("r", completed_by=None)
        rows.span(request, 1, name="old and running", state=0, end_ns=None, end_seq=None)
        rows._db.execute("INSERT INTO hush_running (span, writer_id) SELECT id, x'00' FROM hush_spans")
        for n in range(2, 6):
            rows.span(request, n)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            told = said(Follower(reader, last=2).look())
    assert told == [("started", "old and running"), ("ended", "span-4"), ("ended", "span-5")]


def test_what_was_there_before_is_told_in_the_order_of_time(tmp_path: Path) -> None:
    """However it was stored: by starts and ends, and a request after its last span, whatever its clock said."""
    with StoreRows(tmp_path / "traces.db") as rows:
        early, late = rows.request("early"), rows.request("late", completed_at=1.0)
        for request, span_id, name, ended_s in (
            (late, 1, "third", 30),
            (early, 2, "first", 10),
            (late, 3, "fourth", 40),
            (early, 4, "second", 20),
        ):
            start_ns = START_NS + (ended_s - 1) * 10**9
            rows.span(request, span_id, name=name, start_ns=start_ns, end_ns=start_ns + 10**9)
        rows.span(late, 5, name="runs", state=0, end_seq=None, end_ns=None, start_ns=START_NS + 25 * 10**9)
    with Reader(tmp_path / "traces.db") as reader:
        names = [name for _, name in said(Follower(reader, last=10).look())]
    assert names == ["first", "second", "early", "runs", "third", "fourth", "late"]


def test_failures_and_interruptions_are_told_as_such(tmp_path: Path) -> None:
    """By kind, with their words."""
    with StoreRows(tmp_path / "traces.db") as rows:
        request = rows.request("r", completed_by=None)
        rows.span(request, 1, status_code=2, status_message="boom")
        rows.span(request, 2, state=2)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            events = list(Follower(reader, last=9).look())
    assert [event.kind for event in events] == ["failed", "interrupted"]
    found = events[0].as_json()
    assert (found["event"], found["error"], found["request_id"]) == ("failed", "boom", "r")
    assert not {"id", "request"} & set(found)


def test_more_than_one_query_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst comes in several pieces, none of it twice."""
    monkeypatch.setattr(following, "AT_ONCE", 2)
    with StoreRows(tmp_path / "traces.db") as rows:
        request = rows.request("r", completed_by=None)
        for n in range(5):
            rows.span(request, n)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            follower = Follower(reader, last=5)
            assert said(follower.look()) == [("ended", f"span-{n}") for n in range(5)]
            rows.span(request, 9)
            rows.commit()
            assert said(follower.look()) == [("ended", "span-9")]


def test_a_request_is_complete_once_however_late_its_spans_come(tmp_path: Path) -> None:
    """A span that is stored after it was told is told itself, and nothing else."""
    with StoreRows(tmp_path / "traces.db") as rows:
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            follower = Follower(reader)
            request = rows.request("r")
            rows.span(request, 1)
            rows.commit()
            assert said(follower.look()) == [("ended", "span-1"), ("complete", "r")]
            rows.span(request, 2)
            rows.commit()
            assert said(follower.look()) == [("ended", "span-2")]


def test_a_request_is_complete_after_the_spans_that_are_stored_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored while a look reads is of the next moment, its spans and its end alike."""
    with StoreRows(tmp_path / "traces.db") as rows:
        request = rows.request("r", completed_by=None)
        rows.span(request, 1)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            follower = Follower(reader, last=1)
            ask = reader.rows

            def while_written(name: str, **params: Any) -> list[Any]:
                found = ask(name, **params)
                if name == "tail_new":
                    monkeypatch.undo()
                    rows.span(request, 2)
                    rows.complete(request)
                    rows.commit()
                return found

            monkeypatch.setattr(reader, "rows", while_written)
            assert said(follower.look()) == [("ended", "span-1")]
            assert said(follower.look()) == [("ended", "span-2"), ("complete", "r")]


def test_a_node_that_gives_its_times_alone_took_what_lies_between(tmp_path: Path) -> None:
    """As in the tree of its request."""
    times = {"start_time": "2023-11-14T22:13:20Z", "end_time": "2023-11-14T22:13:21Z"}
    with StoreRows(tmp_path / "traces.db") as rows:
        rows.node(rows.request("r"), 1, "ask", None, duration_ms=None, **times)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            (ended, _) = Follower(reader, last=1).look()
    assert ended.row["duration_ms"] == 12.3


def test_a_workflow_alone_also_before_its_name_is_known(tmp_path: Path) -> None:
    """Children may come before the root that names the workflow: they are told when it does."""
    with StoreRows(tmp_path / "traces.db") as rows:
        mine = rows.request("mine", workflow_name=None, completed_by=None)
        other = rows.request("other", workflow_name="else", completed_by=None)
        rows.span(mine, 1, name="child")
        rows.span(other, 2, name="stranger")
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            follower = Follower(reader, workflow="answer", last=9)
            assert said(follower.look()) == []
            rows._db.execute(
                "UPDATE hush_requests SET workflow_name = 'answer', completed_by = 'root' WHERE id = ?",
                (mine,),
            )
            rows.commit()
            assert said(follower.look()) == [("ended", "child"), ("complete", "mine")]


def test_a_deleted_request_is_forgotten(tmp_path: Path) -> None:
    """Nothing is asked of it for ever."""
    with StoreRows(tmp_path / "traces.db") as rows:
        rows.span(rows.request("r", completed_by=None), 1)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            follower = Follower(reader, last=9)
            list(follower.look())
            rows._db.execute("DELETE FROM hush_requests")
            rows.commit()
            assert list(follower.look()) == []
            assert follower._open == set()


# ------------------------------------------------------------------ the command


def lines(*events: Event, width: int = 100) -> list[str]:
    """As a terminal shows them."""
    out = Console(width=width, force_terminal=True, color_system=None, markup=False)
    with out.capture() as captured:
        for event in events:
            tail._print(out, event)
    return captured.get().splitlines()


def test_lines_fit_the_terminal(tmp_path: Path) -> None:
    """Whatever is in names and errors: one line each, no wider than the terminal, nothing that acts on it."""
    hostile = "\x1b[31mred\r\n" + "x" * 300
    with StoreRows(tmp_path / "traces.db") as rows:
        request = rows.request(hostile, workflow_name=hostile, error_count=1)
        rows.span(request, 1, name=hostile, model=hostile, status_code=2, status_message=hostile)
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            events = list(Follower(reader, last=9).look())
    assert [event.kind for event in events] == ["failed", "complete"]
    for width in (40, 60, 160):
        found = lines(*events, width=width)
        assert len(found) == 3
        assert all(len(line) <= width for line in found)
        assert "\x1b" not in "".join(found)


def test_what_runs_stands_at_the_bottom(tmp_path: Path) -> None:
    """The newest of it with its time so far, and how many more there are."""
    row = {
        "name": "chat", "context_id": None, "start_ns": START_NS, "prompt_tokens": None,
        "completion_tokens": None, "total_tokens": None, "cost_usd": None, "cost_source": None, "model": "m",
        "request_id": "r", "status": "running",
    }  # fmt: skip
    shown = tail._running([row] * 10, START_NS + 3_200_000_000, 80)
    texts = [line.plain for line in shown.renderables]
    assert texts[0].endswith("… 2 more run")
    assert len(texts) == 9
    assert texts[1].startswith(" running  ● chat")
    assert "3.20 s  m  r" in texts[1]


def test_parents_that_have_not_ended_stand_at_the_bottom(tmp_path: Path) -> None:
    """Node traces come when they end: until then their children name them. No more when they have, or all has."""
    terminal = Console(width=100, file=io.StringIO(), force_terminal=True, color_system=None)
    with StoreRows(tmp_path / "traces.db") as rows:
        request = rows.request("r", completed_by=None)
        rows.node(request, 1, "w.each.call", "w.each", context_id="[0]")
        rows.node(request, 2, "w.load", "w")
        rows.commit()
        with Reader(tmp_path / "traces.db") as reader:
            follower = Follower(reader, last=10)
            list(follower.look())
            assert [row["name"] for row in follower.awaited()] == ["each", "w"]
            terminal.print(tail._running([], START_NS, 100, follower.awaited()))
            rows.node(request, 3, "w.each", "w")
            rows.node(request, 4, "w.each.late", "w.each", context_id="[0]")
            rows.commit()
            list(follower.look())
            assert [row["name"] for row in follower.awaited()] == ["w"]
            rows.complete(request)
            rows.commit()
            list(follower.look())
            assert follower.awaited() == []
    shown = [line.split() for line in terminal.file.getvalue().splitlines()]
    assert shown[0] == ["running", "○", "each", "not", "ended", "yet", "r"]


def test_too_many_at_once_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows the newest of a burst, and says how many it left out."""
    monkeypatch.setattr(tail, "LINES_AT_ONCE", 2)
    out = Console(width=80, force_terminal=True, color_system=None)
    with out.capture() as captured:
        kept = list(tail._newest(out, iter(Event("ended", {"n": n}) for n in range(5))))
    assert [event.row["n"] for event in kept] == [3, 4]
    assert captured.get() == "… 3 more, too many at once to show\n"


@pytest.mark.parametrize("first", [True, False], ids=["database first", "tail first"])
def test_json_lines_until_interrupted(settings: Settings, first: bool) -> None:
    """Where there is no database yet it waits; Ctrl-C ends it with 130 and no words."""
    if first:
        _record(settings, "before")
    process = subprocess.Popen(
        [sys.executable, "-m", "hush_otel", "--db", str(settings.db_path), "tail", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        if not first:
            assert process.stderr.readline().startswith("waiting for ")
            _record(settings, "before")
        found = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [one["event"] for one in found] == ["ended", "complete"]
        _record(settings, "live")
        assert json.loads(process.stdout.readline())["name"] == "live"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read().strip() == ""
    finally:
        process.kill()
        process.communicate()


def _record(settings: Settings, name: str) -> None:
    app = App(settings.db_path)
    with app.tracer.start_as_current_span(name):
        pass
    with owning(settings) as owner:
        owner.drain()
