"""`hush-otel retry`, and how a command reaches the one writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask, turn, write_config
from inprocess import App, Owner, drain_once, no_background, owning, rows, settings_for, writer_of
from support import eventually

from hush_otel import records
from hush_otel.background import asking
from hush_otel.cli import main
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.errors import HushError
from hush_otel.spool.process import is_stopped
from hush_otel.store.reading import Reader
from hush_otel.testing import OtlpReceiver


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database that nobody works on."""
    no_background(monkeypatch, tmp_path)
    return settings_for(tmp_path / "traces.db")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """Where the app's spans go."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def app(settings: Settings, receiver: OtlpReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app that sends to the receiver, and into a directory that is not there."""
    there = {"type": "otlp", "endpoint": receiver.endpoint}
    config = write_config(tmp_path, there=there, out={"type": "file", "path": f"{tmp_path}/out/x.jsonl"})
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    return App(settings.db_path, destinations=["there", "out"])


PATIENCE = ("--wait", "25")
"""For what the receivers say: the ten seconds of whoever says nothing are few on a busy machine."""


def states(settings: Settings) -> dict[int, str]:
    """Deliveries' states by their ids."""
    return dict(rows(settings.db_path, "SELECT id, state FROM deliveries"))


def settle(owner: Owner, app: App, *names: str) -> None:
    """End spans, a request each, and turn until each delivery is settled or paused."""
    for name in names:
        app.tracer.start_span(name).end()
    owner.drain()
    turn(owner, lambda: not {"pending", "sending"} & set(states(owner.settings).values()))


def test_a_stopped_background_process_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP: the command does not wait to its end, and names the process and what lets it go on."""
    drain_once(settings)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stopped:
        stopped.send_signal(signal.SIGSTOP)
        eventually(lambda: is_stopped(stopped.pid), what="a process that is stopped")
        monkeypatch.setattr(asking, "owner_pid", lambda _: stopped.pid)
        monkeypatch.setattr(asking, "STOPPED_S", 0.0)
        with Reader(settings.db_path) as reader, asking.Asking(settings, reader) as asks:
            number = asks.send("retry", {"ids": [1], "destination": None, "only_dead": False})
            with pytest.raises(
                HushError, match=rf"pid {stopped.pid}, is stopped \(kill -CONT {stopped.pid};"
            ):
                asks.answer(number, "retry", 600.0)
        stopped.send_signal(signal.SIGCONT)
        stopped.communicate(b"\n")
    assert not is_stopped(os.getpid())


def test_what_is_done_while_nobody_is_left_to_do_it_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last process that drains commits the answer and leaves, between the look for it and the look for the process."""
    drain_once(settings)
    looks = iter([None, "done"])
    with Reader(settings.db_path) as reader, asking.Asking(settings, reader) as asks:
        monkeypatch.setattr(asks, "_is_in_vain", lambda: True)
        assert asks.wait(lambda: next(looks), 600.0) == "done"


def command_payload(name: str, number: bytes = b"n" * 16, **arguments: object) -> bytes:
    """An encoded command."""
    return encode((records.COMMAND, 1, number, name, arguments))[0]


def result_of(settings: Settings, number: bytes = b"n" * 16) -> dict[str, object]:
    """What came of a command."""
    ((text,),) = rows(settings.db_path, "SELECT result FROM hush_commands WHERE id = ?", number)
    return json.loads(text)


def test_dead_deliveries_are_sent_again(app: App, settings: Settings, receiver: OtlpReceiver) -> None:
    """By id, then all that are dead; the command says what the receiver answered."""
    receiver.respond(400, body=b"no", times=2)
    receiver.respond(200)
    with owning(settings) as owner:
        settle(owner, app, "a")
        settle(owner, app, "b")
        dead = [number for number, state in states(settings).items() if state == "dead"]
        assert len(dead) == 2
        done = ask(owner, "retry", str(dead[1]), *PATIENCE)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "1 delivery of 1 span to be sent again\nnow 1 delivered\n"
        assert [span.name for span in receiver.spans()] == ["b"]
        done = ask(owner, "retry", "--dead", "--json", *PATIENCE)
        assert json.loads(done.stdout) == {
            "deliveries": 1, "spans": 1, "resumed": [], "states": {"delivered": 1},
        }  # fmt: skip
        assert [span.name for span in receiver.spans()] == ["b", "a"]
        assert sorted(states(settings).values()) == ["delivered", "delivered", "paused", "paused"]
        assert ask(owner, "retry", "--dead").stdout == "nothing to send again\n"
        anew = "SELECT state FROM hush_deliveries WHERE retried_at > created_at"
        assert rows(settings.db_path, anew) == [("delivered",), ("delivered",)], "their age has begun anew"


def test_all_of_a_destination_are_counted_once(app: App, settings: Settings, receiver: OtlpReceiver) -> None:
    """What was dead is not counted again as what waits."""
    receiver.respond(400, body=b"no", times=1)
    with owning(settings) as owner:
        settle(owner, app, "a")
        done = ask(owner, "retry", "--destination", "there", *PATIENCE)
        assert done.stdout == "1 delivery of 1 span to be sent again\nnow 1 delivered\n"


