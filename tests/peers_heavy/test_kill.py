"""The background process is killed in the middle of 5,000 requests; another one goes on."""

from __future__ import annotations

import signal

import pytest
from bench import App, Bench
from commands import balance, define
from reading import Place, ids
from support import eventually

REQUESTS = 5_000
ARRIVAL_S = 120.0
"""Phoenix and MLflow write some hundred spans a second, some after they have answered."""

READ_EVERY_S = 2.0
"""Reading everything slows their writing."""

BY_STATE = "SELECT state, count(*) FROM deliveries GROUP BY state"


@pytest.mark.timeout(600)
def test_everything_arrives_and_only_what_was_in_flight_comes_twice(bench: Bench, place: Place) -> None:
    """Nothing twice where the receiver deduplicates; elsewhere the same ids again, of unsettled requests alone."""
    define(bench, place)
    app = bench.obedient(HUSH_DESTINATIONS="place")
    app.ask(f"end r {REQUESTS}")
    killed, in_flight = kill_amid_the_deliveries(bench)
    go_on(bench, app, killed)
    eventually(lambda: settled(bench), ARRIVAL_S, what="all deliveries accepted")
    stored = {(trace, span) for trace, span in bench.rows("SELECT trace_id, span_id FROM spans")}
    assert len(stored) > REQUESTS
    arrived = eventually(
        lambda: (found := ids(place.spans())).keys() >= stored and found,
        ARRIVAL_S,
        what="every span at the receiver",
        poll_s=READ_EVERY_S,
    )
    assert arrived.keys() == stored
    twice = {span for span, count in arrived.items() if count > 1}
    assert {trace for trace, _ in twice} <= in_flight
    assert max(arrived.values()) <= (1 if place.deduplicates else 2)
    assert balance(bench)["balanced"]


def kill_amid_the_deliveries(bench: Bench) -> tuple[int, set[str]]:
    """SIGKILL the owner once some are delivered; gives its pid and the requests that were being sent."""
    eventually(lambda: dict(bench.rows(BY_STATE)).get("delivered"), ARRIVAL_S, what="the first deliveries")
    eventually(lambda: stops_amid_a_batch(bench), ARRIVAL_S, what="some that are being sent")
    killed = bench.kill_owner()
    states = dict(bench.rows(BY_STATE))
    assert 0 < states["delivered"] < REQUESTS, states
    sending = {
        request for (request,) in bench.rows("SELECT request_id FROM deliveries WHERE state = 'sending'")
    }
    assert sending, states
    return killed, sending


def stops_amid_a_batch(bench: Bench) -> bool:
    """Stop the owner; where nothing is being sent, which is so between two batches, it goes on."""
    bench.signal_owner(signal.SIGSTOP)
    if dict(bench.rows(BY_STATE)).get("sending"):
        return True
    bench.signal_owner(signal.SIGCONT)
    return False


def go_on(bench: Bench, app: App, killed: int) -> None:
    """The application goes on writing until another background process works.

    The lock of one that was killed is free only when the last of its threads is gone.
    """
    eventually(lambda: (app.ask("end more 1"), bench.owner())[1] not in (None, killed), what="an owner")


def settled(bench: Bench) -> bool:
    """Whether every request is delivered; says what else they are."""
    requests = bench.value("SELECT count(*) FROM requests")
    found = bench.rows(
        "SELECT state, attempts, last_error, count(*) FROM deliveries WHERE state <> 'delivered' GROUP BY 1, 2, 3"
    )
    assert not found, found
    delivered = bench.value("SELECT count(*) FROM deliveries")
    assert delivered == requests > REQUESTS, f"{delivered} of {requests}"
    return True
