"""Commands that change something, with a real background process: launched, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import Any

from bench import App, Bench, names
from support import eventually

from hush_otel.testing import OtlpReceiver


def received(receiver: OtlpReceiver) -> Counter[str]:
    """How often each span name was accepted."""
    return Counter(span.name for span in receiver.spans())


def define(bench: Bench, name: str, receiver: OtlpReceiver) -> None:
    """Write the configuration file with one destination."""
    bench.env["HUSH_CONFIG"] = str(bench.path / "hush.toml")
    lines = f'[destination.{name}]\ntype = "otlp"\nendpoint = "{receiver.endpoint}"\n'
    (bench.path / "hush.toml").write_text(lines)


def command(bench: Bench, *args: str, code: int = 0, **env: str) -> str:
    """Run a command to its end; returns what it said."""
    running = bench.hush(*args, **env)
    said = running.read_all(60.0)
    assert running.wait() == code
    return said.decode()


def go_on(bench: Bench, app: App, killed: int | None = None) -> None:
    """The application goes on writing until a background process works again.

    The lock of one that was killed is free only when the last of its threads is gone.
    """
    eventually(lambda: (app.ask("end more 1"), bench.owner())[1] not in (None, killed), what="an owner")


def balance(bench: Bench) -> dict[str, Any]:
    """What `audit` says; it must balance."""
    return json.loads(command(bench, "audit", "--json"))


def test_retry_sends_dead_deliveries_when_nothing_else_runs(bench: Bench) -> None:
    """The application is gone, the background process has left: the command launches one and says what came of it."""
    with OtlpReceiver() as receiver:
        receiver.respond(400, body=b"not today")
        app = bench.obedient(receiver.endpoint)
        app.ask("end a 5")
        app.ask("delivered 30000")
        app.tell("leave")
        app.wait()
        dead = "SELECT count(*) FROM deliveries WHERE state = 'dead'"
        eventually(lambda: bench.value(dead) == 5, what="five dead deliveries")
        eventually(lambda: bench.owner() is None, what="the end of the background process")
        assert balance(bench)["destinations"][0]["dead"] == 5
        receiver.respond(200)
        said = command(bench, "retry", "--dead")
        assert said.splitlines() == ["5 deliveries of 5 spans to be sent again", "now 5 delivered"]
        assert received(receiver) == dict.fromkeys(names("a", 5), 1)
        assert balance(bench)["destinations"][0]["delivered"] == 5


def test_a_retry_outlives_the_background_process_and_whoever_asked(bench: Bench) -> None:
    """Both are killed with the command in the spool: the next background process applies it, once."""
    with OtlpReceiver() as receiver:
        receiver.respond(401)
        app = bench.obedient(receiver.endpoint)
        app.ask("end a 3")
        paused = "SELECT count(*) FROM deliveries WHERE state = 'paused'"
        eventually(lambda: bench.value(paused) == 3, what="three paused deliveries")
        owner = bench.stop_owner_between_transactions()
        asking = bench.hush("retry", "--destination", "receiver", "--wait", "0")
        asked = lambda path: b"receiver" in path.read_bytes() and b"retry" in path.read_bytes()  # noqa: E731
        eventually(lambda: any(map(asked, bench.spool.segments())), what="the command in the spool")
        asking.kill(signal.SIGKILL)
        os.kill(owner, signal.SIGKILL)
        receiver.respond(200)
        go_on(bench, app, owner)
        eventually(lambda: bench.rows("SELECT name FROM hush_commands") == [("retry",)], what="its result")
        everywhere = dict.fromkeys(names("a", 3), 1)
        eventually(lambda: received(receiver) >= Counter(everywhere), what="all of it")
        received_a = {name: n for name, n in received(receiver).items() if name.startswith("a-")}
        assert received_a == everywhere


def test_replay_sends_history_in_spite_of_kills(bench: Bench) -> None:
    """Exactly the stored spans arrive, each at least once, by the same ids; the ledger balances."""
    with OtlpReceiver() as receiver:
        app = bench.obedient()
        app.ask("end a 1500")
        app.ask("node run step")
        app.ask("mark run local {}")
        app.ask("flush 20000")
        define(bench, "later", receiver)
        replay = bench.hush("replay", "--since", "1d", "--to", "later")
        eventually(lambda: bench.rows("SELECT 1 FROM hush_commands"), what="the first page")
        bench.kill_owner()
        said = replay.read_all(60.0).decode()
        assert replay.wait() == 0
        assert said.startswith("1,501 requests with 1,501 spans queued for later")
        again = command(bench, "replay", "--since", "1d", "--to", "later", "--wait")
        assert again.startswith(
            "0 requests with 0 spans queued for later; 1,501 requests left out\nall settled"
        )
        stored = {(t, s) for t, s in bench.rows("SELECT trace_id, span_id FROM spans")}
        eventually(
            lambda: {(span.trace_id, span.span_id) for span in receiver.spans()} == stored,
            what="every stored span at the receiver",
        )
        done = "SELECT count(*) FROM deliveries WHERE state <> 'delivered'"
        eventually(lambda: bench.value(done) == 0, what="all settled")
        found = balance(bench)
        assert found["received"]["stored"] == 1501
        assert found["destinations"][0]["asked"] == found["destinations"][0]["delivered"] == 1501


def test_audit_balances_after_a_kill_amid_the_work(bench: Bench) -> None:
    """SIGKILL of the background process at random places: what it has read is counted as it is stored."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(receiver.endpoint)
        app.ask("end first 1")
        app.ask("flush 20000")  # there is a database now
        killed = None
        for turn in range(5):
            app.ask(f"end t{turn} 300")
            go_on(bench, app, killed)
            killed = bench.kill_owner()
            assert balance(bench)["balanced"]
        app.ask("flush 20000")
        found = balance(bench)["received"]
        assert found["stored"] == found["received"] > 5 * 300
