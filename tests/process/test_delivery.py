"""Delivery across processes and crashes: deltas, the truth of wait_delivered, a persisted backoff."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from typing import Any

import pytest
from bench import Bench, names
from support import eventually, held_port, refused

from hush_otel.testing import OtlpReceiver


def received(receiver: OtlpReceiver) -> Counter[str]:
    """How often each span name was accepted."""
    return Counter(span.name for span in receiver.spans())


def is_flushed(bench: Bench) -> bool:
    """Whether every request has reached its destinations."""
    return bench.rows("SELECT DISTINCT status FROM requests") == [("flushed",)]


def test_f34_a_child_that_ends_after_its_root_is_delivered_with_it(bench: Bench) -> None:
    """The request is complete when the last open span of the process has ended."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(receiver.endpoint)
        app.ask("open root")
        app.ask("open inner root")
        app.ask("close root")
        app.ask("flush 20000")
        assert bench.value("SELECT status FROM requests") == "writing"
        app.ask("close inner")
        receiver.wait_for(2, 20.0)
        eventually(lambda: is_flushed(bench), what="the request's delivery")
        assert received(receiver) == {"root": 1, "inner": 1}
        assert bench.value("SELECT completed_by FROM requests") == "root"


def test_f34_a_span_that_comes_after_completion_is_delivered_as_a_delta(bench: Bench) -> None:
    """A second delivery carries what came late, and only that."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(receiver.endpoint)
        app.ask("open root")
        app.ask("close root")
        receiver.wait_for(1, 20.0)
        eventually(lambda: is_flushed(bench), what="the first delivery")
        app.ask("child late root")
        receiver.wait_for(2, 20.0)
        eventually(lambda: is_flushed(bench), what="the delta")
        assert received(receiver) == {"root": 1, "late": 1}
        assert bench.rows("SELECT span_count, state FROM deliveries ORDER BY id") == [(1, "delivered")] * 2


def test_f34_spans_in_another_processes_segment_are_delivered(bench: Bench) -> None:
    """Another process ends its part of the trace long after the root's process has delivered its own."""
    with OtlpReceiver() as receiver:
        first = bench.obedient(receiver.endpoint)
        first.ask("open root")
        traceparent = first.ask("context root")
        second = bench.obedient(receiver.endpoint)
        second.ask(f"remote early {traceparent}")
        first.ask("close root")
        receiver.wait_for(2, 20.0)
        second.ask(f"remote late {traceparent}")
        receiver.wait_for(3, 20.0)
        eventually(lambda: is_flushed(bench), what="all deliveries")
        assert received(receiver) == {"root": 1, "early": 1, "late": 1}
        assert bench.value("SELECT count(*) FROM requests") == 1


def test_f34_a_forked_childs_spans_are_delivered(bench: Bench) -> None:
    """The parent ends the root and delivers; the child's spans of the same trace follow."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(receiver.endpoint)
        app.ask("open root")
        app.ask("fork")
        app.ask("child in-child root")
        app.tell("leave")
        app.value()
        app.value()
        app.ask("close root")
        receiver.wait_for(2, 20.0)
        eventually(lambda: is_flushed(bench), what="all deliveries")
        assert received(receiver) == {"root": 1, "in-child": 1}


def test_otlp10_the_background_process_has_the_applications_variables(bench: Bench) -> None:
    """By environment alone: a destination `otlp`, found where OTel's own variables of the application say."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(
            HUSH_DESTINATIONS="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"{receiver.endpoint}/base/",
            OTEL_EXPORTER_OTLP_HEADERS="x-key=generic",
            OTEL_EXPORTER_OTLP_TRACES_HEADERS="x-key=traces",
        )
        app.ask("end a 3")
        assert app.ask("delivered 30000")[0] is True
        assert received(receiver) == dict.fromkeys(names("a", 3), 1)
        sent = {(request.path, request.headers["x-key"]) for request in receiver.requests}
        assert sent == {("/base/v1/traces", "traces")}


def test_wait_delivered_is_true_after_the_receiver_has_accepted(bench: Bench) -> None:
    """True means that every span of this process is there, whatever the receiver answered before."""
    with OtlpReceiver() as receiver:
        receiver.respond(503, times=1)
        receiver.respond(200)
        app = bench.obedient(receiver.endpoint)
        app.ask("end a 50")
        delivered, _ = app.ask("delivered 30000")
        assert delivered is True
        assert received(receiver) == dict.fromkeys(names("a", 50), 1)


def test_wait_delivered_is_true_for_a_request_that_was_marked(bench: Bench) -> None:
    """The whole marked request goes to the mark's tracer; other requests do not matter."""
    with OtlpReceiver() as receiver:
        app = bench.obedient()
        app.ask("node run step")
        config = json.dumps({"endpoint": receiver.endpoint}, separators=(",", ":"))
        app.ask(f"mark run otlp {config}")
        app.ask("node other step")
        app.ask("mark other nowhere")
        assert app.ask("delivered 20000 run")[0] is True
        assert received(receiver) == {"flow": 1}  # a node without a parent bears the workflow's name
        assert bench.value("SELECT status FROM requests WHERE request_id = 'run'") == "flushed"


