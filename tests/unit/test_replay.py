"""`hush-otel replay`: which requests go to a destination that came later, and that none goes twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask, turn, write_config
from inprocess import App, Owner, drain_once, no_background, owning, rows, settings_for

from hush_otel.cli import audit, history, main
from hush_otel.config import Settings
from hush_otel.testing import OtlpReceiver


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database that nobody works on."""
    no_background(monkeypatch, tmp_path)
    return settings_for(tmp_path / "traces.db")


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """The destination `later`, which no app has ever named."""
    with OtlpReceiver() as receiver:
        config = write_config(tmp_path, later={"type": "otlp", "endpoint": receiver.endpoint})
        monkeypatch.setenv("HUSH_CONFIG", str(config))
        yield receiver


@pytest.fixture
def app(settings: Settings) -> App:
    """An app that only stores: four traces and a run of node traces."""
    app = App(settings.db_path)
    for name in "abcd":
        with app.tracer.start_as_current_span(name, attributes={"user.id": f"u-{name}"}):
            app.tracer.start_span("inner").end()
    app.store.insert_node_trace("run-1", "flow", "root", None, *(None,) * 7)
    app.store.insert_node_trace("run-1", "flow", "root.step", "root", *(None,) * 7)
    app.store.mark_request_complete("run-1", "local")
    drain_once(settings)
    return app


def delivered(owner: Owner) -> None:
    """Turn until nothing is open."""
    connection = owner.connection
    open_ = "SELECT 1 FROM hush_deliveries WHERE state IN ('pending', 'sending')"
    due = "SELECT 1 FROM hush_requests WHERE due_at IS NOT NULL"
    turn(owner, lambda: not connection.execute(open_).fetchone() and not connection.execute(due).fetchone())


def names(receiver: OtlpReceiver) -> Counter[str]:
    """What has arrived."""
    return Counter(span.name for span in receiver.spans())


EVERYTHING = {"a": 1, "b": 1, "c": 1, "d": 1, "inner": 4, "flow": 1, "step": 1}


def test_history_goes_to_a_destination_that_came_later(
    app: App, settings: Settings, receiver: OtlpReceiver
) -> None:
    """Every span once, by the ids that it has in the database; what is there already is left out."""
    with owning(settings) as owner:
        done = ask(owner, "replay", "--since", "1h", "--to", "later", "--wait")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "5 requests with 10 spans queued for later",
            "all settled; `hush-otel deliveries` lists what was refused",
        ]
        assert names(receiver) == EVERYTHING
        ids = {(span.trace_id, span.span_id) for span in receiver.spans()}
        assert ids == set(rows(settings.db_path, "SELECT trace_id, span_id FROM spans"))
        done = ask(owner, "replay", "--since", "all", "--to", "later")
        assert done.stdout == "0 requests with 0 spans queued for later; 5 requests left out\n"
        delivered(owner)
        assert names(receiver) == EVERYTHING
        assert audit.collect(settings).balanced


def test_again_sends_once_more_what_was_delivered(
    app: App, settings: Settings, receiver: OtlpReceiver
) -> None:
    """All of it, with the same ids; a request with a dead or waiting delivery there is left to `retry`."""
    receiver.respond(400, body=b"no")
    with owning(settings) as owner:
        ask(owner, "replay", "--since", "all", "--to", "later", "--user", "u-a")
        delivered(owner)
        receiver.respond(200)
        ask(owner, "replay", "--since", "all", "--to", "later", "--user", "u-b")
        delivered(owner)
        before = names(receiver)
        done = ask(owner, "replay", "--since", "all", "--to", "later", "--again", "--json")
        found = json.loads(done.stdout)
        dead = rows(
            settings.db_path, "SELECT count(DISTINCT request_id) FROM deliveries WHERE state = 'dead'"
        )
        assert dead == [(1,)]
        assert (found["requests"], found["skipped"]) == (4, 1)
        delivered(owner)
        assert names(receiver)["b"] == 2 * before["b"] == 2
        assert audit.collect(settings).balanced


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("--user", "u-c"), {"c": 1, "inner": 1}),
        (("--workflow", "flow"), {"flow": 1, "step": 1}),
        (("--workflow", "b", "--status", "stored"), {"b": 1, "inner": 1}),
        (("--status", "failed"), {}),
        (("--session", "none"), {}),
        (("--until", "1h"), {}),
    ],
)
def test_filters(
    app: App, settings: Settings, receiver: OtlpReceiver, args: tuple[str, ...], found: dict[str, int]
) -> None:
    """Each leaves out the rest, in the dry run as in the run."""
    with owning(settings) as owner:
        line = ("replay", "--since", "all", "--to", "later", "--json", *args)
        said = json.loads(ask(owner, *line, "--dry-run").stdout)
        assert rows(settings.db_path, "SELECT count(*) FROM hush_commands") == [(0,)]
        done = json.loads(ask(owner, *line, "--wait").stdout)
        assert said["requests"] == done["requests"]
        assert names(receiver) == found


