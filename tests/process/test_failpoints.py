"""Killed, or failing, at every step: what was acknowledged is stored once and delivered."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from bench import App, Bench, names
from support import eventually

from hush_otel.errors import ConfigError
from hush_otel.failpoints import APP, BACKGROUND, parse
from hush_otel.testing import OtlpReceiver

SPANS = 300
WITHIN = ("store.begun", "store.committing", "store.committed")
EXTERNAL = {"HUSH_BACKGROUND": "external"}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything."""
    with OtlpReceiver() as running:
        yield running


def recorded(bench: Bench, receiver: OtlpReceiver) -> set[str]:
    """An application that has left spans in its spool, and one open; it is gone. Answers the spans' names."""
    app = bench.obedient(receiver.endpoint, **EXTERNAL)
    app.ask(f"end s {SPANS}")
    app.ask("open left")
    app.kill()
    return names("s", SPANS)


def at_work(bench: Bench, point: str) -> App:
    """`hush-otel run` with a failpoint."""
    return bench.hush("run", HUSH_FAILPOINT=point)


def assert_exact(bench: Bench, receiver: OtlpReceiver, ended: set[str]) -> None:
    """Wait until all is delivered: every span is stored once, nothing lost, each id received."""
    all_delivered = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"
    eventually(lambda: bench.value(all_delivered) == SPANS + 1, 60, what="every delivery accepted")
    bench.expect(ended)
    assert bench.names("interrupted") == Counter(["left"])
    stored = {(row[0], row[1]) for row in bench.rows("SELECT trace_id, span_id FROM spans")}
    assert {(span.trace_id, span.span_id) for span in receiver.spans()} == stored
    audit = bench.hush("audit")
    assert audit.wait() == 0, audit.read_all().decode()


@pytest.mark.parametrize("name", BACKGROUND)
def test_f11_killed_at_a_step_the_next_process_goes_on_exactly(
    bench: Bench, receiver: OtlpReceiver, name: str
) -> None:
    """Rows and position are one transaction; what was sent and not settled is sent again with the same ids."""
    ended = recorded(bench, receiver)
    assert at_work(bench, f"{name}:kill").wait() == -signal.SIGKILL
    bench.hush("run")
    assert_exact(bench, receiver, ended)


@pytest.mark.parametrize("name", [name for name in BACKGROUND if not name.startswith("store.m")])
def test_f11_an_error_at_a_step_is_got_over(bench: Bench, receiver: OtlpReceiver, name: str) -> None:
    """The same process tries again."""
    ended = recorded(bench, receiver)
    # The first transactions open the database: whoever cannot even do that says so and leaves.
    app = at_work(bench, f"{name}:error:{5 if name in WITHIN else 1}")
    if name == "store.opened":
        assert app.wait() == 1
        bench.hush("run")
    assert_exact(bench, receiver, ended)


@pytest.mark.parametrize(
    ("name", "turn"), [(name, turn) for name in APP for turn in (1, 2) if turn == 1 or "segment" in name]
)
def test_f01_killed_while_it_makes_a_segment_an_application_loses_nothing_acknowledged(
    bench: Bench, name: str, turn: int
) -> None:
    """Its first segment or its second one: every span whose end has returned is stored, nothing half made stays."""
    app = bench.start("acknowledge", "s", HUSH_FAILPOINT=f"{name}:kill:{turn}", **EXTERNAL)
    acknowledged = app.read_all(60).split()
    assert app.wait() == -signal.SIGKILL
    assert bool(acknowledged) == (turn == 2)
    bench.hush("run")
    eventually(lambda: not left_in(bench), 60, what="a spool without what the dead has left")
    stored = {row[0].encode() for row in bench.rows("SELECT span_id FROM spans WHERE state = 'ended'")}
    assert set(acknowledged) <= stored
    assert bench.losses() == {}


def left_in(bench: Bench) -> list[str]:
    """Files of writers, but for a claim: nobody was told of it, and it goes within a minute."""
    return [path.name for path in bench.spool.path.iterdir() if path.suffix in (".tmp", ".seg", ".owner")]


@pytest.mark.parametrize("text", ["nowhere:kill", "drain.read", "drain.read:explode", "drain.read:kill:soon"])
def test_a_failpoint_that_cannot_work_is_named(text: str) -> None:
    """Like every setting."""
    with pytest.raises(ConfigError, match="HUSH_FAILPOINT"):
        parse(text)