def test_wait_delivered_is_false_at_once_when_the_receiver_refuses(bench: Bench) -> None:
    """400 is final: no waiting for the timeout."""
    with OtlpReceiver() as receiver:
        receiver.respond(400, body=b"no")
        app = bench.obedient(receiver.endpoint)
        app.ask("end a 1")
        delivered, took_s = app.ask("delivered 30000")
        assert delivered is False
        assert took_s < 10
        assert bench.value("SELECT status FROM requests") == "failed"


def test_wait_delivered_is_false_at_once_for_an_unknown_tracer_type(bench: Bench) -> None:
    """The delivery is paused with a message, and the request stays stored."""
    app = bench.obedient()
    app.ask("node run step")
    app.ask("mark run no-such-tracer")
    delivered, took_s = app.ask("delivered 30000 run")
    assert delivered is False
    assert took_s < 10
    state, words = bench.rows("SELECT state, last_error FROM deliveries")[0]
    assert state == "paused"
    assert "no-such-tracer" in words
    assert "otlp" in words


def test_wait_delivered_is_false_at_the_timeout_while_the_receiver_is_down(bench: Bench) -> None:
    """Nobody listens: not yet is False, after the time that was given and no later."""
    with refused() as endpoint:
        app = bench.obedient(endpoint)
        app.ask("end a 1")
        app.ask("flush 20000")
        delivered, took_s = app.ask("delivered 700")
        assert delivered is False
        assert 0.6 < took_s < 5
        eventually(lambda: bench.value("SELECT last_error FROM deliveries"), what="a noted error")


def test_what_waits_for_a_receiver_is_delivered_by_the_next_background_process(bench: Bench) -> None:
    """Receiver down, background process and app killed, receiver up: the next one delivers."""
    with held_port() as port:
        app = bench.obedient(f"http://127.0.0.1:{port}")
        app.ask("end a 20")
        eventually(lambda: bench.value("SELECT max(attempts) FROM deliveries"), what="a failed attempt")
        bench.signal_owner(signal.SIGSTOP)
        app.kill()
        bench.kill_owner()
        waits = bench.rows("SELECT state, next_attempt_at > 0 FROM deliveries")
        assert set(waits) <= {("pending", 1), ("sending", 1)}
        with OtlpReceiver(port) as receiver:
            bench.hush("run")
            receiver.wait_for(20, 60.0)
            eventually(lambda: is_flushed(bench), what="all deliveries")
            assert received(receiver) == dict.fromkeys(names("a", 20), 1)


class Holding:
    """Holds back the receiver's answers until `let_go`; `reached` once a request is there.

    With `takes`, the spans of a held request count as accepted: the receiver has them, and its 200 is lost.
    """

    def __init__(self, receiver: OtlpReceiver, *, takes: bool) -> None:
        self.reached, self._release = threading.Event(), threading.Event()
        self._answer, self._takes = receiver._server.answer, takes
        receiver._server.answer = self._hold

    def let_go(self) -> None:
        """Whoever is held gets no answer; whoever comes from now on gets one."""
        self._release.set()

    def _hold(self, *request: Any) -> Any:
        if self._release.is_set():
            return self._answer(*request)
        if self._takes:
            self._answer(*request)
        self.reached.set()
        self._release.wait(60)
        raise ConnectionResetError


@pytest.mark.parametrize("takes", [True, False], ids=["accepted", "not accepted"])
def test_f12_a_lease_ends_with_its_holder(bench: Bench, takes: bool) -> None:
    """SIGKILL in the midst of sending: the next owner sends it, once, with the same ids; nobody else before.

    Killed after the receiver had it, before its 200 was recorded: the one resend. Killed before: none.
    """
    with OtlpReceiver() as receiver:
        held = Holding(receiver, takes=takes)
        app = bench.obedient(receiver.endpoint, HUSH_BACKGROUND="external")
        app.ask("end a 5")
        bench.hush("run")
        assert held.reached.wait(20)
        leased = "SELECT DISTINCT attempts FROM deliveries WHERE state = 'sending'"
        assert bench.rows(leased) == [(1,)]
        bench.drain()  # a command beside the holder stores, and sends nothing
        assert max(received(receiver).values(), default=1) == 1
        bench.kill_owner()
        assert bench.rows(leased) == [(1,)]
        first = receiver.spans()
        held.let_go()
        bench.hush("run")
        receiver.wait_for(len(first) + 5, 20.0)
        eventually(lambda: is_flushed(bench), what="all deliveries")
        assert bool(first) is takes
        assert received(receiver) == Counter(span.name for span in first) + Counter(names("a", 5))
        contents = {(span.name, span.span.SerializeToString()) for span in receiver.spans()}
        assert len(contents) == 5
        assert bench.value("SELECT max(attempts) FROM deliveries") == 2


def test_f12_a_kill_during_a_request_sends_it_once_more_with_the_same_ids(bench: Bench) -> None:
    """The background process dies between the receiver's acceptance and its own note of it, or not."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(receiver.endpoint)
        app.ask("end a 1")
        receiver.wait_for(1, 20.0)
        bench.kill_owner()
        app.ask("end b 1")
        assert app.ask("delivered 30000")[0] is True
        assert set(received(receiver)) == {"a-0", "b-0"}
        assert len({(span.name, span.span_id) for span in receiver.spans()}) == 2
