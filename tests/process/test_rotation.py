"""A secret that is rotated while everything runs: real processes, each with its own environment."""

from __future__ import annotations

import os
import signal

from bench import Bench
from support import eventually

from hush_otel.testing import OtlpReceiver

CONFIG = """
destinations = ["lab"]
[destination.lab]
type = "otlp"
endpoint = "{endpoint}"
headers = {{ x-key = "${{LAB_KEY}}" }}
"""


def paused(bench: Bench) -> str:
    """Why nothing is sent."""
    return bench.value("SELECT paused FROM hush_destinations") or ""


def test_a_rotated_secret_is_noticed_and_sent_once_the_background_process_has_it(bench: Bench) -> None:
    """An old environment lives on in the background process: paused, not sent with the old value.

    Ending that process is all that somebody has to do: the application starts the next one with its own.
    """
    with OtlpReceiver() as receiver:
        bench.env["HUSH_CONFIG"] = str(bench.path / "hush.toml")
        (bench.path / "hush.toml").write_text(CONFIG.format(endpoint=receiver.endpoint))
        before = bench.obedient(LAB_KEY="old")
        before.ask("end before 1")
        receiver.wait_for(1, 20.0)
        after = bench.obedient(LAB_KEY="new")
        after.ask("end after 1")
        eventually(lambda: paused(bench).startswith("secret LAB_KEY has another value"), what="a pause")
        assert after.ask("delivered 20000")[0] is False
        os.kill(bench.owner_eventually(), signal.SIGTERM)
        before.tell("leave")
        before.wait()

        def went_on() -> bool:
            after.ask("end more 1")
            return not paused(bench) and bench.owner() is not None

        eventually(went_on, what="the next background process")
        eventually(lambda: "after-0" in {span.name for span in receiver.spans()}, what="what was waiting")
        assert [request.headers["x-key"] for request in receiver.requests if b"before-0" in request.body] == [
            "old"
        ]
        assert {request.headers["x-key"] for request in receiver.requests if b"after-0" in request.body} == {
            "new"
        }