def test_a_replay_that_was_interrupted_is_resumed(
    app: App, settings: Settings, receiver: OtlpReceiver
) -> None:
    """The same line asks for what is missing only, in pages of any size."""
    with owning(settings) as owner:
        ask(owner, "replay", "--since", "all", "--to", "later", "--workflow", "b")
        delivered(owner)
        done = ask(owner, "replay", "--since", "all", "--to", "later")
        assert done.stdout == "4 requests with 8 spans queued for later; 1 request left out\n"
        delivered(owner)
        assert names(receiver) == EVERYTHING


def test_pages_go_through_all_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Requests of one moment are told apart; every page is its own look."""
    app = App(settings.db_path)
    for number in range(25):
        app.tracer.start_span(f"s{number}").end()
    drain_once(settings)
    monkeypatch.setattr(history, "PAGE", 10)
    which = history.chosen(0.0, None, None, None, None, None)
    with history.Reader(settings.db_path) as reader:
        pages = list(which.pages(reader))
        assert [len(page) for page in pages] == [10, 10, 5]
        assert len({row["id"] for page in pages for row in page}) == 25
        assert dict(which.totals(reader)) == {"requests": 25, "spans": 25, "asked": 0}


def test_a_request_that_runs_is_sent_when_it_is_complete(
    app: App, settings: Settings, receiver: OtlpReceiver
) -> None:
    """It is asked for now, and delivered as a whole then."""
    span = app.tracer.start_span("slow")
    with owning(settings) as owner:
        owner.drain()
        done = ask(owner, "replay", "--since", "all", "--to", "later", "--workflow", "slow")
        assert done.stdout.startswith("1 request with 0 spans queued")
        delivered(owner)
        assert names(receiver) == {}
        span.end()
        owner.drain()
        delivered(owner)
        assert names(receiver) == {"slow": 1}


def test_a_destination_that_only_the_database_knows(
    app: App, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that `status` shows, with its configuration as it was given."""
    app.store.mark_request_complete("run-1", "file", {"path": str(tmp_path / "x.jsonl")})
    with owning(settings) as owner:
        owner.drain()
        delivered(owner)
        ((name,),) = rows(settings.db_path, "SELECT name FROM hush_destinations")
        done = ask(owner, "replay", "--since", "all", "--to", name)
        assert done.stdout == f"4 requests with 8 spans queued for {name}; 1 request left out\n"
        delivered(owner)
    spans = (tmp_path / "x.jsonl").read_text()
    assert spans.count('"spanId"') == 10


def test_a_bare_type_is_as_the_database_has_it(
    app: App, settings: Settings, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application had the vendor's variables; whoever replays need not."""
    monkeypatch.setenv("PHOENIX_COLLECTOR_ENDPOINT", receiver.endpoint)
    with owning(settings) as owner:
        other = App(settings.db_path, destinations=["phoenix"])
        other.tracer.start_span("now").end()
        turn(owner, lambda: len(receiver.spans()) == 1)
        monkeypatch.delenv("PHOENIX_COLLECTOR_ENDPOINT")
        ask(owner, "replay", "--since", "all", "--workflow", "a", "--to", "phoenix")
        delivered(owner)
    assert names(receiver) == {"now": 1, "a": 1, "inner": 1}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--to", "nowhere", "--since", "1h"), 1, "no destination 'nowhere'"),
        (("--to", "local", "--since", "1h"), 1, "local is the store itself"),
        (("--to", "later"), 2, "Missing option '--since'"),
        (("--since", "1h"), 2, "Missing option '--to'"),
        (("--to", "later", "--since", "yesterday"), 2, "neither an age"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    app: App,
    settings: Settings,
    receiver: OtlpReceiver,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    """Before anything is asked."""
    assert main.main(["--db", str(settings.db_path), "replay", *args]) == code
    assert said in capsys.readouterr().err
    assert rows(settings.db_path, "SELECT count(*) FROM hush_destinations") == [(0,)]


def test_s04_a_literal_secret_of_a_replay_stays_in_the_private_table(
    app: App, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command's result and every view are without it."""
    config = tmp_path / "hush.toml"
    config.write_text(
        '[destination.later]\ntype = "otlp"\nendpoint = "http://127.0.0.1:9"\n'
        '[destination.later.headers]\nAuthorization = "canary-literal"\n'
    )
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    with owning(settings) as owner:
        done = ask(owner, "replay", "--since", "all", "--to", "later")
        assert done.returncode == 0
        assert done.stdout == "5 requests with 10 spans queued for later\n", "it waits for no receiver"
        for table, column in (("hush_commands", "result"), ("hush_destinations", "config")):
            shown = rows(settings.db_path, f"SELECT group_concat({column}) FROM {table}")  # noqa: S608
            assert "canary" not in str(shown)
        assert "canary" in str(rows(settings.db_path, "SELECT literals FROM hush_secrets"))
    assert "canary" not in done.stdout + done.stderr