def test_a_paused_destination_goes_on(app: App, settings: Settings, tmp_path: Path) -> None:
    """All of it at once, not one probe every five minutes; still without its directory it is paused again."""
    with owning(settings) as owner:
        settle(owner, app, "a", "b")
        done = ask(owner, "retry", "--destination", "out", *PATIENCE)
        assert done.stdout.startswith(
            "2 deliveries of 2 spans to be sent again; out goes on\nnow 2 paused (cannot"
        )
        assert done.returncode == 1, "nothing arrived"
        assert ask(owner, "retry", "--destination", "out", "--wait", "0").returncode == 0, "it did not look"
        settle(owner, app)
        (tmp_path / "out").mkdir()
        done = ask(owner, "retry", "--all", *PATIENCE)
        assert done.stdout == "2 deliveries of 2 spans to be sent again; out goes on\nnow 2 delivered\n"
        assert done.returncode == 0
        assert len((tmp_path / "out" / "x.jsonl").read_text().splitlines()) >= 1
        assert rows(settings.db_path, "SELECT count(*) FROM hush_destinations WHERE paused IS NOT NULL") == [
            (0,)
        ]


def test_what_waits_for_its_next_try_is_tried_now(
    app: App, settings: Settings, receiver: OtlpReceiver
) -> None:
    """A hold of the receiver's Retry-After is lifted by a person."""
    receiver.respond(503, headers={"Retry-After": "3600"}, times=1)
    receiver.respond(200)
    with owning(settings) as owner:
        app.tracer.start_span("a").end()
        owner.drain()
        turn(owner, lambda: rows(settings.db_path, "SELECT 1 FROM hush_destinations WHERE hold_until > 0"))
        done = ask(owner, "retry", "--destination", "there", *PATIENCE)
        assert done.stdout == "1 delivery of 1 span to be sent again\nnow 1 delivered\n"


def test_what_cannot_be_sent_again_is_refused(app: App, settings: Settings) -> None:
    """Unknown ids and destinations, what is delivered, and no choice at all; nothing is asked then."""
    with owning(settings) as owner:
        settle(owner, app, "a")
        delivered = next(number for number, state in states(settings).items() if state == "delivered")
        for args, code, said in [
            (("999",), 1, "no delivery 999 "),
            ((str(delivered),), 1, f"delivery {delivered} is delivered"),
            (("--destination", "x"), 1, "no destination 'x' "),
            ((), 2, "give ids, --destination NAME, --dead or --all"),
            (("1", "--all"), 2, "give ids"),
            (("--dead", "--all"), 2, "give ids"),
            (("zero",), 2, "not a valid integer"),
        ]:
            done = ask(owner, "retry", *args)
            assert (done.returncode, done.stdout) == (code, "")
            assert said in done.stderr
        assert rows(settings.db_path, "SELECT count(*) FROM hush_commands") == [(0,)]


def test_nobody_works_and_it_is_done_later(
    app: App, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With HUSH_BACKGROUND=external the command says so at once; the next one to drain applies it."""
    with owning(settings) as owner:
        settle(owner, app, "a")
    (tmp_path / "out").mkdir()
    assert main.main(["--db", str(settings.db_path), "retry", "--all"]) == 1
    assert capsys.readouterr().err == (
        "error: retry is not applied yet (it waits in the spool; nobody works on it: start `hush-otel run`,"
        " or `hush-otel drain` once)\n"
    )
    assert "paused" in states(settings).values()
    drain_once(settings)
    assert sorted(states(settings).values()) == ["delivered", "pending"]


def test_a_command_is_applied_once(app: App, settings: Settings) -> None:
    """Whatever is repeated of the spool, its record is applied exactly once, and the ledger knows it."""
    with owning(settings) as owner:
        settle(owner, app, "a")
    writer = writer_of(settings)
    writer.append(command_payload("retry", destination="out"))
    drain_once(settings)
    assert result_of(settings)["deliveries"] == 1
    with owning(settings) as owner:
        turn(owner, lambda: "paused" in states(settings).values())
        owner.drain()
    assert "paused" in states(settings).values()
    assert rows(settings.db_path, "SELECT count FROM hush_ledger WHERE name = 'command'") == [(1,)]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("dance", {}, "does not know the command 'dance'"),
        ("retry", {"ids": ["one"]}, "Expected `int`"),
        ("retry", {"more": 1}, "unknown field"),
        ("retry", {"destination": "x"}, "no destination 'x'"),
        ("replay", {"destination": "x", "requests": []}, "no destination 'x'"),
        ("replay", {"requests": []}, "missing required field"),
    ],
)
def test_a_command_that_cannot_be_applied_is_answered(
    settings: Settings, name: str, arguments: dict[str, object], said: str
) -> None:
    """It harms no record beside it."""
    writer = writer_of(settings)
    writer.append(command_payload(name, **arguments))
    drain_once(settings)
    assert said in str(result_of(settings)["error"])
    assert not list(settings.spool_dir.glob("salvage/*"))


def test_thread_mode_asks_a_process(app: App, settings: Settings, tmp_path: Path) -> None:
    """HUSH_BACKGROUND=thread counts for applications: a command's own thread would end with it."""
    with owning(settings) as owner:
        settle(owner, app, "a")
        (tmp_path / "out").mkdir()
        done = ask(owner, "retry", "--all", *PATIENCE, HUSH_BACKGROUND="thread")
        assert done.stdout.endswith("now 1 delivered\n")
    assert os.environ["HUSH_BACKGROUND"] == "external"
